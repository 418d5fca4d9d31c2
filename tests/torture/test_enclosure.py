"""The enclosure: a full disk is full, a read-only directory refuses, and where that can't be had the run refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mosquitto_broker import until
from torture import enclosure
from torture.enclosure import NotPossibleError, check_read_only, namespaces, set_writable

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}


def is_allowed() -> bool:
    try:
        namespaces()
    except NotPossibleError:
        return False
    return True


def inside(source: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in namespaces of its own."""
    command = [*namespaces(), sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)


FULL = """
import sys
from pathlib import Path
from torture.enclosure import SmallDisk
disk = SmallDisk(Path(sys.argv[1]), 4)
disk.check_full()
(disk.path / "before").write_bytes(bytes(100_000))
disk.fill()
try:
    (disk.path / "during").write_bytes(bytes(100_000))
except OSError as error:
    print(error.strerror)
disk.empty()
(disk.path / "after").write_bytes(bytes(100_000))
"""


@pytest.mark.skipif(not is_allowed(), reason="namespaces are not allowed here")
def test_small_disk_fills_and_empties(tmp_path: Path) -> None:
    """To the last byte, and outside nobody sees it."""
    done = inside(FULL, tmp_path / "disk")
    assert (done.returncode, done.stdout, done.stderr) == (0, "No space left on device\n", "")
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.skipif(not is_allowed(), reason="namespaces are not allowed here")
def test_nothing_outlives_the_enclosure(tmp_path: Path) -> None:
    """Killed outright, it takes along what it started, sessions of their own included."""
    marker = tmp_path / "marker"
    child = f"echo > {marker}; exec sleep 1000"
    source = f"import subprocess; subprocess.run(['sh', '-c', {child!r}], start_new_session=True)"
    command = [*namespaces(), sys.executable, "-c", source]
    with subprocess.Popen(command, env=ENVIRONMENT) as harness:
        until(marker.exists, "the child runs")
        children = _descendants(harness.pid)
        assert len(children) >= 2
        harness.send_signal(signal.SIGKILL)
        harness.wait(10)
    until(lambda: not any(map(_runs, children)), "all of them have ended")


def test_read_only_directory_refuses_the_deprived(tmp_path: Path) -> None:
    """Also where everything runs as root; afterwards it is writable again."""
    check_read_only(tmp_path / "images")
    (tmp_path / "images" / "file").touch()


def test_read_only_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not refused must not count as a fault that was survived."""
    monkeypatch.setattr(enclosure, "set_writable", lambda *_, **__: None)
    with pytest.raises(NotPossibleError, match="took a file although it was read-only"):
        check_read_only(tmp_path / "images")


def test_directories_below_are_read_only_too(tmp_path: Path) -> None:
    """Those that hold claimed files, for instance."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    set_writable(tmp_path, writable=False)
    assert [path.stat().st_mode & 0o222 for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")] == [
        0
    ] * 3
    set_writable(tmp_path, writable=True)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o200


def test_run_refuses_where_it_can_not_be_enclosed(tmp_path: Path) -> None:
    """It says what would help, and exits with 2: neither lost nor won."""
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n")
    unshare.chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "torture", "--minutes", "0.1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "run it as root" in done.stderr
    assert "Operation not permitted" in done.stderr


def _descendants(pid: int) -> list[int]:
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [each for child in children for each in _descendants(child)]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
