"""What values a network's activations take in pictures: 256 levels are laid over the range of each.

Ranges are measured by ONNX Runtime's calibrators, then mended by what is known of a YOLOv8.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = get_args(Method)
"""Of laying a range: from the least to the greatest value; without what is rarest at both ends; so that the
distribution changes least."""

Range = tuple[float, float]
Ranges = dict[str, Range]
"""Least and greatest value of a tensor, by its name."""

Means = dict[str, np.ndarray]
"""The mean of each channel of a tensor, (channels,), by its name."""

STEPS = 255
_METHODS: dict[Method, tuple[CalibrationMethod, dict[str, Any]]] = {
    "minmax": (CalibrationMethod.MinMax, {}),
    "percentile": (CalibrationMethod.Percentile, {"percentile": 99.99, "symmetric": False}),
    "entropy": (CalibrationMethod.Entropy, {}),
}
_KEEPS_VALUES = ("Concat", "Split", "MaxPool", "Resize")
"""What comes out of these is of what went in."""
_LEAST_SILU = -0.2785
"""The least value of x * sigmoid(x)."""


class Feed:
    """Hands a network's inputs to ONNX Runtime's tools, one after the other: its ``CalibrationDataReader``."""

    def __init__(self, name: str, inputs: Iterable[np.ndarray]) -> None:
        self._name = name
        self._inputs: Iterator[np.ndarray] = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next, by the name of the network's input; None: there is none."""
        following = next(self._inputs, None)
        return None if following is None else {self._name: following}


def measure(model: onnx.ModelProto, inputs: Sequence[np.ndarray], method: Method) -> Ranges:
    """The range of every activation, over all inputs."""
    calibrate, options = _METHODS[method]
    with tempfile.TemporaryDirectory() as directory, redirect_stdout(io.StringIO()):  # it tells its progress
        path = Path(directory) / "model.onnx"
        onnx.save(model, path)
        augmented = str(path.with_name("augmented.onnx"))
        calibrator = create_calibrator(
            path, augmented_model_path=augmented, calibrate_method=calibrate, extra_options=options
        )
        for each in inputs:  # one at a time, for it holds every activation of all that it is given at once
            calibrator.collect_data(Feed(model.graph.input[0].name, [each]))
        found = calibrator.compute_data()
    return {name: _range(found[name].range_value) for name in found}


def channel_means(model: onnx.ModelProto, tensors: Collection[str], inputs: Sequence[np.ndarray]) -> Means:
    """The mean of each channel of some tensors (1, channels, height, width), over all inputs."""
    names = sorted(tensors)
    averaged = onnx.ModelProto.FromString(model.SerializeToString())
    for index, name in enumerate(names):
        averaged.graph.node.append(helper.make_node("GlobalAveragePool", [name], [f"mean{index}"]))
        averaged.graph.output.append(
            helper.make_tensor_value_info(f"mean{index}", TensorProto.FLOAT, [1, None, 1, 1])
        )
    session = onnxruntime.InferenceSession(averaged.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = [f"mean{index}" for index in range(len(names))]
    seen = [session.run(wanted, {model.graph.input[0].name: each}) for each in inputs]
    return {name: np.mean([each[index].ravel() for each in seen], axis=0) for index, name in enumerate(names)}


def mend(nodes: Iterable[onnx.NodeProto], ranges: Ranges) -> Ranges:
    """The ranges with which quantizing these nodes costs least time and accuracy."""
    nodes = list(nodes)
    return _shared(nodes, ranges | _silu(nodes, ranges))


def _range(value: tuple[Any, Any]) -> Range:
    low, high = (float(np.squeeze(each)) for each in value)
    return low, high


def _silu(nodes: list[onnx.NodeProto], ranges: Ranges) -> Ranges:
    """Ranges around each SiLU, x * sigmoid(x): no level is spent on an x so low that it counts as nothing."""
    makers = {name: node for node in nodes for name in node.output}
    mended: Ranges = {}
    for node in nodes:
        sigmoids = [name for name in node.input if name in makers and makers[name].op_type == "Sigmoid"]
        if node.op_type == "Mul" and sigmoids and (x := makers[sigmoids[0]].input[0]) in node.input:
            step = (ranges[node.output[0]][1] - _LEAST_SILU) / STEPS
            mended[x] = max(ranges[x][0], _vanishing(step / 4)), ranges[x][1]
            mended[sigmoids[0]] = 0.0, 1.0
    return mended


def _vanishing(least: float) -> float:
    """The x below which the SiLU is nearer to 0 than ``least``."""
    x = np.linspace(-30, -1.2785, 3000)  # to its minimum it falls
    return float(x[np.abs(x / (1 + np.exp(-x))) <= least].max(initial=x[0]))


def _shared(nodes: list[onnx.NodeProto], ranges: Ranges) -> Ranges:
    """Tensors that are joined, split or picked from share one range: then their bytes are copied, not computed."""
    group_of: dict[str, set[str]] = {}
    for node in nodes:
        if node.op_type in _KEEPS_VALUES:
            names = {name for name in (*node.input, *node.output) if name in ranges}
            merged = names.union(*(group_of.get(name, set()) for name in names))
            group_of |= dict.fromkeys(merged, merged)
    common = {
        name: (min(ranges[each][0] for each in group), max(ranges[each][1] for each in group))
        for name, group in group_of.items()
    }
    return ranges | common
