"""What is wrong with the best known sample of such a component, and right with this one: a test for each fault.

The sample is ``mlops-at-edge-for-quality-inspection`` (aws-samples). Each test's docstring names the fault first.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from edge import FAILING, PASSING, SAMPLES, Edge
from inspector.component import Component
from inspector.core.detections import Detections
from inspector.core.package import Thresholds
from inspector.core.verdict import Policy, judge
from inspector_bench import Bench
from inspector_fakes import drop, picture
from modelkit.folds import folds
from mosquitto_broker import until

ROOT = Path(__file__).parents[2]
POLICY = Policy(Thresholds(confidence=0.7, low_confidence=0.3))


def found(*confidences: float) -> Detections:
    """Scratches of so much confidence."""
    count = len(confidences)
    boxes = np.tile(np.array([1, 2, 11, 22], np.float32), (count, 1))
    return Detections(boxes, np.array(confidences, np.float32), np.zeros(count, np.int64))


def test_pictures_come_from_the_image_directory(edge: Edge, tmp_path: Path) -> None:
    """It reads the directory once, picks at random, and takes the pixels from its own samples. Here every file is
    inspected once, as it comes, and the pixels are those of the file."""
    elsewhere = tmp_path / "line 3"
    elsewhere.mkdir()
    edge.start(ImageDirectory=str(elsewhere))
    expected = {}
    for number, sample in enumerate(sorted(SAMPLES.glob("*.jpg"))[:6]):
        shutil.copy(sample, elsewhere / f".{number}.part")
        (elsewhere / f".{number}.part").rename(elsewhere / f"{number}.jpg")
        expected[f"{number}.jpg"] = hashlib.sha256(sample.read_bytes()).hexdigest()
        edge.wait_for_results(number + 1)
    assert {each["image"]["name"]: each["image"]["sha256"] for each in edge.results} == expected
    assert len({each["verdict"] for each in edge.results}) > 1
    assert len(edge.results) == 6


def test_other_files_do_not_end_the_process(edge: Edge) -> None:
    """Anything but .jpg ends the process. Here a PNG is inspected, what is no picture is a review, notes are left
    alone, and the process goes on."""
    edge.start()
    pid = edge.pid
    png = cv2.imencode(".png", cv2.imread(str(FAILING)))[1].tobytes()
    edge.drop(png, "a.png")
    edge.drop(b"Dear Sir or Madam, this is a text.", "b.jpg_3")
    edge.drop(b"left alone", "notes.txt")
    edge.drop(FAILING, "c.jpg")
    edge.wait_for_results(3)
    assert edge.verdicts() == {
        "a.png": ("fail", ("defect",)),
        "b.jpg_3": ("review", ("unsupported",)),
        "c.jpg": ("fail", ("defect",)),
    }
    assert edge.pid == pid
    assert (edge.images / "top" / "notes.txt").exists()


def test_pictures_are_not_held_in_memory(tmp_path: Path) -> None:
    """It holds all pictures in memory. Here what arrives faster than it is judged stays on disk, but for a few."""
    bench = Bench(tmp_path, audit_share=0)
    most = 0

    def count() -> None:
        nonlocal most
        most = max(most, len(bench.claimed()))

    bench.detector.before = count
    for number in range(120):
        drop(bench.images / f"{number:03}.jpg", picture(number))
    bench.run(inspections=120)
    assert most < 60


def test_an_unreadable_file_finds_nothing(edge: Edge) -> None:
    """It judges another picture under the file's name. Here the verdict is a review, nothing is detected, and the
    hash is the file's own."""
    edge.start()
    broken = FAILING.read_bytes()[:2_000]
    edge.drop(broken, "broken.jpg")
    (result,) = edge.wait_for_results(1)
    assert (result["verdict"], result["reasons"], result["detections"]) == ("review", ["unreadable"], [])
    assert result["image"]["sha256"] == hashlib.sha256(broken).hexdigest()
    assert result["image"]["width"] is None


