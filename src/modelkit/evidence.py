"""Predictions -> what a manifest says of them: which labelled pictures they are of, and each file's metrics."""

from __future__ import annotations

import hashlib

import msgspec

from inspector.core.package import Evidence, Precision, Thresholds
from modelkit.predictions import Predictions
from modelkit.scores import score

METRICS = ("map50", "map50_95", "escapes", "overkill", "review", "images", "precision", "recall", "ece")
"""Of ``modelkit.scores.Scores``, which says what each is."""


def describe(predictions: Predictions) -> Evidence:
    """The labelled pictures."""
    pictures = predictions.pictures
    truth = sorted((each.image, each.part, each.width, each.height, each.labels) for each in pictures)
    return Evidence(
        pictures=len(pictures),
        defective=sum(each.is_defective for each in pictures),
        parts=len({each.part for each in pictures}),
        out_of_fold=all(each.is_part_unseen for each in pictures),
        sha256=hashlib.sha256(msgspec.json.encode((predictions.class_names, truth))).hexdigest(),
    )


def measure(predictions: Predictions, precision: Precision, thresholds: Thresholds) -> dict[str, float]:
    """The metrics of a precision; those are left out for which there was nothing to count."""
    scores, _ = score(predictions, precision, thresholds)
    figures = {name: getattr(scores, name) for name in METRICS}
    return {name: round(float(figure), 4) for name, figure in figures.items() if figure is not None}
