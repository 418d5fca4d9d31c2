"""What the network is given equals, bit for bit, what Ultralytics gives it."""

import numpy as np
import pytest

from inspector.core.tensor import fit, to_tensor

pytestmark = pytest.mark.models

INPUTS = [(640, 640), (448, 320), (320, 448), (256, 96)]
THIN = [(1, 3000), (3000, 1), (1, 1), (639, 641)]


def random_sizes() -> list[tuple[int, int]]:
    sizes = np.random.default_rng(7).integers(1, 1500, size=(56, 2))
    return [(int(width), int(height)) for width, height in sizes] + THIN


@pytest.mark.parametrize("input_size", INPUTS)
def test_the_tensor_is_that_of_the_predictor(ultralytics, input_size: tuple[int, int]) -> None:
    rng = np.random.default_rng(11)
    width, height = input_size
    predictor = predictor_for(ultralytics, width, height)
    for image_width, image_height in random_sizes():
        pixels = rng.integers(0, 256, size=(image_height, image_width, 3), dtype=np.uint8)
        canvas, letterbox = fit(pixels, width, height)
        np.testing.assert_array_equal(to_tensor(canvas), predictor.preprocess([pixels]).numpy(), strict=True)
        assert letterbox.pad_left + letterbox.resized_width + letterbox.pad_right == width
        assert letterbox.pad_top + letterbox.resized_height + letterbox.pad_bottom == height


def predictor_for(ultralytics, width: int, height: int):
    """The predictor of an ONNX model of this input, without the model, which preprocessing only asks for facts."""
    import torch
    from ultralytics.models.yolo.detect import DetectionPredictor

    class Facts:
        stride, format, fp16, dynamic = 32, "onnx", False, False

    predictor = DetectionPredictor(overrides={"mode": "predict", "save": False, "verbose": False})
    predictor.model, predictor.imgsz, predictor.device = Facts(), (height, width), torch.device("cpu")
    predictor.scale_fill = False
    return predictor
