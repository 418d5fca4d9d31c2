"""A plain Ultralytics export -> the same network cut: uint8 BGR pixels in, logits out (``inspector.core.interface``).

What is cut is found by what it does, from the output backwards: names change with Ultralytics' versions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxslim
from onnx import TensorProto, helper, numpy_helper

from inspector.core.interface import BINS, SIDES

Makers = dict[str, onnx.NodeProto]
"""The node that makes a tensor, by the tensor's name."""


class CutError(Exception):
    """The network is none that can be cut; says why."""


def cut(plain: onnx.ModelProto) -> onnx.ModelProto:
    """Cut a plain export of fixed size, which itself stays as it is. The same input gives the same bytes.

    Metadata, opset and IR version stay. Raises CutError.
    """
    model = onnxslim.slim(onnx.ModelProto.FromString(plain.SerializeToString()))
    _end_before_decoding(model.graph)
    _begin_with_pixels(model.graph)
    del model.graph.value_info[:]
    model = onnxslim.slim(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _end_before_decoding(graph: onnx.GraphProto) -> None:
    """Let the graph put out what goes into the softmax of the distances, and into the sigmoid of the scores."""
    makers = {name: node for node in graph.node for name in node.output}
    boxes, confidences = _branches(graph.output[0].name, makers)
    softmax = next((node for node in _ancestry([boxes], makers) if node.op_type == "Softmax"), None)
    if softmax is None:
        raise CutError("its boxes come of no softmax over the distances of their sides")
    distances, scores = softmax.input[0], makers[confidences].input[0]
    while distances in makers and makers[distances].op_type in ("Transpose", "Reshape"):
        distances = makers[distances].input[0]
    shapes = {value.name: _shape(value) for value in graph.value_info}
    shape = shapes.get(distances, [])
    if shape[:2] != [1, SIDES * BINS]:
        raise CutError(f"its distances have the shape {shape}, not of {SIDES} sides of {BINS} bins (reg_max)")
    _keep(graph, list(_ancestry([distances, scores], makers)))
    _put_out(graph, {distances: ("distances", shape), scores: ("scores", shapes[scores])})


def _branches(output: str, makers: Makers) -> tuple[str, str]:
    """Names of the tensors of boxes and of confidences, which make up the output."""
    joined = makers.get(output)
    branches = list(joined.input) if joined is not None and joined.op_type == "Concat" else []
    sigmoids = [name for name in branches if name in makers and makers[name].op_type == "Sigmoid"]
    if len(branches) != 2 or branches[1:] != sigmoids:
        raise CutError("its output is not boxes and then the sigmoid of scores")
    return branches[0], branches[1]


def _ancestry(tensors: list[str], makers: Makers) -> Iterator[onnx.NodeProto]:
    """The nodes that these tensors come from, the nearest first."""
    queue = list(tensors)
    for position, name in enumerate(queue):
        if name in makers and name not in queue[:position]:
            yield makers[name]
            queue += makers[name].input


def _keep(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Drop all other nodes, and the constants that only they take."""
    outputs = {node.output[0] for node in nodes}
    inputs = {name for node in nodes for name in node.input}
    kept = [node for node in graph.node if node.output[0] in outputs]
    constants = [each for each in graph.initializer if each.name in inputs]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)


def _put_out(graph: onnx.GraphProto, tensors: dict[str, tuple[str, list[int]]]) -> None:
    """Make these the graph's outputs, by a new name."""
    for node in graph.node:
        node.output[:] = [tensors[name][0] if name in tensors else name for name in node.output]
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.values()
    )


def _begin_with_pixels(graph: onnx.GraphProto) -> None:
    """Let the graph take (1, height, width, 3) uint8 BGR; the first convolution does the rest in its weights."""
    shapes = [_shape(value) for value in graph.input]
    if len(shapes) != 1 or shapes[0][:2] != [1, 3] or not all(shapes[0]):
        raise CutError(
            f"its input has the shape {shapes}, not [1, 3, height, width] of one size; export it so"
        )
    takers = [node for node in graph.node if graph.input[0].name in node.input]
    if [node.op_type for node in takers] != ["Conv"]:
        raise CutError("its picture goes into something else than one convolution")
    _fold(graph, takers[0].input[1])
    # The pixels stay bytes until the last: a quarter to move, and in INT8 they are the quantized input.
    transpose = helper.make_node("Transpose", ["images"], ["byte_planes"], perm=[0, 3, 1, 2])
    cast = helper.make_node("Cast", ["byte_planes"], ["planes"], to=TensorProto.FLOAT)
    takers[0].input[0] = "planes"
    graph.node.insert(0, cast)
    graph.node.insert(0, transpose)
    pixels = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, *shapes[0][2:], 3])
    graph.input[0].CopyFrom(pixels)


def _fold(graph: onnx.GraphProto, weights: str) -> None:
    """Of a convolution of RGB in 0..1 make one of BGR in 0..255. Its zero padding means the same to both."""
    tensor = next((each for each in graph.initializer if each.name == weights), None)
    if tensor is None:
        raise CutError("the weights of its first convolution are not constant")
    folded = numpy_helper.to_array(tensor)[:, ::-1] / np.float32(255)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(folded), weights))


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """Of a tensor; 0: dynamic."""
    return [each.dim_value for each in value.type.tensor_type.shape.dim]
