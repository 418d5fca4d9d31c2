"""Evaluation -> tables on a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from modelkit import summary
from modelkit.evaluation import Evaluation


def show(evaluation: Evaluation, console: Console) -> None:
    """The folds if there are any, then the whole, then what the precisions disagree on."""
    if evaluation.folds:
        console.print(_folds(evaluation))
    console.print(_whole(evaluation))
    console.print(f"flips: {summary.flips(evaluation)}", markup=False, highlight=False)


def _whole(evaluation: Evaluation) -> Table:
    by, parts = evaluation.thresholds, evaluation.parts
    table = _table(
        f"fail from {by.confidence:g}, review from {by.low_confidence:g}; {parts} parts; intervals 95 %"
    )
    for column in ("", *summary.columns(evaluation)):
        table.add_column(column)
    for row in summary.rows(evaluation):
        cells = (f"{cell.figure}\n[dim]{cell.interval}[/]" for cell in row.cells)
        table.add_row(row.name, *(cell.removesuffix("\n[dim][/]") for cell in cells))
    return table


def _folds(evaluation: Evaluation) -> Table:
    table = _table("each fold, by models that never saw what it holds out")
    for column in ("fold", "parts", "", *summary.FOLD_COLUMNS, "flips"):
        table.add_column(column)
    for fold in evaluation.folds:
        for number, (title, scores) in enumerate(summary.fold_scores(fold)):
            lead = ("", "") if number else (str(fold.fold), str(len(fold.parts)))
            flips = summary.NOTHING if fold.verdict_flips is None else str(fold.verdict_flips)
            table.add_row(*lead, title, *summary.fold_cells(scores), "" if number else flips)
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
