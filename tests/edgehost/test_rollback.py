"""Deployments that fail: everything is as it was before, or is left as it is, as asked."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploying import FOREVER, Deploying
from edgehost.configuration import ConfigurationStore
from edgehost.deployment import DeploymentError
from edgehost.profile import LITE, PROFILES, Profile
from edgehost.state import State
from edgehost.thread import run_in_thread
from ipc_bench import DEADLINE_S
from mosquitto_broker import until
from small_disk import small_disk


def fails(deploy: Deploying, *names: str, words: str | None = None, **options: Any) -> str:
    """Deploy; the error that it ends with."""
    with pytest.raises(DeploymentError, match=words) as raised:
        deploy(*names, **options)
    return str(raised.value)


def recipes(deploy: Deploying) -> list[str]:
    return sorted(path.name for path in (deploy.bench.host.root / "packages/recipes").iterdir())


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize(
    "broken",
    [
        {"run": "echo no such camera; exit 1"},
        {"install": "echo no such camera; exit 1"},
        {"startup": "echo no such camera; exit 1"},
        {"run": "echo no such camera; sleep 0.1; exit 1"},
    ],
    ids=["run", "install", "startup", "run, a moment later"],
)
def test_broken_version_rolls_back_by_itself(deploy: Deploying, broken: dict[str, str]) -> None:
    """The previous version goes on, with its files; the error says why, with the last words, and what was done."""
    deploy.artifact("com.a", "x.txt", "old\n")
    deploy.recipe("com.a", run=f"cat {{artifacts:path}}/x.txt; {FOREVER}", artifacts=["x.txt"])
    deploy("com.a")
    assert deploy.last() == "SUCCEEDED"
    deploy.recipe("com.a", "2.0.0", **broken)
    message = fails(deploy, "com.a=2.0.0", words=r"com\.a 2\.0\.0 is BROKEN")
    assert "no such camera" in message
    assert message.endswith("rolled back; running again: com.a 1.0.0")
    assert (deploy.version("com.a"), deploy.state("com.a")) == ("1.0.0", State.RUNNING)
    until(lambda: deploy.log("com.a").count("stdout. old") == 2, "the previous version said so again")
    assert deploy.last() == "FAILED_ROLLBACK_COMPLETE"
    assert "no such camera" in deploy.bench.host.last_deployment()["cause"]
    assert deploy.bench.host.status()[0]["is_root"]
    assert recipes(deploy) == ["com.a-1.0.0.json"]


def test_rollback_brings_configuration_back_with_its_times(deploy: Deploying) -> None:
    """Of the component that failed, and of others that only had it changed; a time that was new is old again."""
    deploy.recipe("com.a", configuration={"Speed": 1, "Kept": 1})
    deploy.recipe("com.b", configuration={"Speed": 1})
    deploy("com.a", "com.b", config={"com.a": {"Speed": 2}})
    configuration = deploy.bench.host.configuration
    before, running = configuration.snapshot(), deploy.pid("com.b")
    deploy.recipe("com.a", "2.0.0", run="exit 1", configuration={"Added": 1})
    change = {"MERGE": {"Speed": 3}, "RESET": ["/Kept"]}
    fails(deploy, "com.a=2.0.0", config={"com.a": change, "com.b": {"Speed": 9}})
    assert configuration.snapshot() == before
    assert json.loads((deploy.bench.host.root / "config/configuration.json").read_text()) == json.loads(
        before
    )
    assert deploy.pid("com.b") == running


def test_first_deployment_that_fails_leaves_nothing_but_the_log(deploy: Deploying) -> None:
    """The component is gone, and with it its configuration, its files and its token."""
    deploy.recipe("com.a", run="echo $SVCUID > token; exit 1", configuration={"Speed": 1})
    fails(deploy, "com.a", words=r"rolled back$")
    host = deploy.bench.host
    assert (host.status(), "com.a" in host.configuration, recipes(deploy)) == ([], False, [])
    token = (host.root / "work/com.a/token").read_text().strip()
    assert deploy.bench.raw().connect(token).headers[":message-flags"] == 0
    assert "exited with 1" in deploy.log("com.a")
    deploy.recipe("com.a", run=FOREVER)
    deploy("com.a")


def test_same_version_edited_rolls_back_to_what_it_was(deploy: Deploying) -> None:
    """Its recipe and its artifacts had been replaced in the store, under another suffix even."""
    deploy.artifact("com.a", "x.txt", "old\n")
    deploy.recipe("com.a", run=f"cat {{artifacts:path}}/x.txt; {FOREVER}", artifacts=["x.txt"])
    deploy("com.a")
    kept = deploy.bench.host.root / "packages/recipes/com.a-1.0.0.json"
    before = kept.read_bytes()
    deploy.artifact("com.a", "x.txt", "new\n")
    deploy.recipe("com.a", run="exit 1", artifacts=["x.txt"])
    (deploy.recipes / "com.a-1.0.0.json").rename(deploy.recipes / "a.yaml")
    fails(deploy, "com.a")
    assert kept.read_bytes() == before
    assert recipes(deploy) == ["com.a-1.0.0.json"]
    assert (deploy.bench.host.root / "packages/artifacts/com.a/1.0.0/x.txt").read_text() == "old\n"
    deploy(recipes=None, artifacts=None)
    assert deploy.state("com.a") == State.RUNNING


def test_removed_component_comes_back_with_a_rollback(deploy: Deploying) -> None:
    """It goes only when all others are up; what must stop with the others starts again."""
    deploy.recipe("com.base")
    deploy.recipe("com.top", dependencies={"com.base": "HARD"})
    deploy.recipe("com.by")
    deploy("com.top", "com.base", "com.by")
    untouched, stopped = deploy.pid("com.by"), deploy.pid("com.top")
    deploy.recipe("com.base", "2.0.0", run="exit 1")
    fails(deploy, "com.base=2.0.0", remove=["com.top", "com.by"])
    states = {each["name"]: (each["version"], each["state"]) for each in deploy.bench.host.status()}
    assert states == dict.fromkeys(("com.base", "com.top", "com.by"), ("1.0.0", "RUNNING"))
    assert stopped not in (deploy.pid("com.top"), None)
    assert all(each["is_root"] for each in deploy.bench.host.status())
    assert untouched is not None


def test_nothing_is_undone_where_that_is_asked(deploy: Deploying) -> None:
    """The broken version stays, so that one can look at it; the next deployment mends it."""
    deploy.recipe("com.a")
    deploy("com.a")
    deploy.recipe("com.a", "2.0.0", run="exit 1")
    message = fails(deploy, "com.a=2.0.0", policy="nothing")
    assert message.endswith("not rolled back, as asked")
    assert (deploy.version("com.a"), deploy.state("com.a")) == ("2.0.0", State.BROKEN)
    assert deploy.last() == "FAILED_ROLLBACK_NOT_REQUESTED"
    deploy("com.a=1.0.0", recipes=None, artifacts=None)
    assert (deploy.version("com.a"), deploy.state("com.a")) == ("1.0.0", State.RUNNING)


def test_rollback_that_fails_is_told_with_both_reasons(deploy: Deploying) -> None:
    """The previous version doesn't start any more."""
    deploy.recipe("com.a", install="test -e spent && exit 1; touch spent")
    deploy("com.a")
    deploy.recipe("com.a", "2.0.0", run="echo next; exit 1")
    message = fails(deploy, "com.a=2.0.0", words=r"com\.a 2\.0\.0 is BROKEN")
    assert re.search(r"the rollback failed too: com\.a 1\.0\.0 is BROKEN", message)
    assert deploy.last() == "FAILED_UNABLE_TO_ROLLBACK"
    deploy.recipe("com.a", "3.0.0")
    deploy("com.a=3.0.0")
    assert deploy.last() == "SUCCEEDED"


