"""From pixels to detections, the shipped model cut by ``modelkit export`` equals its plain export."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.shell import detector
from modelkit.export import export
from uncut import uncut

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "sample_images").glob("*.jpg")) + sorted((ROOT / "models" / "golden").glob("*.*"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "plain.onnx"
    path.write_bytes(uncut().SerializeToString())
    return path


@pytest.fixture(scope="module")
def cut_model(plain: Path) -> detector.Detector:
    path = plain.with_name("cut.onnx")
    export(plain, path, images=ROOT / "sample_images")
    return detector.load(path, threads=1)


@pytest.fixture(scope="module")
def plain_model(plain: Path) -> detector.Detector:
    return detector.load(plain, threads=1)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_the_detections_are_those_of_the_plain_export(
    cut_model: detector.Detector, plain_model: detector.Detector, picture: Path
) -> None:
    """As many, of the same classes, within a thousandth of a pixel and a ten-thousandth of confidence."""
    pixels = np.asarray(cv2.imread(str(picture)), np.uint8)
    found, wanted = cut_model.detect(pixels)[0], plain_model.detect(pixels)[0]
    np.testing.assert_array_equal(found.class_ids, wanted.class_ids)
    np.testing.assert_allclose(found.confidences, wanted.confidences, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.boxes, wanted.boxes, rtol=0, atol=1e-3)


def test_something_is_detected(plain_model: detector.Detector) -> None:
    """The pictures have something to agree on."""
    found = [len(plain_model.detect(np.asarray(cv2.imread(str(path)), np.uint8))[0]) for path in PICTURES]
    assert sum(count > 0 for count in found) > len(found) / 2 > 5
