"""The inspector's environment: made from the lock, reused, kept for a rollback, and never half-done."""

import base64
import hashlib
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector import install

SCRIPT = Path(install.__file__)
CLOSED_PORT = "http://127.0.0.1:9/simple"


def run_install(requirements: Path, link: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installer as Greengrass does, with no index within reach and no pip configuration of this machine."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    offline = {"PIP_INDEX_URL": CLOSED_PORT, "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    command = [sys.executable, str(SCRIPT), "--requirements", str(requirements), "--venv", str(link)]
    return subprocess.run(
        command, env={**clean, **offline, **environment}, capture_output=True, text=True, check=False
    )


def make_artifact(directory: Path, version: str = "1.0", *, wheelhouse: bool = True) -> Path:
    """An artifact that requires one small package; returns its lock."""
    directory.mkdir(parents=True)
    wheel = make_wheel(directory / "wheelhouse", version)
    lock = directory / "requirements.lock"
    lock.write_text(f"probe=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    if not wheelhouse:
        wheel.unlink()
        wheel.parent.rmdir()
    return lock


def make_wheel(directory: Path, version: str) -> Path:
    directory.mkdir()
    module = f"version = '{version}'\n".encode()
    info = f"probe-{version}.dist-info"
    files = {
        "probe.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: probe\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={digest(content)},{len(content)}\n" for name, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = directory / f"probe-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


def digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def installed_version(link: Path) -> str:
    command = [str(link / "bin" / "python"), "-c", "import probe; print(probe.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work directory whose path has a space in it."""
    directory = tmp_path / "work dir"
    directory.mkdir()
    return directory


def environments(work: Path) -> set[str]:
    return {path.name for path in work.glob("venv-*")}


def test_it_installs_from_the_wheelhouse_without_a_network_and_reuses_it_at_once(
    tmp_path: Path, work: Path
) -> None:
    lock = make_artifact(tmp_path / "artifact dir")
    made = run_install(lock, work / "venv")
    assert made.returncode == 0, made.stderr
    assert installed_version(work / "venv") == "1.0"
    assert (work / "venv").is_symlink()
    before = (work / "venv").resolve()
    assert min(time_of(lambda: run_install(lock, work / "venv")) for _ in range(3)) < 0.5
    assert "using" in run_install(lock, work / "venv").stdout
    assert (work / "venv").resolve() == before


def time_of(action: Callable[[], object]) -> float:
    """Seconds."""
    started = time.monotonic()
    action()
    return time.monotonic() - started


def test_a_new_lock_gets_a_new_environment_and_only_the_one_before_stays(tmp_path: Path, work: Path) -> None:
    locks = {version: make_artifact(tmp_path / version, version) for version in ("1.0", "2.0", "3.0")}
    keys = {}
    for version in ("1.0", "2.0", "1.0", "3.0"):  # the third is a rollback
        assert run_install(locks[version], work / "venv").returncode == 0
        assert installed_version(work / "venv") == version
        keys[version] = (work / "venv").resolve().name
    assert environments(work) == {keys["1.0"], keys["3.0"]}


def test_neither_network_nor_wheelhouse_is_said_and_nothing_is_left(tmp_path: Path, work: Path) -> None:
    failed = run_install(make_artifact(tmp_path / "artifact", wheelhouse=False), work / "venv")
    assert failed.returncode == 1
    assert "the package index could not be reached, and the artifact holds no wheelhouse" in failed.stderr
    assert "make build WHEELHOUSE=1" in failed.stderr
    assert list(work.iterdir()) == []


def test_a_failed_update_leaves_the_environment_in_use(tmp_path: Path, work: Path) -> None:
    assert run_install(make_artifact(tmp_path / "good"), work / "venv").returncode == 0
    failed = run_install(make_artifact(tmp_path / "bad", "2.0", wheelhouse=False), work / "venv")
    assert failed.returncode == 1
    assert installed_version(work / "venv") == "1.0"


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, work: Path) -> None:
    lock = make_artifact(tmp_path / "artifact")
    lock.write_text("probe==1.0 --hash=sha256:" + "0" * 64)
    failed = run_install(lock, work / "venv")
    assert failed.returncode == 1
    assert "not the one that was locked" in failed.stderr
    assert list(work.iterdir()) == []


def test_a_wheelhouse_of_another_platform_is_said(tmp_path: Path, work: Path) -> None:
    lock = make_artifact(tmp_path / "artifact")
    wheel = next(lock.with_name("wheelhouse").iterdir())
    wheel.rename(wheel.with_name("probe-1.0-cp39-cp39-win_amd64.whl"))
    failed = run_install(lock, work / "venv")
    assert failed.returncode == 1
    assert "lacks a wheel for this machine and Python" in failed.stderr


def test_an_environment_cut_short_is_made_anew(tmp_path: Path, work: Path) -> None:
    lock = make_artifact(tmp_path / "artifact")
    assert run_install(lock, work / "venv").returncode == 0
    environment = (work / "venv").resolve()
    (environment / install.COMPLETE).unlink()  # as after a power cut
    next(environment.rglob("probe.py")).unlink()
    assert run_install(lock, work / "venv").returncode == 0
    assert installed_version(work / "venv") == "1.0"


def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path: Path, work: Path) -> None:
    lock = make_artifact(tmp_path / "artifact")
    assert run_install(lock, work / "venv").returncode == 0
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        path = (work / "venv").resolve() / "bin" / name
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "no longer here")
    assert run_install(lock, work / "venv").returncode == 0
    assert installed_version(work / "venv") == "1.0"


def test_something_in_the_way_of_the_link_is_named(tmp_path: Path, work: Path) -> None:
    (work / "venv").mkdir()
    failed = run_install(make_artifact(tmp_path / "artifact"), work / "venv")
    assert failed.returncode == 1
    assert "is in the way" in failed.stderr


def test_a_missing_lock_is_named(tmp_path: Path, work: Path) -> None:
    failed = run_install(tmp_path / "requirements.lock", work / "venv")
    assert failed.returncode == 1
    assert "requirements.lock" in failed.stderr


@pytest.mark.parametrize("version", [(3, 8), (3, 9), (3, 14)])
def test_an_unsupported_python_is_named(version: tuple[int, int]) -> None:
    with pytest.raises(
        install.InstallError, match=rf"is Python 3\.{version[1]}, and the inspector needs 3\.10 to"
    ):
        install.check_python(version)


@pytest.mark.parametrize(
    ("machine", "libc"),
    [("armv7l", ("glibc", "2.36")), ("x86_64", ("", "")), ("aarch64", ("glibc", "2.27"))],
)
def test_a_machine_without_wheels_is_named(machine: str, libc: tuple[str, str]) -> None:
    with pytest.raises(install.InstallError, match=machine):
        install.check_machine(machine, libc)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_machine_with_wheels_is_not(machine: str) -> None:
    install.check_machine(machine, ("glibc", "2.28"))


def test_a_python_without_ensurepip_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(install.InstallError, match="apt install python3-venv"):
        install.check_venv_module()


def test_the_key_changes_with_the_lock_and_the_python() -> None:
    keys = {install.environment_key(lock, python) for lock in (b"a", b"b") for python in ((3, 10), (3, 11))}
    assert len(keys) == 4
    assert all(len(key) == 12 for key in keys)


def test_it_imports_the_standard_library_alone() -> None:
    """The system's python3 runs it, before anything is installed."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), "--help"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
