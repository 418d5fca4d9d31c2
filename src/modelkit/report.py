"""A trial and its evaluation -> the report: one HTML file that needs no other."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import cv2

from inspector.core.package import Precision, Thresholds
from modelkit import summary
from modelkit.charts import charts
from modelkit.evaluation import Evaluation
from modelkit.labels import LabelledBox
from modelkit.markup import Markup, element, join
from modelkit.plot import legend
from modelkit.predictions import PredictedBox, Prediction, read_pixels
from modelkit.scores import verdict
from modelkit.trial import Trial
from modelkit.worst import TITLES, Error, worst

MOST_SHOWN = 12
"""Of each kind of error."""
MAX_SIDE_PX = 900
_JPEG_QUALITY = 85


def report(trial: Trial, evaluation: Evaluation, images: Path) -> str:
    """The page. The same trial gives the same page. Raises PredictionsError where a picture is gone by now."""
    head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", trial.title),
        element("style", Markup(files("modelkit").joinpath("report.css").read_text(encoding="utf-8"))),
    )
    body = element(
        "body",
        element("h1", trial.title),
        _lead(trial, evaluation),
        element("h2", "Figures"),
        _figures(evaluation),
        *_folds(evaluation),
        element("h2", "Thresholds and confidence"),
        element("div", *charts(trial.predictions, evaluation), class_="charts"),
        element("h2", "Worst errors"),
        *_errors(trial, evaluation.thresholds, images),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _lead(trial: Trial, evaluation: Evaluation) -> Markup:
    pictures = trial.predictions.pictures
    defective, by = sum(each.is_defective for each in pictures), evaluation.thresholds
    left_out = f" {trial.left_out} more are held out by no fold, and not judged." if trial.left_out else ""
    return element(
        "p",
        f"{len(pictures)} pictures of {evaluation.parts} parts, {defective} of them defective; classes: "
        f"{', '.join(trial.predictions.class_names)}. A detection of {by.confidence:g} or more fails the part, one "
        f"of {by.low_confidence:g} or more sends it to review, as does an unusual picture.{left_out}",
        class_="lead",
    )


def _figures(evaluation: Evaluation) -> Markup:
    header = _header(["", *summary.columns(evaluation)])
    body = [
        element(
            "tr",
            element("th", row.name, element("small", row.meaning), scope="row"),
            *(element("td", cell.figure, element("small", cell.interval)) for cell in row.cells),
        )
        for row in summary.rows(evaluation)
    ]
    note = (
        "Below each figure its 95 % interval: of shares Wilson's, which takes pictures for independent, and one by "
        "resampling whole parts, since pictures of one part are alike; of all others by resampling parts. For the "
        "difference the same parts are drawn for both precisions."
    )
    return join(
        element("div", element("table", header, element("tbody", *body)), class_="wide"),
        element("p", f"Flips: {summary.flips(evaluation)}."),
        element("p", note, class_="note"),
    )


def _folds(evaluation: Evaluation) -> list[Markup]:
    if not evaluation.folds:
        return []
    rows = []
    for fold in evaluation.folds:
        for title, scores in summary.fold_scores(fold):
            cells = (element("td", cell) for cell in summary.fold_cells(scores))
            lead = element("th", f"{fold.fold}", element("small", ", ".join(fold.parts)), scope="row")
            flips = summary.NOTHING if fold.verdict_flips is None else str(fold.verdict_flips)
            rows.append(element("tr", lead, element("td", title), *cells, element("td", flips)))
    header = _header(["fold, its parts", "", *summary.FOLD_COLUMNS, "flips"])
    table = element("table", header, element("tbody", *rows))
    return [element("h2", "Each fold"), element("div", table, class_="wide")]


def _header(columns: Sequence[str]) -> Markup:
    return element("thead", element("tr", *(element("th", column, scope="col") for column in columns)))


def _errors(trial: Trial, by: Thresholds, images: Path) -> list[Markup]:
    key = legend(
        ("label", "labelled defect"),
        ("fail", f"detection of {by.confidence:g} or more"),
        ("review", f"of {by.low_confidence:g} or more"),
        ("pass", "weaker"),
    )
    sections = [key]
    for kind, errors in worst(trial.predictions, by).items():
        shown = f", {MOST_SHOWN} of {len(errors)}" if len(errors) > MOST_SHOWN else f", {len(errors)}"
        sections.append(element("h3", TITLES[kind], element("span", shown, class_="count")))
        cards = [_card(error, trial, by, images) for error in errors[:MOST_SHOWN]]
        sections.append(
            element("div", *cards, class_="errors") if cards else element("p", "none", class_="note")
        )
    return sections


def _card(error: Error, trial: Trial, by: Thresholds, images: Path) -> Markup:
    picture, names = error.picture, trial.predictions.class_names
    verdicts = (
        f"{summary.TITLES[each]} {verdict(picture, each, names, by)}" for each in trial.predictions.precisions
    )
    fold = "" if picture.fold is None else f", fold {picture.fold}"
    text = join(element("b", picture.image), f"{picture.part}{fold}: {', '.join(verdicts)}")
    return element("figure", _drawing(picture, error.precisions[0], by, images), element("figcaption", text))


def _drawing(picture: Prediction, precision: Precision, by: Thresholds, images: Path) -> Markup:
    """The picture, and over it the labelled boxes and what one precision found."""
    width, height = picture.width, picture.height
    href = _embedded(images / picture.image)
    found = picture.detections[precision]
    return element(
        "svg",
        element("image", href=href, width=width, height=height),
        *(_box(box, "label", "labelled") for box in picture.labels),
        *(_found(box, by) for box in reversed(found)),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=f"{picture.image}, as {summary.TITLES[precision]} sees it",
    )


def _found(box: PredictedBox, by: Thresholds) -> Markup:
    if box.confidence < by.low_confidence:
        return _box(box, "pass", f"{box.confidence:.2f}")
    style = "fail" if box.confidence >= by.confidence else "review"
    note = f"{box.confidence:.2f}"
    text = element("text", note, x=box.left + 2, y=max(box.top - 3, 10.0), class_=style)
    return join(_box(box, style, note), text)


def _box(box: LabelledBox | PredictedBox, style: str, title: str) -> Markup:
    place = {"x": box.left, "y": box.top, "width": box.width, "height": box.height}
    return element("rect", element("title", title), **place, class_=style)


def _embedded(path: Path) -> str:
    """The picture as a data URL, no larger than need be."""
    pixels = read_pixels(path)
    scale = min(MAX_SIDE_PX / max(pixels.shape[:2]), 1.0)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    content = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
