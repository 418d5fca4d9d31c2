"""What is deployed survives the host's end, orderly or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from deploying import FOREVER, Deploying
from edgehost.deployment import DeploymentError
from edgehost.durable import DamagedFileError
from edgehost.leftovers import end_leftovers
from edgehost.process import group_is_alive
from edgehost.profile import PROFILES, Profile
from edgehost.running_host import ControlError, send
from edgehost.state import State
from edgehost.thread import run_in_thread
from ipc_bench import DEADLINE_S, Bench
from mosquitto_broker import until


@pytest.fixture
def device(tmp_path: Path) -> Callable[..., Any]:
    """Starts a host under always the same root."""
    (tmp_path / "given").mkdir()

    @contextmanager
    def start(**options: Any) -> Iterator[Deploying]:
        with run_in_thread(tmp_path / "root", steady_s=0.3, **options) as threaded, ExitStack() as stack:
            yield Deploying(Bench(threaded, stack), tmp_path / "given")

    return start


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_what_is_deployed_starts_with_the_host(device, profile: Profile) -> None:
    """In order of dependency, with its configuration, on classic installed anew; the last deployment is known."""
    with device(profile=profile) as deploy:
        deploy.recipe("com.base", startup="sleep 0.2; echo base >> ../order")
        run = f"echo top {{configuration:/Speed}} >> ../order; {FOREVER}"
        deploy.recipe(
            "com.top",
            run=run,
            install="echo install >> ../installed",
            dependencies={"com.base": "HARD"},
            configuration={"Speed": 1},
        )
        deploy("com.top", config={"com.top": {"Speed": 2}})
        last = deploy.bench.host.last_deployment()
    (order := deploy.bench.host.root / "work/order").unlink()
    with device(profile=profile) as deploy:
        until(lambda: deploy.state("com.top") == State.RUNNING, "it runs again")
        until(lambda: order.read_text() == "base\ntop 2\n", "in order, with its configuration")
        host = deploy.bench.host
        installs = 2 if profile.upkeep.installs_again else 1
        assert (host.root / "work/installed").read_text() == "install\n" * installs
        assert {each["name"]: each["is_root"] for each in host.status()} == {
            "com.base": False,
            "com.top": True,
        }
        assert host.last_deployment() == last
        before = deploy.pid("com.top")
        deploy("com.top")
        assert deploy.pid("com.top") == before
        deploy(remove=["com.top"])
    with device(profile=profile) as deploy:
        assert deploy.bench.host.status() == []


def test_host_serves_before_its_components_are_up(device) -> None:
    """An installation that takes long holds nothing up, nor does a component that is broken for good."""
    with device() as deploy:
        deploy.recipe("com.slow", install="test ! -e ../again || sleep 60", run=FOREVER)
        deploy.recipe("com.bad", run="test ! -e ../again || exit 1; " + FOREVER)
        deploy.recipe("com.top", dependencies={"com.bad": "HARD"})
        deploy("com.slow", "com.top")
    (deploy.bench.host.root / "work/again").touch()
    with device() as deploy:
        until(lambda: deploy.state("com.bad") == State.BROKEN, "it is broken")
        assert deploy.state("com.slow") == State.NEW
        assert deploy.bench.raw().connect(deploy.bench.token("com.x")).headers[":message-flags"] == 1


def test_component_without_a_readable_recipe_is_left_out(device, caplog: pytest.LogCaptureFixture) -> None:
    """The host starts and says so; deploying it again mends it."""
    with device() as deploy:
        deploy.recipe("com.a")
        deploy.recipe("com.b")
        deploy("com.a", "com.b")
    (deploy.bench.host.root / "packages/recipes/com.a-1.0.0.json").write_text("{")
    with device() as deploy:
        assert [each["name"] for each in deploy.bench.host.status()] == ["com.b"]
        assert "com.a 1.0.0 is deployed, but not started" in caplog.text
        with pytest.raises(
            DeploymentError, match=r"no recipe of com\.a 1\.0\.0 on this device.*refused: .*com\.a-1"
        ):
            deploy(recipes=None, artifacts=None)
        deploy("com.a")
        assert deploy.state("com.a") == State.RUNNING


@pytest.mark.parametrize("name", ["deployment", "configuration"])
@pytest.mark.parametrize("text", ["{", "[]", '{"nobody": "knows"}', '{"roots": 1}'])
def test_damaged_state_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    """It names the file and what to do; nothing is started on a guess."""
    path = tmp_path / f"root/config/{name}.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with (
        pytest.raises(DamagedFileError, match=rf"{name}\.json is damaged: .*empty root"),
        run_in_thread(path.parents[1]),
    ):
        pass


def test_orderly_end_in_the_middle_of_a_deployment_rolls_back_at_the_next_start(device) -> None:
    """As if it had been killed."""
    with device() as deploy:
        deploy.recipe("com.a", configuration={"Speed": 1})
        deploy("com.a")
        deploy.recipe("com.a", "2.0.0", install="touch ../installing; sleep 60")
        deployment = deploy.start("com.a=2.0.0", config={"com.a": {"Speed": 2}})
        until((deploy.bench.host.root / "work/installing").exists, "it is being installed")
    assert deployment.cancelled()
    with device() as deploy:
        expect_the_previous_version(deploy)


def expect_the_previous_version(deploy: Deploying) -> None:
    """Version, configuration, files and the record are those of before."""
    host = deploy.bench.host
    until(lambda: deploy.state("com.a") == State.RUNNING, "the previous version runs")
    assert deploy.version("com.a") == "1.0.0"
    assert host.configuration.value("com.a") == {"Speed": 1}
    assert host.last_deployment()["status"] == "FAILED_ROLLBACK_COMPLETE"
    assert "the host ended in the middle of it" in host.last_deployment()["cause"]
    assert not (host.root / "deployments").exists()
    assert [path.name for path in (host.root / "packages/recipes").iterdir()] == ["com.a-1.0.0.json"]
    deploy("com.a=1.0.0")


class HostProcess:
    """``edgehost run`` as a process of its own."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "edgehost", "run", "--root", str(root)]
        self.root = root
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        until(self._answers, "the host answers")

    def kill(self) -> None:
        """kill -9: its components are left behind."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def _answers(self) -> bool:
        with suppress(ControlError):
            return bool(send(self.root, "status"))
        return False


@pytest.fixture
def host_process(tmp_path: Path) -> Iterator[HostProcess]:
    """A host that may be killed."""
    host = HostProcess(tmp_path / "root")
    try:
        yield host
    finally:
        host.kill()


def test_host_killed_in_the_middle_of_a_deployment_rolls_back(host_process: HostProcess, device) -> None:
    """The same version edited, its files replaced already; nothing of what the killed host ran goes on."""
    root = host_process.root
    written = Deploying(None, root.parent / "given")
    written.artifact("com.a", "x.txt", "old")
    written.recipe("com.a", configuration={"Speed": 1}, artifacts=["x.txt"])
    given = {
        "recipes": str(written.recipes),
        "artifacts": str(written.artifacts),
        "versions": {"com.a": "1.0.0"},
    }
    send(root, "deploy", config={}, **given)
    written.artifact("com.a", "x.txt", "new")
    orphan = "echo $$ > ../orphan.part; mv ../orphan.part ../orphan; exec sleep 600"
    written.recipe("com.a", install=orphan, artifacts=["x.txt"])

    def deploy_and_lose_the_host() -> None:
        with suppress(ControlError):
            send(root, "deploy", config={"com.a": {"Speed": 2}}, **given)

    (deploying := threading.Thread(target=deploy_and_lose_the_host)).start()
    until((root / "work/orphan").exists, "it is being installed")
    pid = int((root / "work/orphan").read_text())
    host_process.kill()
    deploying.join(DEADLINE_S)
    assert (root / "packages/artifacts/com.a/1.0.0/x.txt").read_text() == "new"
    assert json.loads((root / "config/deployment.json").read_text())["ongoing"]
    assert group_is_alive(pid)
    try:
        with device() as deploy:
            assert not group_is_alive(pid)
            assert (root / "packages/artifacts/com.a/1.0.0/x.txt").read_text() == "old"
            written.artifact("com.a", "x.txt", "old")
            written.recipe("com.a", configuration={"Speed": 1}, artifacts=["x.txt"])
            expect_the_previous_version(deploy)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


async def test_leftover_that_forks_as_it_is_killed_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was not there yet when the first were listed."""
    environment = {"PATH": os.environ["PATH"], "GG_ROOT_CA_PATH": f"{tmp_path}/rootCA.pem"}
    processes = [subprocess.Popen(["sleep", "60"], env=environment)]
    kill = os.kill

    def fork_and_die(pid: int, number: int) -> None:
        if len(processes) == 1:
            processes.append(subprocess.Popen(["sleep", "60"], env=environment))
        kill(pid, number)

    monkeypatch.setattr(os, "kill", fork_and_die)
    try:
        await end_leftovers(tmp_path)
        assert [process.wait(DEADLINE_S) for process in processes] == [-signal.SIGKILL] * 2
    finally:
        for process in processes:
            process.kill()
