"""Predictions and their scores -> the charts of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from inspector.core.detections import RAW_FLOOR
from inspector.core.package import Precision, Thresholds
from modelkit.evaluation import Evaluation
from modelkit.markup import Markup, element
from modelkit.plot import Axis, Plot, legend
from modelkit.predictions import Predictions
from modelkit.scores import verdict
from modelkit.summary import TITLES

_FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_CONFIDENCE = Axis("confidence", 0, 1, _FIFTHS)
_BIN = 0.05


def charts(predictions: Predictions, evaluation: Evaluation) -> list[Markup]:
    """Figures, in the order in which they are read."""
    return [
        _reviewed(predictions, evaluation.thresholds),
        _failed(predictions, evaluation.thresholds),
        _reliability(evaluation),
        *(_histogram(predictions, precision, evaluation.thresholds) for precision in predictions.precisions),
    ]


def _reviewed(predictions: Predictions, by: Thresholds) -> Markup:
    steps = _steps(min(RAW_FLOOR, by.confidence), by.confidence)
    return _trade_off(
        predictions,
        "What is reviewed, so that less escapes",
        "Escapes and review by the low confidence below which detections are ignored.",
        Axis("low confidence", 0, max(by.confidence, 0.1), _round(max(by.confidence, 0.1))),
        [(step, Thresholds(by.confidence, step)) for step in steps],
        by.low_confidence,
        ("escapes", "review"),
    )


def _failed(predictions: Predictions, by: Thresholds) -> Markup:
    steps = _steps(by.low_confidence, 1.0)
    return _trade_off(
        predictions,
        "What fails, and what is left to review",
        "Overkill and review by the confidence from which on a detection fails a part.",
        _CONFIDENCE,
        [(step, Thresholds(step, by.low_confidence)) for step in steps],
        by.confidence,
        ("overkill", "review"),
    )


def _trade_off(
    predictions: Predictions,
    title: str,
    caption: str,
    axis: Axis,
    steps: Sequence[tuple[float, Thresholds]],
    chosen: float,
    shown: tuple[str, str],
) -> Markup:
    curves = {
        (name, precision): points
        for precision in predictions.precisions
        for name, points in _curves(predictions, precision, steps).items()
        if name in shown
    }
    top = max(share for points in curves.values() for _, share in points)
    plot = Plot(axis, Axis("share of pictures", 0, max(top, 0.05), _round(max(top, 0.05)), "{:.0%}".format))
    for (name, precision), points in curves.items():
        plot.line(points, f"{name} {precision}")
    plot.rule(chosen, f"chosen: {chosen:g}")
    entries = [(f"{name} {precision}", f"{name}, {TITLES[precision]}") for name, precision in curves]
    return _figure(title, caption, plot, legend(*entries))


def _curves(
    predictions: Predictions, precision: Precision, steps: Sequence[tuple[float, Thresholds]]
) -> dict[str, list[tuple[float, float]]]:
    """Of each share its value at each step."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for x, by in steps:
        for name, share in _shares(predictions, precision, by).items():
            curves.setdefault(name, []).append((x, share))
    return curves


def _shares(predictions: Predictions, precision: Precision, by: Thresholds) -> dict[str, float]:
    """Escapes of defective pictures, overkill of good ones, review of all; without what there are none of."""
    names = predictions.class_names
    judged = [(each.is_defective, verdict(each, precision, names, by)) for each in predictions.pictures]
    defective = [name for is_defective, name in judged if is_defective]
    good = [name for is_defective, name in judged if not is_defective]
    shares = {"review": [name for _, name in judged].count("review") / len(judged)}
    if defective:
        shares["escapes"] = defective.count("pass") / len(defective)
    if good:
        shares["overkill"] = good.count("fail") / len(good)
    return shares


def _reliability(evaluation: Evaluation) -> Markup:
    plot = Plot(_CONFIDENCE, Axis("share of true ones", 0, 1, _FIFTHS))
    plot.line([(0, 0), (1, 1)], "ideal")
    entries = [("ideal", "as it should be")]
    for precision, scores in (("fp32", evaluation.fp32), ("int8", evaluation.int8)):
        if scores is None:
            continue
        known = [(each, each.confidence, each.true) for each in scores.reliability]
        points = [(bin_, x, y) for bin_, x, y in known if x is not None and y is not None]
        plot.line([(x, y) for _, x, y in points], precision)
        for bin_, x, y in points:
            told = f"{bin_.count} detections, mean confidence {x:.2f}: {y:.0%} true"
            plot.dot(x, y, 2 + min(math.sqrt(bin_.count) / 3, 6), precision, told)
        entries.append(
            (precision, f"{precision.upper()}, error {scores.ece:.3f}" if scores.ece else precision.upper())
        )
    caption = "How many of the detections of a confidence are true; larger dots are of more detections."
    return _figure("Whether confidence means what it says", caption, plot, legend(*entries))


def _histogram(predictions: Predictions, precision: Precision, by: Thresholds) -> Markup:
    boxes = [box for picture in predictions.pictures for box in picture.detections[precision]]
    edges = np.arange(0, 1 + _BIN / 2, _BIN)
    counts = {
        is_true: np.histogram([box.confidence for box in boxes if box.is_true is is_true], edges)[0]
        for is_true in (True, False)
    }
    top = max(int((counts[True] + counts[False]).max()), 5)
    plot = Plot(_CONFIDENCE, Axis("detections", 0, top, _round(top)))
    for left, true, false in zip(edges.tolist(), counts[True].tolist(), counts[False].tolist(), strict=False):
        told = f"{left:.2f} to {left + _BIN:.2f}: {true} true, {false} false"
        plot.bar(left, left + _BIN, 0, true, "true", told)
        plot.bar(left, left + _BIN, true, true + false, "false", told)
    plot.rule(by.confidence, f"fail from {by.confidence:g}")
    plot.rule(by.low_confidence, f"review from {by.low_confidence:g}", row=1)
    entries = (("true", "true"), ("false", "false"))
    caption = f"True and false detections of {TITLES[precision]}, down to {RAW_FLOOR:g}."
    return _figure("Detections by confidence", caption, plot, legend(*entries))


def _figure(title: str, caption: str, plot: Plot, key: Markup) -> Markup:
    return element(
        "figure", element("h3", title), element("figcaption", caption), plot.svg(f"{title}. {caption}"), key
    )


def _steps(low: float, high: float) -> list[float]:
    return [float(each) for each in np.linspace(low, high, 41)]


def _round(top: float) -> list[float]:
    """Round numbers from 0 to ``top``, five to ten of them."""
    magnitude = 10.0 ** math.floor(math.log10(top))
    step = next(each for each in (magnitude / 5, magnitude / 2, magnitude) if top / each < 10)
    return [number * step for number in range(int(top / step) + 1)]