def test_rollback_that_found_no_room_is_made_up_for(
    deploy: Deploying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it can't be undone no other deployment begins; the first one for which there is room undoes it."""
    deploy.recipe("com.a", configuration={"Speed": 1})
    deploy("com.a")
    deploy.recipe("com.a", "2.0.0", run="exit 1", configuration={"New": 1})
    deploy.recipe("com.b")
    with monkeypatch.context() as full:
        full.setattr(ConfigurationStore, "restore", _no_room)
        assert "the rollback failed too" in fails(deploy, "com.a=2.0.0")
        assert deploy.last() == "FAILED_UNABLE_TO_ROLLBACK"
        fails(deploy, "com.b", words="still to be rolled back: the rollback failed too: .*No space left")
        assert "com.b" not in deploy.bench.host.components
    deploy("com.b")
    assert (deploy.version("com.a"), deploy.state("com.a")) == ("1.0.0", State.RUNNING)
    assert deploy.bench.host.configuration.value("com.a") == {"Speed": 1}
    assert deploy.state("com.b") == State.RUNNING


def _no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_component_that_was_broken_before_is_not_waited_for(deploy: Deploying) -> None:
    """A rollback can't make better what was no good; and each deployment tries such a component again."""
    deploy.recipe("com.old", run="test -e mended || exit 1; " + FOREVER)
    fails(deploy, "com.old", policy="nothing")
    deploy.recipe("com.a", "2.0.0", run="exit 1")
    message = fails(deploy, "com.a=2.0.0")
    assert "the rollback failed" not in message
    (deploy.bench.host.root / "work/com.old/mended").touch()
    deploy.recipe("com.b")
    deploy("com.b")
    assert deploy.state("com.old") == State.RUNNING


def test_refused_deployment_changes_no_state(deploy: Deploying) -> None:
    """What fails before anything is touched says so."""
    deploy.recipe("com.a")
    deploy("com.a")
    before = deploy.bench.host.root.joinpath("config/configuration.json").read_bytes()
    fails(deploy, "com.none", words="no recipe of com.none")
    assert deploy.last() == "FAILED_NO_STATE_CHANGE"
    assert deploy.bench.host.root.joinpath("config/configuration.json").read_bytes() == before


def test_full_disk_rolls_back(deploy: Deploying, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the host's own, in the middle, is no reason to stay there."""
    deploy.recipe("com.a")
    deploy("com.a")
    deploy.recipe("com.a", "2.0.0")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(deploy.bench.host._deployer._store, "install", full)
    message = fails(deploy, "com.a=2.0.0", words="No space left on device")
    assert message.endswith("rolled back; running again: com.a 1.0.0")
    assert deploy.state("com.a") == State.RUNNING


def test_full_disk_before_anything_is_touched_leaves_nothing(tmp_path: Path) -> None:
    """Room for the new version, none to keep what is needed to undo it: the file is named, no part of it stays."""
    with (
        small_disk(tmp_path / "disk", 16) as disk,
        run_in_thread(disk.path / "root", steady_s=0.2) as threaded,
    ):
        deploy = Deploying(SimpleNamespace(host=threaded.host, threaded=threaded), tmp_path)
        deploy.recipe("com.a", configuration={"Text": "x" * 15_000})
        for number in range(100):
            threaded.host.configuration.add_defaults("com.a", {f"Text{number}": "x" * 15_000})
        deploy("com.a")
        deploy.recipe("com.a", "2.0.0")
        disk.fill(500_000)
        message = fails(
            deploy, "com.a=2.0.0", words="No space left on device: .*deployments/.*configuration.json"
        )
        assert "rolled back" not in message
        assert (deploy.version("com.a"), deploy.state("com.a")) == ("1.0.0", State.RUNNING)
        assert list((disk.path / "root/deployments").iterdir()) == []
        disk.clear()
        deploy("com.a=2.0.0")


def test_deployment_goes_on_when_nobody_waits_for_it_any_more(deploy: Deploying) -> None:
    """Whoever asked may go away; a device is not left in the middle."""
    deploy.recipe("com.a", install="while ! test -e go; do sleep 0.05; done")

    async def impatient() -> None:
        host = deploy.bench.host
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(host.deploy(deploy.recipes, None, {"com.a": "1.0.0"}), 0.3)

    deploy.bench.call(impatient(), DEADLINE_S)
    (deploy.bench.host.root / "work/com.a/go").touch()
    until(lambda: deploy.bench.host.last_deployment() is not None, "the deployment ends")
    assert (deploy.last(), deploy.state("com.a")) == ("SUCCEEDED", State.RUNNING)


@pytest.mark.parametrize("profile", [LITE], ids=["lite"])
def test_lite_restarts_what_a_deployment_configures(deploy: Deploying, profile: Profile) -> None:
    """Whether the values are new or not: it looks only whether the deployment says anything of them."""
    deploy.recipe("com.a", configuration={"Speed": 1})
    deploy.recipe("com.b", configuration={"Speed": 1})
    deploy("com.a", "com.b")
    a, b = deploy.pid("com.a"), deploy.pid("com.b")
    deploy(config={"com.a": {"Speed": 1}})
    assert deploy.pid("com.a") not in (a, None)
    assert deploy.pid("com.b") == b


def test_crash_within_the_watch_fails_the_deployment(tmp_path: Path) -> None:
    """A process that dies again and again is not up, though it is RUNNING at every look in between."""
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "ComponentName": "com.a",
                "ComponentVersion": "1.0.0",
                "Manifests": [{"Lifecycle": {"run": "sleep 0.4; exit 1"}}],
            }
        )
    )
    with run_in_thread(tmp_path / "root") as threaded:
        deployment = threaded.submit(threaded.host.deploy(tmp_path, None, {"com.a": "1.0.0"}))
        assert isinstance(deployment.exception(20), DeploymentError)
