"""A detector that finds what is bright, so that a test decides by its pictures what is found, and how confidently.

Its input is 64x64 pixels, of 8x8 cells of 8x8 pixels. Each cell is a box; the mean of its blue is the confidence of
class 0, the mean of its red that of class 1. Of a picture of 64x64 pixels a cell of 128 has the confidence 128 / 255.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.core.package import SCHEMA, InputShape, KnownImages, Manifest, ModelFile, Precision, Thresholds
from inspector.shell import detector

SIDE_PX, CELL_PX = 64, 8
CELLS = SIDE_PX // CELL_PX
CLASSES = ("dent", "rust")
THRESHOLDS = Thresholds(confidence=0.5, low_confidence=0.25)
_BLUE, _RED = 2, 0
"""Where they are in the input: the network takes RGB."""

Spot = tuple[int, int, int, int]
"""A bright cell: column, row, class id, value 0..255."""


def write_model(path: Path, *, classes: int = 2, gain: float = 1.0) -> Path:
    """``gain`` is what every confidence is multiplied by."""
    cells = CELLS * CELLS
    named = {
        "boxes": _boxes(),
        "channels": np.int64([_BLUE, _RED][:classes]),
        "shape": np.int64([1, classes, cells]),
        "gain": np.float32(gain),
    }
    pool = {"kernel_shape": [CELL_PX] * 2, "strides": [CELL_PX] * 2}
    nodes = [
        helper.make_node("AveragePool", ["images"], ["means"], **pool),
        helper.make_node("Gather", ["means", "channels"], ["chosen"], axis=1),
        helper.make_node("Reshape", ["chosen", "shape"], ["brightness"]),
        helper.make_node("Mul", ["brightness", "gain"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE_PX, SIDE_PX])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + classes, cells])
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in named.items()]
    graph = helper.make_graph(nodes, "bright", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    names = dict(enumerate(CLASSES[:classes]))
    properties = {"names": str(names), "imgsz": str([SIDE_PX] * 2), "task": "detect", "stride": "32"}
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def write_package(
    directory: Path,
    gains: Mapping[Precision, float],
    *,
    classes: int = 2,
    thresholds: Thresholds = THRESHOLDS,
    images: KnownImages | None = None,
) -> Path:
    """A package with a file of each precision of ``gains``."""
    files = []
    for precision, gain in gains.items():
        path = write_model(directory / f"{precision}.onnx", classes=classes, gain=gain)
        sha256 = detector.load(path).info.sha256
        files.append(ModelFile(path.name, precision, sha256, path.stat().st_size, (), {}, "a test"))
    shape = InputShape(SIDE_PX, SIDE_PX)
    manifest = Manifest(SCHEMA, "bright", "1.0.0", CLASSES[:classes], shape, thresholds, tuple(files), images)
    (directory / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    return directory


def write_picture(path: Path, *spots: Spot) -> None:
    """Black but for bright cells; without loss."""
    pixels = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    for column, row, class_id, value in spots:
        channel = (0, 2)[class_id]
        pixels[row * CELL_PX : (row + 1) * CELL_PX, column * CELL_PX : (column + 1) * CELL_PX, channel] = (
            value
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def _boxes() -> np.ndarray:
    """(1, 4, 64): centre and size of each cell, in pixels."""
    y, x = np.mgrid[0:CELLS, 0:CELLS].reshape(2, -1) * CELL_PX + CELL_PX / 2
    size = np.full_like(x, CELL_PX)
    return np.stack([x, y, size, size])[None].astype(np.float32)
