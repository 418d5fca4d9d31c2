"""``modelkit evaluate``: models and labelled pictures in, how well they judge out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress

from inspector.core.package import Precision, Thresholds
from inspector.core.settings import SettingsError, parse
from inspector.shell.package import PackageError
from modelkit import source
from modelkit.arguments import CommandError, count, explain
from modelkit.evaluation import Evaluation, evaluate
from modelkit.fold_directory import FoldsError
from modelkit.intervals import RESAMPLES
from modelkit.labels import LabelledPicture, LabelsError
from modelkit.predictions import PredictionsError, write
from modelkit.report import report
from modelkit.score_table import show
from modelkit.trial import Trial, try_folds, try_package


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit evaluate`` takes."""
    explain(
        parser,
        "Run the detector that ships on labelled pictures, judge as the device does, and say how well that went.\n\n"
        "--package judges a package (or a single ONNX file) on every picture, which should be of parts that it was\n"
        "not trained on. --folds judges by each fold's models what that fold held out, and pools it.",
        "modelkit evaluate --package models --labels tags/labels.csv --report report.html",
        "modelkit evaluate --package models --labels tags/labels.csv --json",
        "modelkit evaluate --folds runs/folds --labels tags/labels.csv --output out-of-fold.json",
    )
    add = parser.add_argument
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument("--package", type=Path, metavar="DIR", help="a model package, or an ONNX file")
    judged.add_argument(
        "--folds", type=Path, metavar="DIR", help="fold0, fold1 …, with recipe.json and models"
    )
    source.add_arguments(parser)
    add("--file", metavar="NAME", help="the FP32 model of each fold (fp32.onnx)")
    add("--int8-file", metavar="NAME", help="the INT8 model of each fold (int8.onnx)")
    add("--confidence", type=float, help="from here on a detection fails a part (the package's, else 0.5)")
    add("--low-confidence", type=float, help="below it is ignored (the package's, else 0.25)")
    add(
        "--resamples",
        type=count,
        default=RESAMPLES,
        metavar="N",
        help=f"draws for the intervals ({RESAMPLES})",
    )
    add("--json", action="store_true", help="print one JSON object")
    add(
        "--report",
        type=Path,
        metavar="HTML",
        help="write a report with charts and the worst errors, one file",
    )
    add("--output", type=Path, metavar="JSON", help="write every detection, to choose thresholds from")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Try, score, and tell."""
    if arguments.package and (arguments.file or arguments.int8_file):
        raise CommandError("--file and --int8-file name the models of --folds; a package says which it has")
    try:
        pictures = source.read_pictures(arguments)
        trial, evaluation = _evaluate(arguments, pictures)
    except (LabelsError, PackageError, PredictionsError, FoldsError) as error:
        raise CommandError(error) from error
    if trial.left_out:
        print(
            f"modelkit: {trial.left_out} of {len(pictures)} pictures are held out by no fold, and not judged",
            file=sys.stderr,
        )
    if arguments.output:
        write(trial.predictions, arguments.output)
    if arguments.report:
        arguments.report.write_text(report(trial, evaluation, source.root(arguments)), encoding="utf-8")
    if arguments.json:
        print(msgspec.json.encode(evaluation).decode())
    else:
        show(evaluation, Console())
    return 0


def _evaluate(arguments: argparse.Namespace, pictures: Sequence[LabelledPicture]) -> tuple[Trial, Evaluation]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        judging = progress.add_task("judging", total=len(pictures))
        trial = _try(arguments, pictures, lambda: progress.advance(judging))
        total = arguments.resamples * len(trial.predictions.precisions)
        resampling = progress.add_task("resampling", total=total)
        by = _thresholds(arguments, trial)
        evaluation = evaluate(
            trial.predictions,
            by,
            resamples=arguments.resamples,
            advance=lambda: progress.advance(resampling),
        )
    return trial, evaluation


def _try(
    arguments: argparse.Namespace, pictures: Sequence[LabelledPicture], advance: Callable[[], None]
) -> Trial:
    if arguments.package:
        return try_package(arguments.package, pictures, source.root(arguments), advance)
    given: dict[Precision, str | None] = {"fp32": arguments.file, "int8": arguments.int8_file}
    named = {precision: name for precision, name in given.items() if name}
    return try_folds(arguments.folds, pictures, source.root(arguments), named, advance)


def _thresholds(arguments: argparse.Namespace, trial: Trial) -> Thresholds:
    """Those given, completed as the device completes its configuration."""
    given = {
        "ConfidenceThreshold": arguments.confidence,
        "LowConfidenceThreshold": arguments.low_confidence,
    }
    try:
        settings, _ = parse({key: value for key, value in given.items() if value is not None})
    except SettingsError as error:
        raise CommandError(error) from error
    return settings.thresholds(trial.thresholds)
