"""The model component's startup: it waits for the inspector that judges here, and for nobody else."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from inotify_simple import INotify, flags

from inspector.core.model_status import ModelStatus, Outcome, Tried
from inspector.shell.sighting import link_of, look
from model_package import MODELS, make_package, run_install
from mosquitto_broker import until

ACCEPTED = Outcome("accepted", precision="int8")
REFUSED = Outcome(
    "refused", "fp32 finds in golden/a.png: 0 detections, expected 1", "package the model again"
)

PASSING = Outcome("refused", "no process can be started", "none needed: it is tried again", is_passing=True)


class Device:
    """The two work directories, a package that is installed, and an inspector that says what it is told to."""

    def __init__(self, root: Path) -> None:
        self.package = make_package(root / "artifact")
        self.work, self.inspector = root / "work dir" / "model", root / "work dir" / "inspector"
        for directory in (self.work, self.inspector):
            directory.mkdir(parents=True)
        assert run_install(self.package, self.work).returncode == 0

    def command(self, seconds: float = 20) -> list[str]:
        options = ["--work", str(self.work), "--inspector", str(self.inspector), "--seconds", str(seconds)]
        return [sys.executable, "-B", "-E", "-s", "-S", str(self.package / "startup.py"), *options]

    def startup(self, seconds: float = 20) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(seconds), capture_output=True, text=True, check=False)

    def tried(self, outcome: Outcome, manifest: bytes | None = None) -> Tried:
        content = manifest or (self.package / "manifest.json").read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        package = "p" if manifest else look(self.package).identity
        at = "2026-11-22T03:00:00.000Z"
        return Tried("/p", digest, "tag", "1.0.0", outcome, at, package=package, basis="b", files="f")

    @contextmanager
    def asked(self) -> Iterator[Callable[[], None]]:
        """What waits until ``startup`` has asked, from the beginning to the end of an answer."""
        (self.inspector / "model-status.json").touch()
        with INotify() as inotify:
            inotify.add_watch(self.inspector, flags.OPEN)

            def wait() -> None:
                inotify.read(timeout=0)
                names: list[str] = []
                until(
                    lambda: (
                        names.extend(each.name for each in inotify.read(timeout=100))
                        or names.count("lock") > 1
                    ),
                    "it asks",
                    20,
                )

            yield wait

    def say(self, **said: Any) -> None:
        """What the inspector writes."""
        current = self.work / "current"
        place = f"{self.inspector}/../model/current"
        status = ModelStatus(**({"model_directory": place, "link": link_of(current)} | said))
        (self.inspector / ".part").write_bytes(msgspec.json.encode(status))
        (self.inspector / ".part").rename(self.inspector / "model-status.json")

    @contextmanager
    def inspecting(self) -> Iterator[None]:
        """An inspector works in its directory."""
        with (self.inspector / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def starting(self) -> Iterator[subprocess.Popen[str]]:
        """``startup`` as it runs."""
        process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            yield process


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_where_no_inspector_runs_there_is_nobody_to_wait_for(device: Device) -> None:
    """At the first deployment, or while it is stopped: said, and no failure, whatever it said before."""
    assert "no inspector works in" in device.startup().stdout
    (device.inspector / "lock").touch()
    device.say(deployed=device.tried(REFUSED))
    done = device.startup()
    assert done.returncode == 0 and "it will try the model when it starts" in done.stdout


def test_an_accepted_model_that_is_in_use(device: Device) -> None:
    with device.inspecting():
        device.say(deployed=device.tried(ACCEPTED), in_use=device.tried(ACCEPTED))
        done = device.startup()
    assert (done.returncode, done.stdout) == (0, "startup: the inspector judges with it, int8\n")


def test_a_refused_model(device: Device) -> None:
    """The reason is what Greengrass shows of the failed deployment."""
    with device.inspecting():
        device.say(deployed=device.tried(REFUSED), in_use=device.tried(ACCEPTED, b"another"))
        done = device.startup()
    assert done.returncode == 1
    assert "0 detections, expected 1; package the model again" in done.stderr


def test_the_answer_is_waited_for(device: Device) -> None:
    """Not taken from before the link was moved, where something passing is in the way, of one not loaded yet."""
    accepted = device.tried(ACCEPTED)
    with device.inspecting(), device.asked() as wait_until_asked, device.starting() as process:
        for said in (
            {"link": "1:1", "deployed": device.tried(REFUSED)},
            {"deployed": None, "in_use": device.tried(ACCEPTED, b"another")},
            {"deployed": device.tried(PASSING)},
            {"deployed": accepted, "in_use": device.tried(ACCEPTED, b"another")},
        ):
            device.say(**said)
            wait_until_asked()
            assert process.poll() is None
        device.say(deployed=accepted, in_use=accepted)
        assert process.wait(20) == 0


def test_an_inspector_that_ends_meanwhile_is_not_waited_for(device: Device) -> None:
    with device.inspecting():
        process = subprocess.Popen(device.command(), stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
    with process:
        assert process.wait(20) == 0


def test_what_does_not_pass_in_time_is_told(device: Device) -> None:
    """The deployment fails, with the cause."""
    with device.inspecting():
        device.say(deployed=device.tried(PASSING))
        done = device.startup(seconds=0.5)
    assert done.returncode == 1 and "for 0.5 s the inspector refuses the model: no process" in done.stderr


def test_an_inspector_that_says_nothing_is_waited_for_so_long(device: Device) -> None:
    """Then the deployment fails: nobody knows whether the model judges."""
    with device.inspecting():
        done = device.startup(seconds=0.5)
    assert done.returncode == 1 and "has not said within 0.5 s" in done.stderr


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": "edge-inspector/model-status/9"}'])
def test_a_status_that_makes_no_sense_is_no_answer(device: Device, content: bytes) -> None:
    with device.inspecting():
        (device.inspector / "model-status.json").write_bytes(content)
        assert "has not said" in device.startup(seconds=0.5).stderr


def test_an_inspector_that_looks_elsewhere_is_not_asked(device: Device) -> None:
    """ModelDirectory is set to something else."""
    with device.inspecting():
        device.say(model_directory="/opt/model", deployed=device.tried(REFUSED))
        done = device.startup()
    assert done.returncode == 0 and "takes its model from /opt/model" in done.stdout


def test_the_lock_is_left_to_the_inspector(device: Device) -> None:
    """However often startup looks, an inspector gets it within moments, and startup then waits for it."""
    (device.inspector / "lock").touch()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            device.startup()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with (device.inspector / "lock").open("rb") as lock:
            until(lambda: is_taken(lock.fileno()), "it is locked", 5)
    finally:
        over.set()
        looking.join()


def is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_where_current_leads_elsewhere_it_is_moved_back(device: Device, tmp_path: Path) -> None:
    """On the way back from a refused version, where install does not run again."""
    newer = make_package(tmp_path / "newer", "2.0.0")
    assert run_install(newer, device.work).returncode == 0
    assert device.startup().returncode == 0
    current = device.work / "current"
    assert current.resolve().name.startswith("1.0.0-")
    link = link_of(current)
    assert device.startup().returncode == 0
    assert link_of(current) == link


def test_a_damaged_artifact_is_said(device: Device) -> None:
    """As install would."""
    (device.work / "current").unlink()
    (device.package / "fp32.onnx").write_bytes(b"rot")
    done = device.startup()
    assert done.returncode == 1 and "fp32.onnx has SHA-256" in done.stderr


def test_an_inspector_of_another_user_cannot_be_asked(
    device: Device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose files may not be read: said, and no failure."""
    monkeypatch.syspath_prepend(device.package)
    startup = importlib.import_module("startup")

    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied", "lock")

    monkeypatch.setattr(startup, "is_held", refuse)
    assert startup.main(["--work", str(device.work), "--inspector", str(device.inspector)]) == 0
    assert "cannot be asked" in capsys.readouterr().out
    for name in ("startup", "install"):
        del sys.modules[name]


def test_both_scripts_run_as_the_recipe_says(device: Device) -> None:
    """Their options are the recipe's; what the package's manifest holds is JSON that both read."""
    recipe = (MODELS / "recipe.yaml").read_text()
    for option in ("--work", "--inspector"):
        assert recipe.count(option) == 2
    assert json.loads((device.package / "manifest.json").read_text())["version"] == "1.0.0"
