"""What is planted in the component: it dies where it is told to, once, and its clock jumps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from pathlib import Path

import pytest

from torture import cuts, planted
from torture.cuts import CUTS, EFFECTS, Control, EffectsChangedError

# A program that is called as the inspector is: it has one effect of its own, and a ledger.
PROGRAM = """
    import sqlite3, sys, time

    class Pipeline:
        def claim(self):
            print("claimed", flush=True)

    if __name__ == "__main__":
        from inspector import pipeline
        database = sqlite3.connect("ledger", isolation_level=None)
        database.execute("CREATE TABLE IF NOT EXISTS t (a)")
        for _ in range(2):
            pipeline.Pipeline().claim()
            database.execute("BEGIN")
            database.execute("INSERT INTO t VALUES (1)")
            database.execute("COMMIT")
        print("rows", database.execute("SELECT count(*) FROM t").fetchone()[0], "time", int(time.time()))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A directory with such a program and what is planted."""
    package = tmp_path / "program" / "inspector"
    package.mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "pipeline.py"):
        (package / name).write_text("" if name == "__init__.py" else textwrap.dedent(PROGRAM))
    (package.parent / "sitecustomize.py").write_bytes(Path(planted.__file__).read_bytes())
    return package.parent


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    effects = {"claim": "inspector.pipeline:Pipeline.claim", "commit": planted.COMMIT}
    monkeypatch.setattr(cuts, "EFFECTS", effects)
    control = Control(tmp_path / "control")
    control.prepare()
    return control


def run(program: Path, control: Control) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(program), **cuts.environment(control)}
    return subprocess.run(
        [sys.executable, "-m", "inspector"],
        cwd=program,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("where", "claims", "rows"),
    [("before claim", 0, 0), ("after claim", 1, 0), ("before commit", 1, 0), ("after commit", 1, 1)],
)
def test_it_dies_where_it_is_told_to_once(
    program: Path, control: Control, where: str, claims: int, rows: int
) -> None:
    """Between two effects, with what was committed and no more; the next start lives."""
    (control.directory / planted.CUT).write_text(where)
    died = run(program, control)
    assert (died.returncode, died.stdout.count("claimed"), died.stderr) == (-signal.SIGKILL, claims, "")
    lived = run(program, control)
    assert lived.returncode == 0
    assert f"rows {rows + 2} " in lived.stdout


def test_order_is_withdrawn_when_nobody_comes_by(program: Path, control: Control) -> None:
    """Whoever starts later is not cut by it."""
    assert control.cut("before claim", patience_s=0.05) is False
    assert run(program, control).returncode == 0


def test_order_is_waited_for(program: Path, control: Control) -> None:
    """``cut`` returns as soon as it has happened."""
    happened = []
    waiting = threading.Thread(target=lambda: happened.append(control.cut("before commit", 30)))
    waiting.start()
    while run(program, control).returncode == 0:
        pass
    waiting.join(10)
    assert happened == [True]


def test_clock_jumps(program: Path, control: Control) -> None:
    """By as much as the file says."""

    def told() -> int:
        return int(run(program, control).stdout.split("time ")[1])

    before = told()
    control.set_clock(3600)
    assert 3600 <= told() - before < 3660
    control.set_clock(-3600)
    assert -3600 <= told() - before < -3540


def test_effect_that_is_gone_is_told(
    program: Path, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list must follow the inspector: what is not where it says ends the run before it begins."""
    with pytest.raises(EffectsChangedError, match="never ran"):
        control.check()
    run(program, control)
    control.check()
    monkeypatch.setattr(cuts, "EFFECTS", {"gone": "inspector.pipeline:Pipeline.gone", "no": "nowhere:X.y"})
    control.prepare()
    run(program, control)
    with pytest.raises(EffectsChangedError, match=r"Pipeline\.gone, nowhere:X\.y"):
        control.check()


def test_every_effect_is_where_the_list_says(tmp_path: Path) -> None:
    """As the component finds it, in a process of its own."""
    control = Control(tmp_path)
    control.prepare()
    source = f"from pathlib import Path; from torture.planted import plant; plant(Path({str(tmp_path)!r}))"
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root / "tests")])
    subprocess.run([sys.executable, "-c", source], env={**os.environ, "PYTHONPATH": path}, check=True)
    control.check()
    assert len(CUTS) == 2 * len(EFFECTS)


def test_plant_adds_one_file(tmp_path: Path) -> None:
    """Beside the package, where Python looks for it; the rest of the artifact stays as it is."""
    archive = tmp_path / "inspector.zip"
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("inspector/__init__.py", "")
    cuts.plant(archive)
    with zipfile.ZipFile(archive) as members:
        assert members.namelist() == ["inspector/__init__.py", "sitecustomize.py"]
