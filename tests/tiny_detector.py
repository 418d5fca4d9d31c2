"""A detector of a few hundred bytes: how much red a picture has is the confidence of the one detection in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inspector.core.package import Kind

SIZE = 64
RED = (1.0, 0.0, 0.0)
ALMOST = 1e-6
"""Logits of 0 and 1 are infinite: confidences stay so far from both."""


def write_detector(
    path: Path,
    *,
    labels: tuple[str, ...] = ("scratch",),
    size: int = SIZE,
    weights: tuple[float, float, float] = RED,
    quantized: bool = False,
    kind: Kind = "plain",
    named: bool = True,
) -> Path:
    """``size`` pixels square; it finds class 0, with the confidence weights · mean of RGB.

    ``quantized`` rounds the confidence to 1/255; without ``named`` it lacks the metadata of an export.
    """
    columns = np.zeros((3, len(labels)), np.float32)
    columns[:, 0] = weights
    graph = (_plain if kind == "plain" else _cut)(columns, size, quantized)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if named:
        metadata = {
            "names": str(dict(enumerate(labels))),
            "imgsz": str([size, size]),
            "task": "detect",
            "version": "8.4.190",
            "date": "2026-11-22T12:00:00",
        }
        helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def write_picture(path: Path, red: float, *, noise: int = 0) -> Path:
    """A grey picture for which RED gives this confidence (0..1); ``noise`` tells one from others of the same."""
    pixels = np.full((SIZE, SIZE, 3), round(red * 255), np.uint8)
    pixels[0, noise, :2] ^= 1
    cv2.imwrite(str(path), pixels)
    return path


def _plain(columns: np.ndarray, size: int, quantized: bool) -> onnx.GraphProto:
    """One box, in the middle."""
    classes = columns.shape[1]
    constants = {"box": np.float32([size / 2, size / 2, size / 4, size / 4]).reshape(1, 4, 1)}
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["mean"]),
        helper.make_node("Concat", ["box", "anchor"], ["output0"], axis=1),
    ]
    return _graph(
        nodes[:1] + _confidence("mean", columns, quantized, constants) + nodes[1:],
        constants,
        ("images", TensorProto.FLOAT, [1, 3, size, size]),
        ("output0", TensorProto.FLOAT, [1, 4 + classes, 1]),
    )


def _cut(columns: np.ndarray, size: int, quantized: bool) -> onnx.GraphProto:
    """One anchor, of all that there are, has something."""
    classes = columns.shape[1]
    anchors = sum((size // stride) ** 2 for stride in (8, 16, 32))
    constants = {
        "full": np.float32(255),
        "least": np.float32(ALMOST),
        "greatest": np.float32(1 - ALMOST),
        "one": np.float32(1),
        "nothing": np.full((1, classes, anchors - 1), -20, np.float32),
        "bins": np.zeros((1, 64, anchors), np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["bytes"], ["level"], axes=[1, 2]),
        helper.make_node("Div", ["level", "full"], ["mean"]),
        *_confidence("mean", columns[::-1], quantized, constants),
        helper.make_node("Clip", ["anchor", "least", "greatest"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Div", ["p", "q"], ["odds"]),
        helper.make_node("Log", ["odds"], ["logit"]),
        helper.make_node("Concat", ["logit", "nothing"], ["scores"], axis=2),
        helper.make_node("Identity", ["bins"], ["distances"]),
    ]
    return _graph(
        nodes,
        constants,
        ("images", TensorProto.UINT8, [1, size, size, 3]),
        ("distances", TensorProto.FLOAT, [1, 64, anchors]),
        ("scores", TensorProto.FLOAT, [1, classes, anchors]),
    )


def _confidence(
    mean: str, columns: np.ndarray, quantized: bool, constants: dict[str, Any]
) -> list[onnx.NodeProto]:
    """From three channels' mean to ``anchor``, (1, classes, 1)."""
    constants |= {
        "columns": np.ascontiguousarray(columns),
        "as_row": np.int64([1, 3]),
        "as_anchor": np.int64([1, -1, 1]),
    }
    nodes = [
        helper.make_node("Reshape", [mean, "as_row"], ["row"]),
        helper.make_node("MatMul", ["row", "columns"], ["exact"]),
        helper.make_node("Reshape", ["rounded" if quantized else "exact", "as_anchor"], ["anchor"]),
    ]
    if quantized:
        constants |= {"step": np.float32(1 / 255), "zero": np.uint8(0)}
        nodes[2:2] = [
            helper.make_node("QuantizeLinear", ["exact", "step", "zero"], ["levels"]),
            helper.make_node("DequantizeLinear", ["levels", "step", "zero"], ["rounded"]),
        ]
    return nodes


def _graph(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], *values: tuple[str, int, list[int]]
) -> onnx.GraphProto:
    """The first of ``values`` is the input."""
    taken, *given = [helper.make_tensor_value_info(*value) for value in values]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "tiny", [taken], given, initializers)
