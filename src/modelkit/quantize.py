"""A float network and the ranges of its activations -> the same network in INT8 (QDQ), for ONNX Runtime on a CPU.

Activations are UInt8 (signed ones are slow on x86), weights Int8, a scale for each output channel.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from modelkit.activations import Feed, Means, Ranges, mend
from modelkit.bias_correction import correct_biases
from modelkit.byte_graph import streamline

_QUANTIZED = ("Conv", "Relu", "Sigmoid", "Mul", "Add", "Concat", "Split", "MaxPool", "Resize")
WeightBits = Literal[7, 8]
"""With 7 the sum of two products of an activation and a weight fits 16 bits, which is where x86 without VNNI adds
them; with 8 it overflows there."""

_PREPARED = "onnx.quant.pre_process"
"""In the metadata: the quantizer need not warn that the network was not prepared for it."""


class QuantizeError(Exception):
    """The network cannot be quantized; says which, why and what to do."""


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every node has a name, and every tensor its type and shape. Raises QuantizeError."""
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise QuantizeError("it is quantized already; give the float network that it was made of")
    copy = onnx.shape_inference.infer_shapes(model)
    taken = {node.name for node in copy.graph.node}
    for index, node in enumerate(copy.graph.node):
        if not node.name:
            node.name = next(name for name in _proposals(node, index) if name not in taken)
            taken.add(node.name)
    return copy


def trunk(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes up to the last convolutions: not what decodes boxes and confidences of their outputs.

    The convolution within the decoding, which takes the mean of each side's distribution, comes after its softmax.
    """
    decoding: set[str] = set()
    for node in graph.node:
        if node.op_type == "Softmax" or decoding.intersection(node.input):
            decoding.update(node.output)
    wanted: set[str] = set()
    for node in reversed(graph.node):
        if (node.op_type == "Conv" and node.output[0] not in decoding) or wanted.intersection(node.output):
            wanted.update((*node.input, *node.output))
    return [node for node in graph.node if wanted.intersection(node.output)]


def quantize(
    model: onnx.ModelProto,
    ranges: Ranges,
    means: Means,
    *,
    in_float: Collection[str] = (),
    weight_bits: WeightBits = 7,
) -> onnx.ModelProto:
    """Quantize a ``named`` network, all but its decoding and the nodes named by ``in_float``.

    ``ranges`` are of its activations, ``means`` of what its convolutions take. Metadata, opset and inputs stay. The
    same inputs give the same bytes. Raises QuantizeError.
    """
    body = trunk(model.graph)
    nodes = [node.name for node in body if node.op_type in _QUANTIZED and node.name not in in_float]
    if not nodes:
        raise QuantizeError("it has no convolution that could be quantized; give a YOLOv8 detection model")
    overrides = {name: [_override(*each)] for name, each in mend(body, ranges).items()}
    overrides |= {name: [_BYTES] for name in _pixels(model.graph)}
    prepared = onnx.ModelProto.FromString(model.SerializeToString())
    prepared.metadata_props.add(key=_PREPARED, value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "int8.onnx"
        quantize_static(
            prepared,
            path,
            # it insists on measuring ranges, all of which are overridden
            Feed(model.graph.input[0].name, [_blank(model.graph)]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=weight_bits == 7,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"TensorQuantOverrides": overrides},
        )
        quantized = onnx.load(path)
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(model.metadata_props)
    correct_biases(quantized, model, means)
    streamline(quantized)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def ends(graph: onnx.GraphProto, first: int, last: int) -> frozenset[str]:
    """Names of the first convolutions, and the last in each branch, with their activations."""
    body = trunk(graph)
    convolutions = [node for node in body if node.op_type == "Conv"]
    depths = _depths(body)
    chosen = [*convolutions[:first], *(node for node in convolutions if depths[node.name] <= last)]
    return frozenset(name for node in chosen for name in _with_activation(node, body))


_BYTES = {
    "scale": np.array(1, np.float32),
    "zero_point": np.array(0, np.uint8),
    "quant_type": QuantType.QUInt8,
}
"""The pixels as they are."""


def _override(low: float, high: float) -> dict[str, np.ndarray]:
    return {"rmin": np.array(low, np.float32), "rmax": np.array(high, np.float32)}


def _blank(graph: onnx.GraphProto) -> np.ndarray:
    """An input of zeros."""
    given = graph.input[0].type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(given.elem_type)
    return np.zeros([each.dim_value for each in given.shape.dim], dtype)


def _pixels(graph: onnx.GraphProto) -> Iterator[str]:
    """The tensor that bytes are cast to, of a cut network."""
    return (node.output[0] for node in graph.node if node.op_type == "Cast")


def _proposals(node: onnx.NodeProto, index: int) -> Iterator[str]:
    yield node.output[0]
    yield f"{node.op_type}_{index}"


def _depths(body: Sequence[onnx.NodeProto]) -> dict[str, int]:
    """Of each convolution the number of convolutions from it to the end on the longest way, itself included."""
    beyond: dict[str, int] = {}
    depths: dict[str, int] = {}
    for node in reversed(body):
        depth = max((beyond.get(name, 0) for name in node.output), default=0) + (node.op_type == "Conv")
        depths[node.name] = depth
        for name in node.input:
            beyond[name] = max(beyond.get(name, 0), depth)
    return depths


def _with_activation(node: onnx.NodeProto, body: Sequence[onnx.NodeProto]) -> Iterator[str]:
    yield node.name
    tensors = set(node.output)
    for other in body:
        if other.op_type in ("Relu", "Sigmoid", "Mul") and tensors.issuperset(other.input):
            yield other.name
            tensors.update(other.output)
