"""The device: the simulated host as a process of its own, with both components as they are built."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgehost.running_host import ControlError, send
from mosquitto_broker import until
from torture import cuts
from torture.enclosure import deprived

CHECKOUT = Path(__file__).parents[2]
INSPECTOR = "com.edgeinspector.Inspector"
THING = "torture"
SETTLE_MS = 200
PRECISION = "fp32"
"""What a verdict should be is known from a run beforehand: no measurement may let the two differ."""
# Small and quick, so that a short run meets everything: budgets that shed, statuses and scans that come often.
CONFIGURATION = {
    "SettleMilliseconds": SETTLE_MS,
    "RescanSeconds": 2,
    "StatusIntervalSeconds": 5,
    "BacklogPerSecond": 150,
    "AuditShare": 0.05,
    "ArchiveMaxMegabytes": 16,
    "KeepMaxMegabytes": 16,
    "DiskLowMegabytes": 24,
    "DiskFullMegabytes": 4,
    "Precision": PRECISION,
    "LogLevel": "INFO",
}
_PATIENCE_S = 120


class DeviceError(Exception):
    """The device could not be brought up."""


class Device:
    """Runs ``edgehost run`` under ``root``; what it prints goes to ``log``. One thing at a time, behind one lock."""

    def __init__(
        self, root: Path, profile: str, build: Path, broker_url: str, control: cuts.Control, log: Path
    ) -> None:
        self.root = root
        self.work = root / "work" / INSPECTOR
        self.images = self.work / "images"
        self.kills = 0
        self.host_kills = 0
        self._profile = profile
        self._build = build
        self._broker_url = broker_url
        self._control = control
        self._log = log
        self._lock = threading.RLock()
        self._host: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the host and deploy, as often as it takes: a full disk may refuse it."""
        with self._lock:
            _persist(self._start_host, "the host starts")
            _persist(self._deploy, "the components are deployed")

    def fault(self, fault: str, /, **given: Any) -> list[str]:
        """Inject one of the host's faults; those in force."""
        with self._lock:
            return send(self.root, "fault", fault=fault, given=given)

    def kill_component(self) -> None:
        """kill -9; the host starts it again."""
        with self._lock:
            until(lambda: self._pid() is not None, "the component runs", _PATIENCE_S)
            pid = self._pid()
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self.kills += 1

    def kill_host(self) -> None:
        """kill -9; the component is left behind, until the next host has replaced it."""
        with self._lock:
            assert self._host
            self._host.kill()
            self._host.wait()
            self.host_kills += 1
            self.start()

    def stop(self) -> None:
        """Stop in order."""
        with self._lock:
            if self._host and self._host.poll() is None:
                self._host.send_signal(signal.SIGINT)
                try:
                    self._host.wait(30)
                except subprocess.TimeoutExpired:
                    self._host.kill()
                    self._host.wait()

    def is_alive(self) -> bool:
        """Whether the host runs."""
        return self._host is not None and self._host.poll() is None

    def _pid(self) -> int | None:
        components = send(self.root, "status")["components"]
        (found,) = [each for each in components if each["name"] == INSPECTOR]
        return found["pid"] if found["state"] == "RUNNING" else None

    def _start_host(self) -> None:
        options = [
            "--root",
            self.root,
            "--profile",
            self._profile,
            "--broker",
            self._broker_url,
            "--thing",
            THING,
        ]
        limit = ["--max-errors", "1000000"]
        command = [*deprived(), sys.executable, "-m", "edgehost", "run", *options, *limit]
        with self._log.open("ab") as log:
            self._host = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment(), start_new_session=True
            )
        host = self._host
        until(lambda: host.poll() is not None or self._answers(), "the host answers", _PATIENCE_S)
        if host.poll() is not None:
            raise DeviceError(f"the host ended with {host.returncode}; {self._log} says why")

    def _environment(self) -> dict[str, str]:
        """As this process's, with this Python as the components' python3."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "PATH": path, **cuts.environment(self._control)}

    def _answers(self) -> bool:
        try:
            send(self.root, "status")
        except ControlError:
            return False
        return True

    def _deploy(self) -> None:
        built = (path.stem for path in (self._build / "recipes").glob("*.yaml"))
        versions = dict(stem.rsplit("-", 1) for stem in built)
        recipes, artifacts = str(self._build / "recipes"), str(self._build / "artifacts")
        config = {INSPECTOR: CONFIGURATION}
        send(self.root, "deploy", recipes=recipes, artifacts=artifacts, versions=versions, config=config)


def _persist(step: Callable[[], None], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            step()
        except (ControlError, DeviceError) as error:
            if time.monotonic() > deadline_s:
                raise DeviceError(f"waited {_PATIENCE_S} s in vain until {what}: {error}") from error
            time.sleep(0.5)
        else:
            return


def build(output: Path) -> Path:
    """Both components as they ship, the inspector's with what cuts it planted beside it."""
    subprocess.run(
        [sys.executable, CHECKOUT / "tools" / "build.py", "--output", output],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (archive,) = output.rglob("inspector.zip")
    cuts.plant(archive)
    return output


def make_environment(scratch: Path) -> Path:
    """The environment with the device's requirements alone, kept from one run to the next; where it is."""
    link = CHECKOUT / ".cache" / "device-venv" / "venv"
    link.parent.mkdir(parents=True, exist_ok=True)
    source = CHECKOUT / "src" / "inspector" / "install.py"
    requirements = CHECKOUT / "requirements.lock"
    cache = {"PIP_CACHE_DIR": str(CHECKOUT / ".cache" / "pip"), **os.environ}
    with (scratch / "install.log").open("wb") as log:
        subprocess.run(
            [sys.executable, source, "--requirements", requirements, "--venv", link],
            check=True,
            env=cache,
            stdout=log,
            stderr=log,
        )
    return link.resolve()


def lend_environment(device: Device, environment: Path) -> None:
    """Let the component's installer find its environment made."""
    device.work.mkdir(parents=True, exist_ok=True)
    (device.work / environment.name).symlink_to(environment)


def once(environment: Path) -> list[str | Path]:
    """The command that inspects images with the model that is deployed, undisturbed."""
    python = environment / "bin" / "python"
    path = f"PYTHONPATH={CHECKOUT / 'src'}"
    options = ["--precision", PRECISION, "--model", CHECKOUT / "models"]
    return ["env", path, python, "-m", "inspector", "once", *options]


def inspector(device: Device) -> list[str | Path]:
    """The inspector's command line, as the device has it."""
    return [
        "env",
        f"PYTHONPATH={CHECKOUT / 'src'}",
        device.work / "venv" / "bin" / "python",
        "-m",
        "inspector",
    ]
