"""A quantized graph -> the same, in which ONNX Runtime's fast kernels find what they need.

Every change is exact: the outputs are the same to the last bit. Each is made where it fits, and only there. They are
for ONNX Runtime's layout of INT8 on a CPU, where channels come last and lie in blocks of four (MLAS, ``ConvSym``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

_REPEATS = {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}
"""How Ultralytics resizes: each pixel is repeated."""
_CHANNELS, _COLUMNS = 3, 4
"""Of a picture; and so many columns of pixels are one of the widened picture: 12 channels, three blocks of four."""


def streamline(model: onnx.ModelProto) -> None:
    """Change the graph in place."""
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    shapes = {value.name: _shape(value) for value in inferred}
    _take_bytes(graph)
    _widen_first_convolution(graph)
    _copy_instead_of_resizing(graph, shapes)
    taken = {name for node in graph.node for name in node.input}
    constants = [each for each in graph.initializer if each.name in taken]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(constants)


def _take_bytes(graph: onnx.GraphProto) -> None:
    """Pixels need not be cast and quantized, by a scale of 1: they are their own quantized values."""
    for cast in [node for node in graph.node if node.op_type == "Cast"]:
        takers = _takers(graph, cast.output[0])
        if [node.op_type for node in takers] == ["QuantizeLinear"] and _is_identity(graph, takers[0]):
            for node in _takers(graph, takers[0].output[0]):
                node.input[0] = cast.input[0]
            graph.node.remove(cast)
            graph.node.remove(takers[0])


def _widen_first_convolution(graph: onnx.GraphProto) -> None:
    """Let the first convolution take four columns of pixels for one of twelve channels, and put out two for one.

    Three channels are no block of four, so ONNX Runtime would fall back on a kernel several times slower. Weights
    are laid out anew, zeros between; what goes in and comes out is only reshaped.
    """
    chain = _first_convolution(graph)
    if chain is None:
        return
    transpose, conv, quantizer = chain
    _, height, width, _ = _shape(graph.input[0])
    weights, bias = (_maker(graph, name) for name in conv.input[1:])
    _replace(graph, weights.input[0], _widened(_value(graph, weights.input[0])))
    for name in (*weights.input[1:], *bias.input):  # the same for both of the columns that it puts out
        _replace(graph, name, np.tile(_value(graph, name), 2))
    del conv.attribute[:]
    attributes = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0]}
    conv.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    columns = [1, height, width // _COLUMNS, _CHANNELS * _COLUMNS]
    _insert(graph, transpose, [_reshape(graph, transpose.input[0], "columns", columns)])
    transpose.input[0] = "columns"
    output, quantizer.output[0] = quantizer.output[0], "column_pairs"
    channels = len(_value(graph, weights.input[0])) // 2
    separate = [
        _transpose("column_pairs", "pairs_last", [0, 2, 3, 1]),
        _reshape(graph, "pairs_last", "columns_apart", [1, height // 2, width // 2, channels]),
        _transpose("columns_apart", output, [0, 3, 1, 2]),
    ]
    _insert(graph, quantizer, separate, after=True)


def _first_convolution(
    graph: onnx.GraphProto,
) -> tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto] | None:
    """The nodes that transpose the pixels, convolve them, and quantize what comes out; None: they are others."""
    kinds = ("Transpose", "DequantizeLinear", "Conv", "QuantizeLinear")
    chain: list[onnx.NodeProto] = []
    name = graph.input[0].name
    for kind in kinds:
        takers = _takers(graph, name)
        if [node.op_type for node in takers] != [kind]:
            return None
        chain.append(takers[0])
        name = takers[0].output[0]
    transpose, _, conv, quantizer = chain
    attributes = {each.name: helper.get_attribute_value(each) for each in conv.attribute}
    fits = (
        attributes.get("strides") == [2, 2]
        and attributes.get("pads") == [1, 1, 1, 1]
        and attributes.get("kernel_shape") == [3, 3]
        and _shape(graph.input[0])[2] % _COLUMNS == 0
        and len(conv.input) == 3
    )
    return (transpose, conv, quantizer) if fits else None


def _widened(weights: np.ndarray) -> np.ndarray:
    """(N, 3, 3, 3) weights of a stride of 2 -> (2 N, 12, 3, 2): of 4 columns at a stride of 1, twice two columns.

    The output at column 2 c + p takes the columns 4 c + 2 p - 1 … 4 c + 2 p + 1 of the picture, which are in the
    widened columns c - 1 and c.
    """
    count = len(weights)
    wide = np.zeros((2 * count, _COLUMNS * _CHANNELS, 3, 2), weights.dtype)
    for parity in range(2):
        for tap in range(3):
            group, column = divmod(2 * parity + tap - 1 + _COLUMNS, _COLUMNS)
            channels = slice(column * _CHANNELS, (column + 1) * _CHANNELS)
            wide[parity * count : (parity + 1) * count, channels, :, group] = weights[..., tap]
    return wide


def _copy_instead_of_resizing(graph: onnx.GraphProto, shapes: dict[str, list[int]]) -> None:
    """Twice the height and width, each pixel four times: its channels are copied as one, not one by one."""
    for resize in [node for node in graph.node if node.op_type == "Resize"]:
        source, takers = _maker(graph, resize.input[0]), _takers(graph, resize.output[0])
        before, after = shapes.get(resize.input[0], []), shapes.get(resize.output[0], [])
        is_quantized = source is not None and source.op_type == "DequantizeLinear"
        is_doubled = [*before[:2], *(2 * side for side in before[2:])] == after
        how = {each.name: helper.get_attribute_value(each) for each in resize.attribute}
        is_copied = all(how.get(name) == value for name, value in _REPEATS.items())
        if is_quantized and is_doubled and is_copied and [x.op_type for x in takers] == ["QuantizeLinear"]:
            copies = _copies(graph, resize.output[0], source.input[0], takers[0].output[0], before)
            _insert(graph, resize, copies)
            graph.node.remove(resize)
            graph.node.remove(takers[0])


def _copies(
    graph: onnx.GraphProto, name: str, source: str, target: str, shape: Sequence[int]
) -> list[onnx.NodeProto]:
    """Nodes that make ``target`` of the quantized tensor ``source``, which has that ``shape``."""
    _, channels, height, width = shape
    last, apart, copied, joined = (f"{name}_{step}" for step in ("last", "apart", "copied", "joined"))
    size = _constant(graph, f"{copied}_shape", [1, height, 2, width, 2, channels])
    return [
        _transpose(source, last, [0, 2, 3, 1]),
        _reshape(graph, last, apart, [1, height, 1, width, 1, channels]),
        helper.make_node("Expand", [apart, size], [copied], name=copied),
        _reshape(graph, copied, joined, [1, 2 * height, 2 * width, channels]),
        _transpose(joined, target, [0, 3, 1, 2]),
    ]


def _is_identity(graph: onnx.GraphProto, quantizer: onnx.NodeProto) -> bool:
    scale, zero = (_value(graph, name) for name in quantizer.input[1:])
    return bool(scale == 1 and zero == 0 and zero.dtype == np.uint8)


def _takers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name in node.input]


def _maker(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    return next((node for node in graph.node if name in node.output), None)


def _insert(
    graph: onnx.GraphProto, beside: onnx.NodeProto, nodes: Sequence[onnx.NodeProto], *, after: bool = False
) -> None:
    place = list(graph.node).index(beside) + after
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)


def _transpose(source: str, target: str, order: Sequence[int]) -> onnx.NodeProto:
    return helper.make_node("Transpose", [source], [target], name=target, perm=order)


def _reshape(graph: onnx.GraphProto, source: str, target: str, shape: Sequence[int]) -> onnx.NodeProto:
    size = _constant(graph, f"{target}_shape", shape)
    return helper.make_node("Reshape", [source, size], [target], name=target)


def _constant(graph: onnx.GraphProto, name: str, numbers: Sequence[int]) -> str:
    graph.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
    return name


def _value(graph: onnx.GraphProto, name: str) -> np.ndarray:
    value: np.ndarray = numpy_helper.to_array(next(each for each in graph.initializer if each.name == name))
    return value


def _replace(graph: onnx.GraphProto, name: str, value: np.ndarray) -> None:
    tensor = next(each for each in graph.initializer if each.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [each.dim_value for each in value.type.tensor_type.shape.dim]
