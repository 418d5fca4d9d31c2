"""Weights that were rounded shift what a convolution puts out on average: its biases take that back.

Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and Bias Correction
(ICCV 2019), section 4.2, with the mean of each input channel measured.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from modelkit.activations import Means


def correct_biases(quantized: onnx.ModelProto, model: onnx.ModelProto, means: Means) -> None:
    """Change the biases of ``quantized`` in place, which was made of ``model``.

    ``means`` is of every tensor that a convolution of ``model`` takes. Padding, which is zero, is taken for the mean.
    """
    makers = {name: node for node in quantized.graph.node for name in node.output}
    tensors = {each.name: each for each in quantized.graph.initializer}
    originals = {each.name: each for each in model.graph.initializer}
    sources = {node.name: node.input for node in model.graph.node}
    for node in quantized.graph.node:
        dequantizers = [makers[name] for name in node.input[1:] if name in makers]
        if node.op_type != "Conv" or len(dequantizers) != 2:
            continue  # in float, or without a bias
        source, weights, _ = sources[node.name]
        rounded, biases = dequantizers
        error = _dequantized(rounded, tensors) - numpy_helper.to_array(originals[weights])
        shift = np.einsum("ochw,c->o", error, means[source])
        values, scales = (numpy_helper.to_array(tensors[name]) for name in biases.input[:2])
        corrected = (values - np.rint(shift / scales)).astype(values.dtype)
        tensors[biases.input[0]].CopyFrom(numpy_helper.from_array(corrected, biases.input[0]))


def _dequantized(dequantizer: onnx.NodeProto, tensors: dict[str, onnx.TensorProto]) -> np.ndarray:
    """Weights (out, in, height, width), of which each output channel has a scale, and all the zero point 0."""
    values, scales = (numpy_helper.to_array(tensors[name]) for name in dequantizer.input[:2])
    weights: np.ndarray = values * scales[:, None, None, None]
    return weights
