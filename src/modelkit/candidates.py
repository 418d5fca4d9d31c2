"""INT8 candidates of a network, the fastest first, tried until one judges labelled pictures as FP32 does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx

from inspector.core.detections import Detections
from inspector.core.package import Thresholds
from inspector.core.tensor import fit
from inspector.core.verdict import Policy, judge
from inspector.shell.detector import Detector, load
from modelkit.activations import Method, Ranges, channel_means, measure
from modelkit.average_precision import Coco
from modelkit.golden import CLEARANCE
from modelkit.labels import LabelledPicture
from modelkit.loading import load_content
from modelkit.predictions import read_pixels
from modelkit.quantize import WeightBits, ends, named, quantize, trunk
from modelkit.views import views

LADDER = ((0, 1), (1, 1), (6, 1), (13, 1))
"""So many of the first convolutions, and so many at the end of each branch, stay in float; each costs more time than
the one before. The last ones, 1x1 of 64 channels, cost little, and their outputs are what boxes and confidences are
made of. Of YOLOv8n 6 reach to where a quarter of the resolution ends, 13 to where an eighth does."""

Tell = Callable[[str], object]


class Limits(msgspec.Struct, frozen=True):
    """What INT8 may cost."""

    map50: float = 0.005
    map50_95: float = 0.01
    confidence: float = CLEARANCE
    """So far the strongest detection of a view may move: golden pictures keep that distance from thresholds."""


class Cost(msgspec.Struct, frozen=True):
    """What INT8 cost on labelled pictures, each in four views; below 0 it gained."""

    map50: float
    map50_95: float
    flips: int
    """So many views one precision fails and the other passes."""
    confidence: float
    """So far the strongest detection of a view moved, where it moved farthest."""

    def is_within(self, limits: Limits) -> bool:
        """Whether it decides as FP32 does."""
        is_as_good = self.map50 <= limits.map50 and self.map50_95 <= limits.map50_95
        return is_as_good and self.flips == 0 and self.confidence <= limits.confidence


class Candidate(msgspec.Struct, frozen=True):
    """What was tried, and what it cost."""

    method: Method
    """How ranges were laid."""
    first: int
    last: int
    """So many of the first convolutions, and so many at the end of each branch, stayed in float."""
    bytes: int
    cost: Cost
    holds: bool


def candidates(
    source: Path,
    pictures: Sequence[LabelledPicture],
    measured: Sequence[LabelledPicture],
    *,
    methods: Sequence[Method],
    thresholds: Thresholds,
    limits: Limits,
    weight_bits: WeightBits = 7,
    tell: Tell = lambda _: None,
) -> Iterator[tuple[Candidate, bytes]]:
    """Each candidate and the content of its file, up to the first that holds, which may be none.

    Ranges are ``measured`` on some pictures; candidates are judged on all, which should be of parts that the network
    was trained on. The same inputs give the same bytes. ``tell`` hears of each step. Raises PackageError,
    PredictionsError and QuantizeError.
    """
    fp32 = load(source)
    model = named(onnx.load(source))
    inputs = [_input(fp32, picture) for picture in measured]
    tell(f"FP32 judges {len(pictures)} pictures")
    expected = _judge(fp32, pictures, thresholds)
    tell(f"measuring means on {len(inputs)} pictures")
    taken = {node.input[0] for node in trunk(model.graph) if node.op_type == "Conv"}
    means = channel_means(model, taken, inputs)
    ranges: dict[Method, Ranges] = {}
    for first, last in LADDER:
        for method in methods:
            if method not in ranges:
                tell(f"measuring ranges ({method}) on {len(inputs)} pictures")
                ranges[method] = measure(model, inputs, method)
            tell(f"trying {method}, {first} first and {last} last convolutions in float")
            in_float = ends(model.graph, first, last)
            made = quantize(model, ranges[method], means, in_float=in_float, weight_bits=weight_bits)
            content = bytes(made.SerializeToString(deterministic=True))
            cost = expected.cost(_judge(load_content(content), pictures, thresholds))
            holds = cost.is_within(limits)
            yield Candidate(method, first, last, len(content), cost, holds), content
            if holds:
                return


def spread(pictures: Sequence[LabelledPicture], count: int) -> list[LabelledPicture]:
    """``count`` of them, evenly spread; all where there are fewer."""
    chosen = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)
    return [pictures[index] for index in chosen]


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What a model makes of all views."""

    map50: float
    map50_95: float
    verdicts: Sequence[str]
    strongest: list[float]
    """The confidence of the strongest detection in each view; 0 where there is none."""

    def cost(self, other: _Judgement) -> Cost:
        """Of judging as ``other`` does."""
        verdicts = zip(self.verdicts, other.verdicts, strict=True)
        moved = np.abs(np.subtract(self.strongest, other.strongest))
        return Cost(
            # without a labelled box there is no average precision, and nothing to lose
            map50=float(np.nan_to_num(self.map50 - other.map50)),
            map50_95=float(np.nan_to_num(self.map50_95 - other.map50_95)),
            flips=sum({"fail", "pass"} == set(pair) for pair in verdicts),
            confidence=float(moved.max()),
        )


def _judge(model: Detector, pictures: Sequence[LabelledPicture], thresholds: Thresholds) -> _Judgement:
    labels, found = [], []
    for view in views(pictures):  # one at a time: pixels of thousands would fill the memory
        labels.append(view.labels)
        found.append(model.detect(view.pixels)[0])
    mean = Coco(labels, found, len(model.labels)).mean(range(len(found)))
    verdicts = [judge(each, model.labels, Policy(thresholds)).name for each in found]
    return _Judgement(mean.map50, mean.map50_95, verdicts, [_strongest(each) for each in found])


def _strongest(found: Detections) -> float:
    return float(found.confidences.max(initial=0))


def _input(model: Detector, picture: LabelledPicture) -> np.ndarray:
    canvas, _ = fit(read_pixels(picture.path), model.interface.width, model.interface.height)
    return model.interface.fill(canvas)
