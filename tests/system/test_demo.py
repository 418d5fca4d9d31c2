"""``make demo``, whole: in a copy of the checkout whose path is long and holds a space, without a terminal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mosquitto_broker import until

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.name for path in (ROOT / "sample_images").glob("*.jpg"))
STATE = {"classic": Path(".demo"), "lite": Path(".demo-lite")}
INSPECTOR = "com.edgeinspector.Inspector"

pytestmark = pytest.mark.timeout(300)


def copy_checkout(target: Path, device_venv: Path) -> Path:
    """What a clone would hold, and the component's virtual environment so that it need not be made again."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0"):
        source = ROOT / os.fsdecode(name)
        if name and source.is_file():
            (target / os.fsdecode(name)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / os.fsdecode(name))
    environment = device_venv.resolve()
    for state in STATE.values():
        work = target / state / "work" / INSPECTOR
        work.mkdir(parents=True)
        (work / environment.name).symlink_to(environment)
    return target


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, device_venv: Path) -> Path:
    """A copy where the demo runs; what it leaves is there for the next test."""
    deep = tmp_path_factory.mktemp("demo") / "a path with a space" / ("deep-" * 20)
    return copy_checkout(deep, device_venv)


@pytest.fixture
def demo(checkout: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts demos with their output in ``tmp_path/out``; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, directory: Path = checkout) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(directory / "src")}
        command = [sys.executable, "-m", "edgehost.demo", *arguments]
        with (tmp_path / "out").open("w") as out:
            started.append(
                subprocess.Popen(command, cwd=directory, env=environment, stdout=out, stderr=out, text=True)
            )
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


def output(tmp_path: Path) -> str:
    return (tmp_path / "out").read_text()


def results(root: Path) -> list[dict]:
    messages = map(json.loads, (root / "results.jsonl").read_text().splitlines())
    return [message for message in messages if message["schema"] == "edge-inspector/result/1"]


def processes_below(directory: Path) -> list[str]:
    """Command lines that name the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(directory) in line:
            found.append(line)
    return found


@pytest.mark.parametrize("profile", STATE)
def test_every_sample_image_gets_its_verdict_also_when_run_twice(demo, checkout, tmp_path, profile):
    seen: set[str] = set()
    root = checkout / STATE[profile]
    for _ in range(2):
        assert demo("--rate", "20", "--profile", profile).wait(120) == 0, output(tmp_path)
        text = output(tmp_path)
        assert f"what the component logged: {STATE[profile]}/" in text
        assert f"{len(NAMES)} images: " in text
        assert all(name in text for name in NAMES)
        assert "\x1b" not in text
        assert sorted(Path(result["image"]["path"]).name for result in results(root)) == NAMES
        ids = {result["id"] for result in results(root)}
        assert not ids & seen, "the second run shows inspections of its own"
        seen |= ids
    assert processes_below(checkout) == []


def test_ctrl_c_stops_host_and_component(demo, checkout, tmp_path):
    process = demo("--rate", "1")
    until(lambda: NAMES[0] in output(tmp_path), "the first verdict is shown", 60)
    assert processes_below(checkout)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert "missing: " in output(tmp_path)
    assert "Traceback" not in output(tmp_path)
    assert processes_below(checkout) == []


def test_it_can_go_on_until_ctrl_c(demo, tmp_path):
    process = demo("--rate", "50", "--keep-running")
    until(lambda: all(name in output(tmp_path) for name in NAMES), "every verdict is shown", 60)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert f"{len(NAMES)} images: " in output(tmp_path)


def test_a_reader_that_goes_away_ends_it_quietly(checkout, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    command = [sys.executable, "-m", "edgehost.demo", "--rate", "50"]
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=err)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 1
    assert "Traceback" not in (tmp_path / "err").read_text()
    assert processes_below(checkout) == []


def test_a_component_that_does_not_run_fails_with_names_and_log(demo, device_venv, tmp_path):
    broken = copy_checkout(tmp_path / "broken", device_venv)
    (broken / "src" / "inspector" / "__main__.py").write_text("raise SystemExit('no camera today')\n")
    assert demo(directory=broken).wait(120) == 1
    text = output(tmp_path)
    assert "no camera today" in text
    assert "Traceback" not in text
    assert "BROKEN" in text
