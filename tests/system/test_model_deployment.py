"""A model that is deployed while 20 images a second come: the line goes on, whatever becomes of the deployment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from edge import MODEL, MODEL_VERSION, Edge
from edgehost.deployment import DeploymentError
from flowing import PICTURES, assert_accounted_for, gate_listening, images_flowing
from model_versions import Change, add_version, expect_otherwise, small, tamper
from mosquitto_broker import until
from signing import KeyPair

OLD, NEW = MODEL_VERSION, "2.0.0"
SCRATCHES, BLEMISHES = small("scratch", 0.195), small("blemish", 0.16)
"""Two models that find the same, set it other thresholds and call it otherwise; some pictures one passes, the other
fails."""
MAX_DELAY_S = 1.0
"""By so much a deployment may hold an image up."""


@pytest.fixture
def build(build: Path, tmp_path: Path) -> Path:
    """A build that a test may add versions to."""
    return shutil.copytree(build, tmp_path / "build")


def both(*changes: Change) -> Change:
    """One change after the other."""

    def change(package: Path) -> None:
        for each in changes:
            each(package)

    return change


def said(result: dict[str, Any]) -> dict[str, Any]:
    """What a result says of a picture, whenever and under whatever name it came."""
    return {key: result[key] for key in ("model", "verdict", "reasons", "detections", "detections_total")}


def judged_alone(build: Path, version: str, directory: Path) -> list[dict[str, Any]]:
    """What ``inspector once`` says of each of the camera's pictures with a version of the model."""
    package = directory / version
    with zipfile.ZipFile(build / "artifacts" / MODEL / version / "model.zip") as members:
        members.extractall(package)
    command = [sys.executable, "-m", "inspector", "once", *map(str, PICTURES), "--model", str(package)]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    return [said(json.loads(line)) for line in lines]


def taken_s(taken: dict[str, float], result: dict[str, Any]) -> float:
    """When the image of a result was taken."""
    return taken[result["image"]["name"]]


def wait_for_more(edge: Edge, count: int) -> None:
    """So many images' results, from now on."""
    known = len(edge.results)
    until(lambda: len(edge.results) >= known + count, f"{count} more results come", 60)


def assert_not_held_up(taken: dict[str, float], heard: dict[str, float], deployed_s: float) -> None:
    """No image's verdict took longer by a second than they usually took before the deployment.

    The gate hears it before the broker does, on whose speed the inspector has no influence.
    """
    usual_s = median(heard[name] - taken[name] for name in taken if taken[name] < deployed_s)
    delays_s = {name: heard[name] - taken[name] - usual_s for name in taken if taken[name] >= deployed_s}
    held_up = {name: delay_s for name, delay_s in delays_s.items() if delay_s > MAX_DELAY_S}
    assert delays_s
    assert not held_up


@contextmanager
def undisturbed(edge: Edge, **configuration: Any) -> Iterator[dict[str, float]]:
    """What is done meanwhile costs no image its one result, and holds none up; images, and when each was taken."""
    with gate_listening(edge) as heard:
        edge.start(**configuration)
        with images_flowing(edge) as taken:
            wait_for_more(edge, 40)
            begun_s = time.monotonic()
            yield taken
            wait_for_more(edge, 20)
        until(lambda: set(taken) <= set(edge.verdicts()) & set(heard), "every image has its verdict", 60)
    assert_accounted_for(edge, taken)
    assert_not_held_up(taken, heard, begun_s)


def assert_in_use(edge: Edge, version: str) -> None:
    """What is deployed is what judges, says model-status.json."""
    status = json.loads((edge.work / "model-status.json").read_text())
    assert status["deployed"] == status["in_use"]
    assert (status["in_use"]["version"], status["in_use"]["outcome"]["verdict"]) == (version, "accepted")


def test_every_image_is_judged_by_one_model_and_its_message_names_it(
    edge: Edge, build: Path, tmp_path: Path
) -> None:
    """A newer version, then the older one again, on purpose: each takes over at one image, and none waits for it."""
    add_version(build, OLD, SCRATCHES)
    add_version(build, NEW, BLEMISHES)
    in_turn, succeeded_s = [OLD, NEW, OLD], [0.0]
    with undisturbed(edge) as taken:
        known = len(edge.results)
        for version in in_turn[1:]:
            edge.deploy_model(version)
            succeeded_s.append(time.monotonic())
            assert edge.host.last_deployment()["status"] == "SUCCEEDED"
            assert_in_use(edge, version)
            wait_for_more(edge, 20)

    results = sorted(edge.results, key=lambda result: result["seq"])
    turns = [list(group) for _, group in groupby(results, key=lambda result: result["model"]["version"])]
    assert [turn[0]["model"]["version"] for turn in turns] == in_turn
    assert {result["model"]["version"] for result in edge.results[:known]} == {OLD}
    for (before, after), end_s in zip(pairwise(turns), succeeded_s[1:], strict=True):
        assert max(taken_s(taken, result) for result in before) < end_s
        assert any(taken_s(taken, result) > end_s for result in after)

    alone = {version: judged_alone(build, version, tmp_path) for version in (OLD, NEW)}
    assert alone[OLD] != alone[NEW]
    for result in results:
        picture = int(Path(result["image"]["name"]).stem) % len(PICTURES)
        assert said(result) == alone[result["model"]["version"]][picture]


def test_the_line_goes_on_while_a_bad_version_is_refused_and_rolled_back(
    edge: Edge, build: Path, tmp_path: Path
) -> None:
    """A byte is not what the manifest says, pictures show what they should not, another's key has signed: the
    deployment fails with the reason, the alarm is over after the rollback, and no image waits."""
    ours, theirs = KeyPair(tmp_path / "ours"), KeyPair(tmp_path / "theirs")
    add_version(build, OLD, both(SCRATCHES, ours.sign))
    bad = {
        "2.0.0": (both(tamper, ours.sign), "fp32.onnx has SHA-256"),
        "2.0.1": (both(expect_otherwise, ours.sign), "fp32 finds in golden/"),
        "2.0.2": (theirs.sign, "manifest.sig is no signature"),
    }
    with undisturbed(edge, PublicKey=ours.public, RequireSignature=True):
        for version, (change, cause) in bad.items():
            add_version(build, version, change)
            with pytest.raises(DeploymentError, match=cause):
                edge.deploy_model(version)
            assert edge.host.last_deployment()["status"] == "FAILED_ROLLBACK_COMPLETE"
            assert_in_use(edge, OLD)
    assert {result["model"]["version"] for result in edge.results} == {OLD}

    until(lambda: not edge.statuses[-1]["alarms"], "the alarm is over", 30)
    alarms = [status["model_refused"] for status in edge.statuses if status["alarms"] == ["model_refused"]]
    refused = [cause for _, cause in list(bad.values())[1:]]  # a byte: its own installer notices
    assert [cause for cause in refused if any(cause in alarm for alarm in alarms)] == refused
