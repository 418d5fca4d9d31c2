"""Evaluation -> its figures in words, in rows, as the terminal and the report show them."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.core.package import Precision
from modelkit.evaluation import Evaluation, FoldScores
from modelkit.intervals import Interval
from modelkit.scores import Scores, Share

NOTHING = "-"
TITLES: dict[Precision, str] = {"fp32": "FP32", "int8": "INT8"}
DIFFERENCE = "INT8 - FP32"


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, and its intervals, one a line; empty where there are none."""

    figure: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of each precision."""

    name: str
    meaning: str
    cells: tuple[Cell, ...]


def columns(evaluation: Evaluation) -> list[str]:
    """What the cells of a row are of: each precision, and the difference where there are two."""
    present = [TITLES[precision] for precision, _ in _scores(evaluation)]
    return [*present, DIFFERENCE] if len(present) == 2 else present


def rows(evaluation: Evaluation) -> list[Row]:
    """Every figure of the whole."""
    accept, floor = evaluation.thresholds.confidence, evaluation.thresholds.low_confidence
    means = [
        _mean(evaluation, "map50", "mAP50", "mean average precision at an IoU of 0.5"),
        _mean(evaluation, "map50_95", "mAP50-95", "the same, mean over IoUs of 0.5 to 0.95"),
    ]
    shares = [
        _shares(evaluation, "escapes", "of defective parts, judged pass"),
        _shares(evaluation, "overkill", "of good parts, judged fail"),
        _shares(evaluation, "review", "of all parts, sent to a person"),
    ]
    boxes = [
        _plain(evaluation, "precision", f"precision at {accept:g}", "of detections, true ones"),
        _plain(evaluation, "recall", f"recall at {accept:g}", "of labelled defects, found"),
        _plain(evaluation, "precision_low", f"precision at {floor:g}", "of detections, true ones"),
        _plain(evaluation, "recall_low", f"recall at {floor:g}", "of labelled defects, found"),
    ]
    present = [scores for _, scores in _scores(evaluation)]
    unusual = Row(
        "review, unusual",
        "for nothing but an unusual picture",
        tuple(Cell(str(each.unusual)) for each in present),
    )
    error = Row(
        "calibration error", "expected, of all detections", tuple(Cell(number(each.ece)) for each in present)
    )
    return [*means, *shares, unusual, *boxes, error]


FOLD_COLUMNS = ("images", "mAP50", "mAP50-95", "escapes", "overkill", "review")


def fold_cells(scores: Scores) -> tuple[str, ...]:
    """The figures of one fold in the order of FOLD_COLUMNS."""
    shares = (f"{share.count}/{share.of}" for share in scores.shares.values())
    return (str(scores.images), number(scores.map50), number(scores.map50_95), *shares)


def fold_scores(fold: FoldScores | Evaluation) -> list[tuple[str, Scores]]:
    """The title of each precision that there is, and its scores."""
    return [(TITLES[precision], scores) for precision, scores in _scores(fold)]


def flips(evaluation: Evaluation) -> str:
    """How often the precisions contradict each other."""
    if evaluation.verdict_flips is None:
        return "one precision alone: nothing to flip"
    pictures = f": {', '.join(evaluation.flipped)}" if evaluation.flipped else ""
    return f"{evaluation.verdict_flips} pictures that one precision fails and the other passes{pictures}"


def number(figure: float | None) -> str:
    """To three digits."""
    return NOTHING if figure is None else f"{figure:.3f}"


def _scores(of: Evaluation | FoldScores) -> list[tuple[Precision, Scores]]:
    both: list[tuple[Precision, Scores | None]] = [("fp32", of.fp32), ("int8", of.int8)]
    return [(precision, scores) for precision, scores in both if scores is not None]


def _mean(evaluation: Evaluation, name: str, title: str, meaning: str) -> Row:
    row = _plain(evaluation, name, title, meaning)
    cells = [*row.cells]
    if (apart := evaluation.difference.get(name)) is not None:
        value = NOTHING if apart.value is None else f"{apart.value:+.3f}"
        cells.append(Cell(value, _interval(apart.interval, "{:+.3f}")))
    return Row(title, meaning, tuple(cells))


def _plain(evaluation: Evaluation, name: str, title: str, meaning: str) -> Row:
    cells = (
        Cell(number(getattr(scores, name)), _interval(scores.intervals.get(name), "{:.3f}"))
        for _, scores in _scores(evaluation)
    )
    return Row(title, meaning, tuple(cells))


def _shares(evaluation: Evaluation, name: str, meaning: str) -> Row:
    cells = (_share(scores.shares[name]) for _, scores in _scores(evaluation))
    return Row(name, meaning, tuple(cells))


def _share(share: Share) -> Cell:
    if share.share is None:
        return Cell("0 of 0")
    intervals = (_interval(share.wilson, "{:.1%}"), _interval(share.by_part, "{:.1%}"))
    by_part = f"\n{intervals[1]} by part" if intervals[1] else ""
    return Cell(f"{share.count} of {share.of}: {share.share:.1%}", intervals[0] + by_part)


def _interval(interval: Interval | None, form: str) -> str:
    return " to ".join(form.format(end) for end in interval) if interval else ""
