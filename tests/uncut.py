"""The shipped network as Ultralytics would export it.

The repository holds the cut network alone. Normalization and the order of channels are taken out of the first
convolution's weights again, and the decoding is put back behind the outputs.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from tiny_yolo import Network

SHIPPED = Path(__file__).parents[1] / "models" / "fp32.onnx"


def uncut() -> onnx.ModelProto:
    """(1, 3, height, width) float32 RGB 0..1 in, (1, 4 + classes, anchors) float32 out."""
    return _Uncut(onnx.load(SHIPPED)).model(opset=17)


class _Uncut(Network):
    def __init__(self, cut: onnx.ModelProto) -> None:
        _, height, width, _ = (each.dim_value for each in cut.graph.input[0].type.tensor_type.shape.dim)
        names = ast.literal_eval({each.key: each.value for each in cut.metadata_props}["names"])
        super().__init__(height, width, list(names.values()), "Relu", bins=16, seed=0)
        self.cut = cut

    def body(self) -> None:
        transpose, cast, convolution, *others = self.cut.graph.node
        assert [transpose.op_type, cast.op_type, convolution.op_type] == ["Transpose", "Cast", "Conv"]
        self.constants.extend(self.cut.graph.initializer)
        first = onnx.NodeProto.FromString(convolution.SerializeToString())
        (weights,) = (each for each in self.constants if each.name == first.input[1])
        first.input[0] = "images"
        first.input[1] = self.constant(numpy_helper.to_array(weights)[:, ::-1] * np.float32(255))
        self.nodes.extend([first, *others])
        self.decode("distances", "scores")
        self.constants.remove(weights)
