"""A plain Ultralytics export in miniature, made without torch: the head of YOLOv8 and little before it.

Its weights are random (seeded): what it finds means nothing, but it finds something.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    is_whole: bool = False,
) -> onnx.ModelProto:
    """(1, 3, height, width) float32 RGB 0..1 in, (1, 4 + classes, anchors) float32 out; with the metadata.

    ``is_whole``: before the head there is a layer of each kind that YOLOv8 has.
    """
    network = _WholeNetwork if is_whole else Network
    return network(height, width, labels, activation, bins, seed).model(opset)


class Network:
    """The head, after features that are no more than its own size."""

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
        """Three feature maps; of each the distances' and the scores' logits; then the decoding."""
        distances, scores = [], []
        for features in self.features():
            distances.append(self.row(self.convolve(features, CHANNELS, 4 * self.bins, 1), 4 * self.bins))
            scores.append(self.row(self.convolve(features, CHANNELS, len(self.labels), 1), len(self.labels)))
        self.decode(self.add("Concat", distances, axis=2), self.add("Concat", scores, axis=2))

    def decode(self, distances: str, scores: str) -> None:
        """Of logits (1, 64, anchors) and (1, classes, anchors) the output, as Ultralytics' head does."""
        tensors = [self.boxes(distances), self.add("Sigmoid", [scores])]
        self.nodes.append(helper.make_node("Concat", tensors, ["output0"], axis=1))

    def features(self) -> Iterable[str]:
        """A map of CHANNELS for each stride."""
        tensor = self.convolve("images", 3, CHANNELS, 8, active=True)
        yield tensor
        for _ in STRIDES[1:]:
            tensor = self.convolve(tensor, CHANNELS, CHANNELS, 2, active=True)
            yield tensor

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
        side = stride + 1 if stride > 1 else 1
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


class _WholeNetwork(Network):
    def features(self) -> Iterable[str]:
        """Strided convolutions; on the way C2f's split and sum, SPPF's pooling, and the neck's resizing."""
        tensor, channels = "images", 3
        for _ in range(3):
            tensor, channels = self.convolve(tensor, channels, CHANNELS, 2, active=True), CHANNELS
        small = self.split_and_join(tensor)
        middle = self.convolve(small, CHANNELS, CHANNELS, 2, active=True)
        large = self.pool(self.convolve(middle, CHANNELS, CHANNELS, 2, active=True))
        middle = self.join([self.enlarge(large), middle])
        return [self.join([self.enlarge(middle), small]), middle, large]

    def split_and_join(self, tensor: str) -> str:
        half = CHANNELS // 2
        names = [f"half{len(self.nodes)}", f"half{len(self.nodes)}b"]
        sizes = self.constant(np.int64([half, half]))
        self.nodes.append(helper.make_node("Split", [tensor, sizes], names, axis=1))
        inner = self.convolve(names[1], half, half, 1, active=True)
        return self.join([*names, self.add("Add", [names[1], inner])], before=3 * half)

    def pool(self, tensor: str) -> str:
        pooled = self.add("MaxPool", [tensor], kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2])
        return self.join([tensor, pooled])

    def enlarge(self, tensor: str) -> str:
        scales = self.constant(np.float32([1, 1, 2, 2]))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", [tensor, "", scales], **how)

    def join(self, tensors: list[str], before: int = 2 * CHANNELS) -> str:
        joined = self.add("Concat", tensors, axis=1)
        return self.convolve(joined, before, CHANNELS, 1, active=True)
