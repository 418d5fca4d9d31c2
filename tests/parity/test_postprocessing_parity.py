"""Of the same raw output, the same boxes are kept, at the same place, with the same confidence."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.core.detections import decode
from inspector.core.geometry import Letterbox

pytestmark = pytest.mark.models

COORDINATES_PX = 0.01
CONFIDENCES = 1e-5


def raw_output(rng: np.random.Generator, classes: int, width: int, height: int) -> NDArray[np.float32]:
    """Crowded boxes, so that many overlap near the threshold, some reaching over the border."""
    anchors = int(rng.integers(50, 2000))
    spots = rng.uniform(0, (width, height), size=(max(anchors // 12, 1), 2))
    centres = spots[rng.integers(0, len(spots), anchors)] + rng.normal(0, 4, size=(anchors, 2))
    sizes = rng.uniform(8, 120, size=(anchors, 1)) * rng.uniform(0.7, 1.4, size=(anchors, 2))
    confidences = rng.beta(0.4, 2.0, size=(anchors, classes))
    return np.hstack([centres, sizes, confidences]).T[None].astype(np.float32)


def expected(
    ultralytics, output, image: tuple[int, int], network: tuple[int, int], **limits
) -> NDArray[np.float32]:
    import torch
    from ultralytics.utils import nms, ops

    (kept,) = nms.non_max_suppression(torch.from_numpy(output.copy()), **limits)
    kept[:, :4] = ops.scale_boxes(network[::-1], kept[:, :4], image[::-1])
    return kept.numpy()


@pytest.mark.parametrize("seed", range(60))
def test_decode_keeps_what_ultralytics_keeps(ultralytics, seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = [1, 1, 2, 6, 20, 80][seed % 6]
    network = (int(rng.integers(3, 21)) * 32, int(rng.integers(3, 21)) * 32)
    image = (int(rng.integers(5, 4000)), int(rng.integers(5, 4000)))
    output = raw_output(rng, classes, *network)
    confidence, iou = [(0.05, 0.7), (0.25, 0.45), (0.5, 0.6)][seed % 3]
    found = decode(
        output, Letterbox.fit(*image, *network), confidence=confidence, iou=iou, max_detections=300
    )
    wanted = expected(ultralytics, output, image, network, conf_thres=confidence, iou_thres=iou, max_det=300)
    assert len(wanted) > 0
    np.testing.assert_array_equal(found.class_ids, wanted[:, 5])
    np.testing.assert_allclose(found.confidences, wanted[:, 4], rtol=0, atol=CONFIDENCES)
    np.testing.assert_allclose(found.boxes, wanted[:, :4], rtol=0, atol=COORDINATES_PX)


def test_nothing_found_is_no_detection(ultralytics) -> None:
    output = np.zeros((1, 6, 40), np.float32)
    found = decode(output, Letterbox.fit(450, 300, 448, 320), confidence=0.05, iou=0.7, max_detections=300)
    assert len(found) == 0
    assert len(expected(ultralytics, output, (450, 300), (448, 320), conf_thres=0.05, iou_thres=0.7)) == 0


def test_no_more_than_asked_for(ultralytics) -> None:
    rng = np.random.default_rng(3)
    output = raw_output(rng, 2, 640, 640)
    found = decode(output, Letterbox.fit(640, 640, 640, 640), confidence=0.05, iou=0.7, max_detections=5)
    wanted = expected(ultralytics, output, (640, 640), (640, 640), conf_thres=0.05, iou_thres=0.7, max_det=5)
    assert len(found) == len(wanted) == 5
    np.testing.assert_allclose(found.boxes, wanted[:, :4], rtol=0, atol=COORDINATES_PX)
