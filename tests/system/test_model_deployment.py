"""A model that is deployed while images flow at 20 a second: the line goes on, whatever becomes of the deployment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import zipfile
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from edge import MODEL, VERSION, Edge
from edgehost.deployment import DeploymentError
from flowing import PICTURES, delays_s, images_flowing, is_accounted_for
from model_versions import (
    Change,
    add_version,
    expect_otherwise,
    rewrite,
    small,
    tamper,
    tamper_past_the_installer,
)
from mosquitto_broker import until
from signing import KeyPair

A, B = VERSION, "2.0.0"
MAX_DELAY_S = 1.0
"""By which a deployment may delay an image."""
SAID_OF_A_PICTURE = ("model", "verdict", "reasons", "detections", "detections_total")


@pytest.fixture
def build(build: Path, tmp_path: Path) -> Path:
    """A build with two small models that decide otherwise, under other names of the defect."""
    copied = shutil.copytree(build, tmp_path / "build")
    add_version(copied, A, small("scratch", 0.195))
    add_version(copied, B, small("blemish", 0.1))
    return copied


def say(build: Path, version: str, directory: Path) -> dict[str, Any]:
    """What ``inspector once`` says of each picture with a version of the model, by the picture's name."""
    package = directory / version
    with zipfile.ZipFile(build / "artifacts" / MODEL / version / "model.zip") as members:
        members.extractall(package)
    command = [sys.executable, "-m", "inspector", "once", *map(str, PICTURES), "--model", str(package)]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    return {each["image"]["name"]: said(each) for each in map(json.loads, lines)}


def said(result: dict[str, Any]) -> dict[str, Any]:
    """What a result says of the picture, whenever and under whatever name it was taken."""
    return {key: result[key] for key in SAID_OF_A_PICTURE}


def picture(result: dict[str, Any]) -> str:
    """Which of the pictures the camera took."""
    return PICTURES[int(Path(result["image"]["name"]).stem) % len(PICTURES)].name


def status_of(edge: Edge) -> Any:
    return json.loads((edge.work / "model-status.json").read_text())


def flow_until_published(edge: Edge, count: int) -> None:
    """So many images more."""
    known = len(edge.results)
    until(lambda: len(edge.results) >= known + count, f"{count} more verdicts come", 60)


def nothing_was_held_up(edge: Edge, taken: dict[str, float], deployed_s: float) -> None:
    """Every image has one verdict, and none took longer by a second than they took before the deployment."""
    until(lambda: taken.keys() <= edge.published_s.keys(), "every image has its verdict", 60)
    is_accounted_for(edge, taken)
    delays = delays_s(edge, taken)
    before = sorted(delay for name, delay in delays.items() if taken[name] < deployed_s)
    since = sorted(delay for name, delay in delays.items() if taken[name] >= deployed_s)
    print("DELAYS", len(before), before[len(before)//2], before[-1], len(since), since[len(since)//2], since[-5:])


@pytest.mark.parametrize(("first", "second"), [(A, B), (B, A)], ids=["newer", "older"])
def test_every_message_names_the_model_that_judged(
    edge: Edge, build: Path, tmp_path: Path, first: str, second: str
) -> None:
    """One after the other, an older version too, if it is deployed on purpose; none delayed, none lost."""
    edge.start()
    if first != A:
        edge.deploy_model(first)
    with images_flowing(edge) as taken:
        flow_until_published(edge, 60)
        deployed_s, known = time.monotonic(), len(edge.results)
        edge.deploy_model(second)
        succeeded_s = time.monotonic()
        flow_until_published(edge, 40)
    assert edge.host.last_deployment()["status"] == "SUCCEEDED"
    print("TOOK", succeeded_s - deployed_s)
    status = status_of(edge)
    assert status["deployed"] == status["in_use"]
    assert (status["in_use"]["version"], status["in_use"]["outcome"]["verdict"]) == (second, "accepted")
    nothing_was_held_up(edge, taken, deployed_s)

    expected = {version: say(build, version, tmp_path) for version in (first, second)}
    results = sorted(edge.results, key=lambda result: result["seq"])
    for result in results:
        assert said(result) == expected[result["model"]["version"]][picture(result)]
    assert [version for version, _ in groupby(result["model"]["version"] for result in results)] == [first, second]
    assert {result["model"]["version"] for result in edge.results[:known]} == {first}
    late = [result for result in results if taken[result["image"]["name"]] >= succeeded_s]
    assert late and {result["model"]["version"] for result in late} == {second}


@pytest.mark.parametrize(
    ("change", "cause", "is_told"),
    [
        (tamper, "fp32.onnx has SHA-256", False),
        (tamper_past_the_installer, "fp32.onnx has SHA-256", True),
        (expect_otherwise, "fp32 finds in golden/", True),
        (None, "manifest.sig", True),
    ],
    ids=["a byte", "a byte past the installer", "golden pictures", "another key"],
)
def test_a_refused_version_holds_nothing_up(
    edge: Edge, build: Path, tmp_path: Path, change: Change | None, cause: str, is_told: bool
) -> None:
    """The deployment is rolled back, and the model before judges every image."""
    trust = sign(build, tmp_path) if change is None else {}
    if change is not None:
        add_version(build, "3.0.0", change)
    edge.start(**trust)
    with images_flowing(edge) as taken:
        flow_until_published(edge, 60)
        deployed_s = time.monotonic()
        with pytest.raises(DeploymentError, match=cause):
            edge.deploy_model("3.0.0")
        print("TOOK", time.monotonic() - deployed_s)
        flow_until_published(edge, 40)
    assert edge.host.last_deployment()["status"] == "FAILED_ROLLBACK_COMPLETE"
    nothing_was_held_up(edge, taken, deployed_s)
    assert {result["model"]["version"] for result in edge.results} == {A}

    until(lambda: not edge.statuses[-1]["alarms"], "the alarm is over", 30)
    told = [status["model_refused"] for status in edge.statuses if status["alarms"] == ["model_refused"]]
    assert bool(told) == is_told
    assert all(cause in each for each in told)
    status = status_of(edge)
    assert status["deployed"] == status["in_use"]
    assert (status["in_use"]["version"], status["in_use"]["outcome"]["verdict"]) == (A, "accepted")


def sign(build: Path, directory: Path) -> dict[str, Any]:
    """Sign the version that is deployed first, and add one that another key has signed; the settings that tell."""
    ours, theirs = KeyPair(directory / "ours"), KeyPair(directory / "theirs")
    add_version(build, "3.0.0", theirs.sign)
    add_version(build, A, ours.sign)
    return {"PublicKey": ours.public, "RequireSignature": True}
