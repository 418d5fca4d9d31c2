"""A model that is deployed while the inspector works: taken between two images, or refused and rolled back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge import FAILING, MODEL, MODEL_VERSION, Edge
from edgehost.deployment import DeploymentError
from edgehost.profile import Profile
from edgehost.state import State
from model_versions import add_version, expect_otherwise, tamper
from mosquitto_broker import until


@pytest.fixture
def build(build: Path, tmp_path: Path) -> Path:
    """A build that a test may add versions to."""
    return shutil.copytree(build, tmp_path / "build")


def status_of(edge: Edge) -> Any:
    return json.loads((edge.work / "model-status.json").read_text())


def inspect(edge: Edge, name: str) -> dict[str, Any]:
    """Drop an image and return its result."""
    edge.drop(FAILING, name)
    until(lambda: name in edge.verdicts(), f"{name} has its verdict", 30)
    return next(each for each in edge.results if each["image"]["name"] == name)


def test_a_new_version_judges_without_a_restart(edge: Edge, build: Path, profile: Profile) -> None:
    """The deployment succeeds once the inspector has taken it; the process and its line go on."""
    add_version(build, "2.0.0")
    edge.start()
    pid = edge.pid
    assert inspect(edge, "a.jpg")["model"]["version"] == MODEL_VERSION
    edge.deploy_model("2.0.0")
    assert edge.host.last_deployment()["status"] == "SUCCEEDED"
    assert "the inspector judges with it" in edge.log_of(MODEL)
    assert inspect(edge, "b.jpg")["model"]["version"] == "2.0.0"
    assert edge.pid == pid
    assert edge.host.components[MODEL].state == (State.FINISHED if profile.name == "lite" else State.RUNNING)


def test_a_first_deployment_waits_for_nobody(edge: Edge) -> None:
    """The model comes first, and there is no inspector yet that could judge it."""
    edge.deploy()
    assert edge.host.last_deployment()["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("change", "cause"),
    [(expect_otherwise, "fp32 finds in golden/"), (tamper, "fp32.onnx has SHA-256")],
    ids=["golden pictures", "a byte"],
)
def test_a_version_that_is_refused_is_rolled_back(edge: Edge, build: Path, change: Any, cause: str) -> None:
    """The deployment fails with the reason; the model before goes on, and the same one is not tried again."""
    add_version(build, "2.0.0", change)
    edge.start()
    for _ in range(2):
        with pytest.raises(DeploymentError, match=f"rolled back; running again: {MODEL} {MODEL_VERSION}"):
            edge.deploy_model("2.0.0")
        assert cause in edge.host.last_deployment()["cause"]
        assert edge.host.last_deployment()["status"] == "FAILED_ROLLBACK_COMPLETE"
    assert inspect(edge, "a.jpg")["model"]["version"] == MODEL_VERSION
    assert edge.log.count("INFO trying model") <= 2
    until(lambda: not edge.statuses[-1]["alarms"], "the alarm is over", 30)


def test_a_refused_version_stays_refused_over_a_restart(edge: Edge, build: Path) -> None:
    """Left in place, as Greengrass Lite leaves it, the last accepted one judges, and the status says why."""
    add_version(build, "2.0.0", expect_otherwise)
    edge.start()
    with pytest.raises(DeploymentError):
        edge.deploy_model("2.0.0", policy="nothing")
    status = edge.wait_for_status(lambda status: status["alarms"] == ["model_refused"])
    assert "fp32 finds in golden/" in status["model_refused"]
    known = len(edge.statuses)
    edge.restart()
    until(
        lambda: any(each["alarms"] == ["model_refused"] for each in edge.statuses[known:]),
        "it says so again",
        30,
    )
    assert inspect(edge, "a.jpg")["model"]["version"] == MODEL_VERSION
    assert edge.log.count("INFO trying model") == 2
