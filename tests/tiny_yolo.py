"""A plain Ultralytics export in miniature, made without torch: the head of YOLOv8 and little before it.

Its weights are random (seeded): what it finds means nothing, but it finds something.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
CHANNELS = 8


def tiny_yolo(
    height: int = 64,
    width: int = 96,
    labels: Sequence[str] = ("scratch",),
    *,
    activation: str = "Relu",
    bins: int = 16,
    opset: int = 17,
    seed: int = 0,
) -> onnx.ModelProto:
    """(1, 3, height, width) float32 RGB 0..1 in, (1, 4 + classes, anchors) float32 out; with the metadata."""
    return _Network(height, width, labels, activation, bins, seed).model(opset)


class _Network:
    def __init__(
        self, height: int, width: int, labels: Sequence[str], activation: str, bins: int, seed: int
    ) -> None:
        self.height, self.width, self.labels = height, width, labels
        self.activation, self.bins = activation, bins
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def model(self, opset: int) -> onnx.ModelProto:
        self.body()
        anchors = self.anchors()[0].shape[1]
        image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, self.height, self.width])
        shape = [1, 4 + len(self.labels), anchors]
        output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "tiny", [image], [output], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        metadata = {
            "names": str(dict(enumerate(self.labels))),
            "imgsz": str([self.height, self.width]),
            "task": "detect",
            "stride": "32",
            "version": "8.4.190",
            "date": "2026-11-22T00:00:00+00:00",
        }
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model

    def body(self) -> None:
        """Three feature maps; of each the distances' and the scores' logits; then what Ultralytics' head does."""
        features = self.convolve("images", 3, CHANNELS, 8, active=True)
        distances, scores = [], []
        for stride in STRIDES:
            if stride > 8:
                features = self.convolve(features, CHANNELS, CHANNELS, 2, active=True)
            distances.append(self.row(self.convolve(features, CHANNELS, 4 * self.bins, 1), 4 * self.bins))
            scores.append(self.row(self.convolve(features, CHANNELS, len(self.labels), 1), len(self.labels)))
        boxes = self.boxes(self.add("Concat", distances, axis=2))
        confidences = self.add("Sigmoid", [self.add("Concat", scores, axis=2)])
        self.nodes.append(helper.make_node("Concat", [boxes, confidences], ["output0"], axis=1))

    def boxes(self, logits: str) -> str:
        """Ultralytics' DFL, dist2bbox, and the product with the stride."""
        sides = self.add("Reshape", [logits, self.constant(np.int64([1, 4, self.bins, -1]))])
        weights = self.add("Softmax", [self.add("Transpose", [sides], perm=[0, 2, 1, 3])], axis=1)
        bins = np.arange(self.bins, dtype=np.float32).reshape(1, self.bins, 1, 1)
        mean = self.add("Conv", [weights, self.constant(bins)])
        flat = self.add("Reshape", [mean, self.constant(np.int64([1, 4, -1]))])
        near = self.add("Slice", [flat, *map(self.constant, np.int64([[0], [2], [1]]))])
        far = self.add("Slice", [flat, *map(self.constant, np.int64([[2], [4], [1]]))])
        centres, strides = self.anchors()
        upper_left = self.add("Sub", [self.constant(centres[None]), near])
        lower_right = self.add("Add", [self.constant(centres[None]), far])
        total = self.add("Add", [upper_left, lower_right])
        middle = self.add("Div", [total, self.constant(np.float32(2))])
        size = self.add("Sub", [lower_right, upper_left])
        return self.add("Mul", [self.add("Concat", [middle, size], axis=1), self.constant(strides)])

    def anchors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(2, anchors) x and y in strides, and (anchors,) strides in pixels."""
        points, strides = [], []
        for stride in STRIDES:
            for row in range(self.height // stride):
                for column in range(self.width // stride):
                    points.append((column + 0.5, row + 0.5))
                    strides.append(stride)
        return np.array(points, np.float32).T, np.array(strides, np.float32)

    def convolve(self, tensor: str, before: int, after: int, stride: int, *, active: bool = False) -> str:
        """A convolution that keeps about the size of what goes through."""
        side = stride + 1 if active else 1
        spread = (2 / (before * side**2)) ** 0.5 * (1 if active else 4)
        weights = self.rng.normal(0, spread, (after, before, side, side)).astype(np.float32)
        bias = self.rng.normal(0, 0.5, after).astype(np.float32)
        given = [tensor, self.constant(weights), self.constant(bias)]
        pads = [side // 2, side // 2, (side - 1) // 2, (side - 1) // 2] if stride > 1 else [0] * 4
        output = self.add("Conv", given, strides=[stride, stride], pads=pads, kernel_shape=[side, side])
        return self.activate(output) if active else output

    def activate(self, tensor: str) -> str:
        if self.activation == "SiLU":
            return self.add("Mul", [tensor, self.add("Sigmoid", [tensor])])
        return self.add(self.activation, [tensor])

    def row(self, tensor: str, channels: int) -> str:
        return self.add("Reshape", [tensor, self.constant(np.int64([1, channels, -1]))])

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name
