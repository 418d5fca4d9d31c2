"""From pixels to detections, our detector and ``YOLO(onnx).predict`` agree on whole models."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.shell import detector
from uncut import uncut

pytestmark = pytest.mark.models

ROOT = Path(__file__).parents[2]
IMAGE_SIZES = [(450, 300), (300, 450), (333, 777), (64, 48), (1280, 720), (500, 500)]
EXPORTS = [
    # classes, height, width, dynamic
    (1, 320, 448, False),
    (2, 256, 256, True),
    (6, 416, 224, False),
    (80, 192, 320, True),
    (80, 320, 320, False),
]


def agree(ultralytics, model: Path, size: tuple[int, int], images: list[NDArray[np.uint8]]) -> int:
    """Compare both on every image, ``size`` being the network's height and width; return the detections' number."""
    ours = detector.load(model)
    theirs = ultralytics.YOLO(model, task="detect")
    compared = 0
    for pixels in images:
        found, _ = ours.detect(pixels, iou=0.7, max_detections=300)
        # rect=False: a dynamic model is given one fixed shape, as ours always is.
        (result,) = theirs.predict(
            pixels, conf=0.05, iou=0.7, max_det=300, imgsz=size, rect=False, verbose=False, device="cpu"
        )
        wanted = result.boxes.data.numpy()
        np.testing.assert_array_equal(found.class_ids, wanted[:, 5])
        np.testing.assert_allclose(found.confidences, wanted[:, 4], rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.boxes, wanted[:, :4], rtol=0, atol=0.01)
        compared += len(found)
    assert ours.labels == tuple(theirs.names.values())
    return compared


def pictures(seed: int) -> list[NDArray[np.uint8]]:
    """Blurred noise in colour, of several sizes: structure at the scales that a network answers to."""
    rng = np.random.default_rng(seed)
    noise = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in IMAGE_SIZES]
    return [np.asarray(cv2.GaussianBlur(each, (0, 0), 2 + i), np.uint8) for i, each in enumerate(noise)]


@pytest.mark.parametrize(("classes", "height", "width", "dynamic"), EXPORTS)
def test_any_yolov8_export_gives_the_detections_of_ultralytics(
    ultralytics, tmp_path: Path, classes: int, height: int, width: int, dynamic: bool
) -> None:
    exported = export(ultralytics, tmp_path, classes, height, width, dynamic)
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]
    assert agree(ultralytics, exported, (height, width), pictures(classes)) > 50


def export(ultralytics, directory: Path, classes: int, height: int, width: int, dynamic: bool) -> Path:
    """An untrained YOLOv8n, its head made to answer strongly and diversely, as ONNX in a directory of its own."""
    import torch

    torch.manual_seed(classes)
    published = Path(ultralytics.__file__).parent / "cfg" / "models" / "v8" / "yolov8.yaml"
    architecture = directory / "yolov8n.yaml"
    architecture.write_text(published.read_text("utf-8").replace("nc: 80", f"nc: {classes}"), "utf-8")
    model = ultralytics.YOLO(architecture, task="detect")
    head = model.model.model[-1]
    with torch.no_grad():
        for branch in (*head.cv2, *head.cv3):
            branch[-1].weight.mul_(30.0)
        for branch in head.cv3:
            branch[-1].bias.fill_(-2.0)
    with warnings.catch_warnings():
        # Ultralytics exports by the older of torch's two exporters, which deprecates itself in many places.
        warnings.simplefilter("ignore")
        exported = model.export(format="onnx", imgsz=(height, width), dynamic=dynamic, opset=17, device="cpu")
    target = directory / "alone" / "model.onnx"
    target.parent.mkdir()
    return Path(exported).rename(target)


def test_the_shipped_model_gives_the_detections_of_ultralytics(ultralytics, tmp_path: Path) -> None:
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(uncut().SerializeToString())
    images = [cv2.imread(str(path)) for path in sorted((ROOT / "sample_images").glob("*.jpg"))]
    assert agree(ultralytics, plain, (320, 448), images + pictures(0)) > len(images) > 10