@pytest.mark.parametrize(
    ("confidences", "name", "keep"),
    [
        ((0.71, 0.5), "fail", ("uncertain",)),
        ((0.71,), "fail", ()),
        ((0.5,), "review", ("uncertain",)),
        ((), "pass", ()),
        ((0.2,), "pass", ()),
    ],
)
def test_every_part_has_a_verdict_and_doubt_is_kept(confidences, name, keep) -> None:
    """One box at 0.71 beside several at 0.5 is never kept, and every good part is. Here doubt is kept whatever stands
    beside it, and a good part is not."""
    verdict = judge(found(*confidences), ("scratch",), POLICY)
    assert (verdict.name, verdict.keep) == (name, keep)


def test_a_pass_is_published_and_a_defect_has_its_class(edge: Edge) -> None:
    """Its payload has no classes, and where nothing is found nothing is published: a pass can't be told from a crash.
    Here a pass is published too, and every defect has its class."""
    edge.start()
    edge.drop(PASSING, "good.jpg")
    edge.drop(FAILING, "bad.jpg")
    edge.wait_for_results(2)
    results = {each["image"]["name"]: each for each in edge.results}
    assert (results["good.jpg"]["verdict"], results["good.jpg"]["detections"]) == ("pass", [])
    assert {(each["class_id"], each["label"]) for each in results["bad.jpg"]["detections"]} == {
        (0, "scratch")
    }


def test_a_failed_publish_is_tried_again_over_one_connection(edge: Edge) -> None:
    """A failed publish is dropped, and the stream is made anew for each image. Here a result that could not leave is
    published later, and one connection serves them all."""
    edge.start(PublishToTopic=False)
    edge.host.ipc.disconnect_all()
    for number, sample in enumerate(sorted(SAMPLES.glob("*.jpg"))[:5]):
        edge.drop(sample, f"{number}.jpg")
    until(lambda: len(edge.verdicts()) == 5, "each has its verdict", 60)
    assert edge.log.count("connected to Greengrass") == 2
    assert edge.log.count("connection to Greengrass lost") == 1


def test_an_error_without_a_message_is_told_and_waiting_does_not_recurse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It reads ``e.message``, which an error need not have, and waits for its configuration by calling itself without
    end. Here the component is blocked, says why, and tries again as often as it takes."""

    class Wordless(RuntimeError):
        def __str__(self) -> str:
            return ""

    def fail(**_: object) -> None:
        raise Wordless

    monkeypatch.setattr("inspector.shell.greengrass.awsiot.greengrasscoreipc.connect", fail)
    monkeypatch.setattr("inspector.component.TICK_S", 0.0001)
    component = Component(tmp_path, "line-3")
    component._retry.interval_s = 0.0
    for _ in range(3_000):
        assert component._turn()
    causes = {getattr(record, "cause", "") for record in caplog.records}
    assert any("Wordless()" in cause for cause in causes)
    assert any("configuration: Greengrass does not answer" in cause for cause in causes)
    component._shut_down()


def test_nothing_is_installed_at_run() -> None:
    """It installs ultralytics whenever it starts. Here ``run`` installs nothing, and the device never gets it."""
    recipe = yaml.safe_load((ROOT / "recipe.yaml").read_text())
    script = recipe["Manifests"][0]["Lifecycle"]["run"]["Script"]
    assert "pip" not in script
    assert "install" not in script
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert "onnxruntime" in locked
    assert {"ultralytics", "torch", "torchvision"}.isdisjoint(locked)


def test_a_part_is_not_trained_on_and_tested_on() -> None:
    """Its labels are split at random, although each part was photographed many times."""
    parts = [f"tag-{number % 16}" for number in range(191)]
    fold_of = folds(parts, 5)
    assert len({(part, fold) for part, fold in zip(parts, fold_of, strict=True)}) == 16
