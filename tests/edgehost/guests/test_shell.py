"""Components without IPC: one in plain shell with startup and shutdown, and one that does all it shouldn't."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgehost.deployment import DeploymentError
from edgehost.lifecycle import Component
from edgehost.process import group_is_alive
from edgehost.profile import CLASSIC, LITE, Profile
from edgehost.state import State
from edgehost.thread import ThreadedHost, run_in_thread
from mosquitto_broker import until

GUESTS = Path(__file__).parent
BEACON, ROWDY, ROWDIER = "com.example.Beacon", "com.example.Rowdy", "com.example.Rowdier"
VERSION = "1.0.0"
GRACE_S = 0.3


class Shore:
    """A device with a beacon and a rowdy guest."""

    def __init__(self, threaded: ThreadedHost, packages: Path) -> None:
        self.threaded = threaded
        self._packages = packages
        self.publish("beacon", BEACON)
        self.publish("rowdy", ROWDY)

    def publish(self, guest: str, name: str) -> None:
        """Put a guest's recipe and artifact, under a name, where deployments find them."""
        text = (GUESTS / guest / "recipe.yaml").read_text()
        renamed = re.sub("ComponentName: .*", f"ComponentName: {name}", text)
        artifacts = self._packages / "artifacts" / name / VERSION
        (self._packages / "recipes").mkdir(parents=True, exist_ok=True)
        artifacts.mkdir(parents=True)
        (self._packages / "recipes" / f"{name}-{VERSION}.yaml").write_text(renamed)
        shutil.copy(GUESTS / guest / f"{guest}.sh", artifacts)

    def deploy(self, name: str, **configuration: str) -> Component:
        deployment = self.threaded.host.deploy(
            self._packages / "recipes", self._packages / "artifacts", {name: VERSION}, {name: configuration}
        )
        self.threaded.call(deployment, 20)
        return self.threaded.host.components[name]

    def stop(self, name: str) -> None:
        self.threaded.call(self.threaded.host.stop_component(name), 20)

    def work(self, name: str) -> Path:
        return self.threaded.host.root / "work" / name


def quick(profile: Profile) -> Profile:
    """The same nucleus with less patience for components that don't stop."""
    return replace(profile, upkeep=replace(profile.upkeep, stop_grace_s=GRACE_S))


@pytest.fixture(params=[CLASSIC, LITE], ids=lambda profile: profile.name)
def profile(request: pytest.FixtureRequest) -> Profile:
    return quick(request.param)


@pytest.fixture
def shore(tmp_path: Path, profile: Profile) -> Iterator[Shore]:
    with run_in_thread(tmp_path / "root", profile=profile, steady_s=0.3) as threaded:
        yield Shore(threaded, tmp_path)


@pytest.mark.parametrize("profile", [quick(CLASSIC)], ids=["classic"])
def test_what_startup_leaves_running_is_the_component(shore: Shore) -> None:
    """It is RUNNING after startup has ended, its output is logged, and shutdown ends it."""
    beacon = shore.deploy(BEACON, Label="pier")
    state = shore.work(BEACON) / "state"
    until(lambda: state.exists() and state.read_text() == "lit\n", "the beacon is lit")
    assert beacon.state == State.RUNNING
    until(lambda: "stdout. pier on" in beacon.log.path.read_text(), "its output is logged")
    pid = int((shore.work(BEACON) / "beacon.pid").read_text())
    shore.stop(BEACON)
    assert (beacon.state, state.read_text()) == (State.FINISHED, "dark\n")
    assert not (shore.work(BEACON) / "beacon.pid").exists()
    assert not is_running(pid)


def test_deaf_component_is_killed_with_its_family(shore: Shore) -> None:
    """SIGKILL reaches children and grandchildren that ignore SIGTERM."""
    rowdy = shore.deploy(ROWDY, Mischief="stays")
    assert rowdy.pid
    family = rowdy.pid
    until(lambda: members(family) >= 5, "the shell, its script and three of its family run")
    shore.stop(ROWDY)
    assert rowdy.state == State.FINISHED
    assert not group_is_alive(family)


def test_nothing_is_left_of_a_component_that_ended(shore: Shore) -> None:
    """What it left behind goes when it does."""
    rowdy = shore.deploy(ROWDY, Mischief="leaves")
    shore.threaded.call(rowdy.reached(State.FINISHED), 10)
    deaf = f"{shore.threaded.host.root}".encode()
    assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if deaf in contents(each)]


def test_flood_in_one_line_is_logged_in_pieces(shore: Shore) -> None:
    """The log has all of it, no line of it endless, and the host goes on."""
    rowdy = shore.deploy(ROWDY, Mischief="floods")
    log = rowdy.log.path
    until(lambda: "stdout. enough" in rowdy.log.tail(1)[0], "the flood is over")
    with log.open() as lines:
        flood = [line for line in lines if "xxx" in line]
    assert sum(line.count("x") - line.count("example") for line in flood) >= 10_000_000
    assert max(map(len, flood)) < 300_000
    shore.threaded.call(shore.deploy(ROWDY, Mischief="none").reached(State.FINISHED), 10)


def test_component_that_fails_at_once_is_broken_alone(shore: Shore) -> None:
    """It is tried three times, says why each time, and its neighbour is none the worse."""
    shore.publish("rowdy", ROWDIER)
    neighbour = shore.deploy(ROWDY, Mischief="stays")
    pid = neighbour.pid
    with pytest.raises(DeploymentError, match=r"Rowdier 1\.0\.0 is BROKEN") as raised:
        shore.deploy(ROWDIER, Mischief="fails")
    assert str(raised.value).count("stderr. no reason given") == 3
    assert (neighbour.state, neighbour.pid) == (State.RUNNING, pid)


def members(group: int) -> int:
    """How many processes a group has."""
    return sum(contents(stat).rpartition(b")")[2].split()[2:3] == [b"%d" % group] for stat in stats())


def is_running(pid: int) -> bool:
    """Whether a process is there, and not just waiting to be collected."""
    return contents(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[:1] not in ([], [b"Z"])


def stats() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*/stat")


def contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
