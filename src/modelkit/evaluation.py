"""Predictions -> Evaluation: the figures of each precision, and where the two differ."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from inspector.core.package import Precision, Thresholds
from modelkit.intervals import RESAMPLES, Interval, percentile, resample
from modelkit.predictions import Prediction, Predictions
from modelkit.scores import Samples, Scores, score, verdict


class Difference(msgspec.Struct, frozen=True):
    """INT8 less FP32, and the 95 % interval of that, by resampling parts: the same for both."""

    value: float | None
    interval: Interval | None


class FoldScores(msgspec.Struct, frozen=True):
    """The figures of the models of one fold, on what it held out; too few parts for intervals by part."""

    fold: int
    parts: tuple[str, ...]
    fp32: Scores | None
    int8: Scores | None
    verdict_flips: int | None


class Evaluation(msgspec.Struct, frozen=True):
    """What ``modelkit evaluate --json`` prints. Null: there is no file of that precision."""

    fp32: Scores | None
    int8: Scores | None
    verdict_flips: int | None
    """So many pictures one precision fails and the other passes; null where there is one alone."""
    flipped: tuple[str, ...]
    """Which."""
    difference: dict[str, Difference]
    """Of ``map50`` and ``map50_95``; empty where there is one precision alone."""
    thresholds: Thresholds
    parts: int
    folds: tuple[FoldScores, ...]
    """Empty where one model judged every picture."""


def evaluate(
    predictions: Predictions,
    thresholds: Thresholds,
    *,
    resamples: int = RESAMPLES,
    advance: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Score every precision. ``advance`` is called ``resamples`` times for each."""
    drawn = resample([picture.part for picture in predictions.pictures], resamples)
    scored = {
        precision: score(predictions, precision, thresholds, drawn, advance)
        for precision in predictions.precisions
    }
    flips = flipped(predictions, thresholds)
    return Evaluation(
        fp32=scored["fp32"][0] if "fp32" in scored else None,
        int8=scored["int8"][0] if "int8" in scored else None,
        verdict_flips=None if flips is None else len(flips),
        flipped=tuple(picture.image for picture in flips or ()),
        difference=_difference(scored),
        thresholds=thresholds,
        parts=len({picture.part for picture in predictions.pictures}),
        folds=tuple(_fold(each, thresholds) for each in by_fold(predictions)),
    )


def flipped(predictions: Predictions, thresholds: Thresholds) -> list[Prediction] | None:
    """The pictures that one precision fails and the other passes; None where there is one alone."""
    if set(predictions.precisions) != {"fp32", "int8"}:
        return None
    names = predictions.class_names
    return [
        picture
        for picture in predictions.pictures
        if {verdict(picture, precision, names, thresholds) for precision in predictions.precisions}
        == {"fail", "pass"}
    ]


def by_fold(predictions: Predictions) -> list[Predictions]:
    """The predictions of each fold; none where one model judged every picture."""
    numbers = sorted({picture.fold for picture in predictions.pictures if picture.fold is not None})
    return [
        msgspec.structs.replace(
            predictions, pictures=tuple(each for each in predictions.pictures if each.fold == number)
        )
        for number in numbers
    ]


def _fold(predictions: Predictions, thresholds: Thresholds) -> FoldScores:
    scored = {precision: score(predictions, precision, thresholds)[0] for precision in predictions.precisions}
    flips = flipped(predictions, thresholds)
    return FoldScores(
        fold=predictions.pictures[0].fold or 0,
        parts=tuple(sorted({picture.part for picture in predictions.pictures})),
        fp32=scored.get("fp32"),
        int8=scored.get("int8"),
        verdict_flips=None if flips is None else len(flips),
    )


def _difference(scored: dict[Precision, tuple[Scores, Samples]]) -> dict[str, Difference]:
    if len(scored) < 2:
        return {}
    (fp32, fp32_samples), (int8, int8_samples) = scored["fp32"], scored["int8"]
    return {
        name: Difference(
            None if before is None or after is None else after - before,
            percentile(int8_samples[name] - fp32_samples[name]),
        )
        for name, before, after in (
            ("map50", fp32.map50, int8.map50),
            ("map50_95", fp32.map50_95, int8.map50_95),
        )
    }
