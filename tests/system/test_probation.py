"""A model that passes its trial and fails on the line: the one before judges again, and no image pays for it."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from edge import FAILING, INSPECTOR, MODEL_VERSION, VERSION, Edge
from edgehost.state import State
from model_versions import add_version
from mosquitto_broker import until

# Python imports this before anything else, also in the process that tries a model; nothing of it ships.
PLANTED = """
import ctypes
import sys

if "run" in sys.orig_argv:
    from inspector.shell.detector import Detector

    detect = Detector.detect

    def failing(self, pixels, **options):
        if self.info.version == "2.0.0" and pixels.shape[0] > 64:
            {failure}
        return detect(self, pixels, **options)

    Detector.detect = failing
"""


@pytest.fixture(
    params=["raise ValueError('the output is not finite')", "ctypes.string_at(0)"], ids=["error", "crash"]
)
def failure(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def build(build: Path, tmp_path: Path, failure: str) -> Path:
    """The build, with an inspector in which version 2.0.0 of the model fails on every image that arrives."""
    copy = shutil.copytree(build, tmp_path / "build")
    with zipfile.ZipFile(copy / "artifacts" / INSPECTOR / VERSION / "inspector.zip", "a") as artifact:
        artifact.writestr("sitecustomize.py", PLANTED.replace("{failure}", failure))
    add_version(copy, "2.0.0")
    return copy


def test_every_image_is_judged_by_the_model_before(edge: Edge, failure: str) -> None:
    """Each once, none as ``crashed`` or ``inference_error``; an error costs no restart, a crash one."""
    edge.start()
    pid = edge.pid
    edge.deploy_model("2.0.0")
    for number in range(3):
        edge.drop(FAILING, f"{number}.jpg")
    edge.wait_for_results(3)
    status = edge.wait_for_status(lambda status: status["alarms"] == ["model_refused"])
    reason = "the process died while it was on probation" if "ctypes" in failure else "is not finite"
    assert reason in status["model_refused"]
    judged = {each["image"]["name"]: (each["verdict"], each["model"]["version"]) for each in edge.results}
    assert judged == {f"{number}.jpg": ("fail", MODEL_VERSION) for number in range(3)}
    assert len({each["id"] for each in edge.results}) == 3
    assert (edge.pid != pid) == ("ctypes" in failure)
    assert edge.host.components[INSPECTOR].state == State.RUNNING
    kept = json.loads((edge.work / "model-status.json").read_text())
    assert (kept["in_use"]["version"], kept["deployed"]["outcome"]["verdict"]) == (MODEL_VERSION, "refused")
    edge.restart()
    edge.drop(FAILING, "after.jpg")
    until(lambda: "after.jpg" in edge.verdicts(), "it judges after a restart", 30)
    assert {each["model"]["version"] for each in edge.results} == {MODEL_VERSION}
