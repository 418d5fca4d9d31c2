"""Writes ``bench/small.onnx``, a detector with YOLOv8's interface, 64x64 pixels small: for runs of many inferences.

    .venv-models/bin/python bench/small_model.py

Needs the package onnx. Its weights are random (seeded): what it finds means nothing, but it finds something of every
confidence, so that all three verdicts occur.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CELLS = 64, 8
CHANNELS = (3, 8, 16, 16)
TARGET = Path(__file__).with_name("small.onnx")


def main() -> None:
    """Three convolutions of stride 2; of each of the 64 cells a box around it and the confidence of one class."""
    rng = np.random.default_rng(0)
    nodes, constants, tensor = [], [], "images"
    for index, (before, after) in enumerate(pairwise(CHANNELS)):
        weights = rng.normal(0, (2 / (9 * before)) ** 0.5, (after, before, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"weights{index}"))
        convolution = {"strides": [2, 2], "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
        nodes.append(helper.make_node("Conv", [tensor, f"weights{index}"], [f"map{index}"], **convolution))
        tensor = f"features{index}"
        nodes.append(helper.make_node("Relu", [f"map{index}"], [tensor]))
    head = rng.normal(0, 1.2, (1, CHANNELS[-1], 1, 1)).astype(np.float32)
    named = {"head": head, "bias": np.float32([-2]), "boxes": _boxes(), "row": np.int64([1, 1, -1])}
    constants += [numpy_helper.from_array(value, name) for name, value in named.items()]
    nodes += [
        helper.make_node("Conv", [tensor, "head", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["confidences"]),
        helper.make_node("Reshape", ["confidences", "row"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 5, CELLS * CELLS])
    graph = helper.make_graph(nodes, "small", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"names": "{0: 'scratch'}", "imgsz": f"[{SIDE}, {SIDE}]", "task": "detect"})
    onnx.checker.check_model(model)
    TARGET.write_bytes(model.SerializeToString())


def _boxes() -> np.ndarray:
    """(1, 4, 64): centre and size of each cell's box, in pixels of the network's input."""
    cell = SIDE / CELLS
    y, x = np.mgrid[0:CELLS, 0:CELLS].reshape(2, -1) * cell + cell / 2
    size = np.full_like(x, cell)
    return np.stack([x, y, size, size])[None].astype(np.float32)


if __name__ == "__main__":
    main()
