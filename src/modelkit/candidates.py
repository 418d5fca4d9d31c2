"""INT8 candidates of a network, the fastest first, tried until one judges labelled pictures as FP32 does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnx

from inspector.core.package import Precision, Thresholds
from inspector.core.tensor import fit
from inspector.shell.detector import Detector, load
from modelkit.activation_ranges import Method, Ranges, measure
from modelkit.evaluation import evaluate
from modelkit.golden import CLEARANCE
from modelkit.labels import LabelledPicture
from modelkit.predictions import SCHEMA, Prediction, Predictions, predict, read_pixels
from modelkit.quantize import ends, named, quantize

LADDER = ((0, 0), (0, 1), (1, 1), (1, 2), (1, 3), (5, 3))
"""So many of the first convolutions, and so many at the end of each branch, stay in float; each costs more time than
the one before."""

Tell = Callable[[str], object]


class Limits(msgspec.Struct, frozen=True):
    """What INT8 may cost."""

    map50: float = 0.005
    map50_95: float = 0.01
    confidence: float = CLEARANCE
    """So far the strongest detection of a picture may move: golden pictures keep that distance from thresholds."""


class Cost(msgspec.Struct, frozen=True):
    """What INT8 cost on labelled pictures; below 0 it gained."""

    map50: float
    map50_95: float
    flips: int
    """So many pictures one precision fails and the other passes."""
    confidence: float
    """So far the strongest detection of a picture moved, where it moved farthest."""

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


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a network is quantized by: labelled pictures of parts that it was trained on."""

    judged: Sequence[LabelledPicture]
    measured: Sequence[LabelledPicture]
    """Those of them that ranges are measured on."""
    images: Path
    """The directory that they are named from."""


def candidates(
    source: Path,
    pictures: Pictures,
    *,
    methods: Sequence[Method],
    thresholds: Thresholds,
    limits: Limits,
    reduce_range: bool = False,
    tell: Tell = lambda _: None,
) -> Iterator[tuple[Candidate, bytes]]:
    """Each candidate and the content of its file, up to the first that holds, which may be none.

    The same inputs give the same bytes. ``tell`` hears of each step. Raises PackageError, PredictionsError and
    QuantizeError.
    """
    fp32 = load(source)
    model = named(onnx.load(source))
    inputs = [_input(fp32, picture) for picture in pictures.measured]
    tell("FP32 judges the pictures")
    expected = predict(pictures.judged, {"fp32": fp32}, images=pictures.images, known=None)
    ranges: dict[Method, Ranges] = {}
    for first, last in LADDER:
        for method in methods:
            if method not in ranges:
                tell(f"measuring ranges ({method}) on {len(inputs)} pictures")
                ranges[method] = measure(model, inputs, method)
            tell(f"trying {method}, {first} first and {last} last convolutions in float")
            in_float = ends(model.graph, first, last)
            made = quantize(model, ranges[method], inputs[0], in_float=in_float, reduce_range=reduce_range)
            content = bytes(made.SerializeToString(deterministic=True))
            cost = _cost(expected, _judged(content, pictures), fp32.labels, thresholds)
            yield Candidate(method, first, last, len(content), cost, cost.is_within(limits)), content
            if cost.is_within(limits):
                return


def spread(pictures: Sequence[LabelledPicture], count: int) -> list[LabelledPicture]:
    """``count`` of them, evenly spread; all where there are fewer."""
    chosen = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)
    return [pictures[index] for index in chosen]


def _input(model: Detector, picture: LabelledPicture) -> np.ndarray:
    canvas, _ = fit(read_pixels(picture.path), model.interface.width, model.interface.height)
    return model.interface.fill(canvas)


def _judged(content: bytes, pictures: Pictures) -> list[Prediction]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "int8.onnx"
        path.write_bytes(content)
        return predict(pictures.judged, {"int8": load(path)}, images=pictures.images, known=None)


def _cost(
    fp32: Sequence[Prediction], int8: Sequence[Prediction], labels: tuple[str, ...], thresholds: Thresholds
) -> Cost:
    precisions: tuple[Precision, ...] = ("fp32", "int8")
    both = tuple(
        msgspec.structs.replace(one, detections=one.detections | other.detections)
        for one, other in zip(fp32, int8, strict=True)
    )
    evaluation = evaluate(Predictions(SCHEMA, labels, precisions, both), thresholds, resamples=0)
    moved = [abs(_strongest(each, "fp32") - _strongest(each, "int8")) for each in both]
    lost = {name: -(each.value or 0.0) for name, each in evaluation.difference.items()}
    return Cost(lost["map50"], lost["map50_95"], evaluation.verdict_flips or 0, max(moved))


def _strongest(picture: Prediction, precision: Precision) -> float:
    return max((box.confidence for box in picture.detections[precision]), default=0.0)
