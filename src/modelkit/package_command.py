"""``modelkit package``: ONNX files, and how well their like did on labelled pictures, in; a model package out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import track

from inspector.core.package import Manifest, Precision
from inspector.shell.package import PackageError
from modelkit.arguments import CommandError
from modelkit.evidence import describe, measure
from modelkit.gate import GateError, Labelled, find_objections
from modelkit.golden import GoldenError
from modelkit.images import ImagesError, know
from modelkit.images import measure as measure_images
from modelkit.labels import LabelsError, read_csv
from modelkit.package import Background, Draft, PackagingError, draft
from modelkit.package_options import add_options
from modelkit.predictions import Predictions, PredictionsError, read
from modelkit.signing import SigningError, open_key
from modelkit.thresholds import Rule, ThresholdsError, choose, explain

FAULTS = (
    GateError,
    GoldenError,
    ImagesError,
    LabelsError,
    PackageError,
    PackagingError,
    PredictionsError,
    SigningError,
    ThresholdsError,
)
UNFIT_SHOWN = 10
LISTED = 100
"""So many parts of a recipe the manifest names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit package`` takes."""
    add_options(parser)
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the package."""
    _check(arguments)
    try:
        key = open_key(arguments.sign) if arguments.sign else None
        made = _draft(arguments)
        overruled = _pass_gate(arguments, made)
        made.write(arguments.output, key)
    except FAULTS as error:
        raise CommandError(error) from error
    _show(made, arguments.output, overruled)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.against is None and (arguments.on or arguments.force):
        raise CommandError("--on and --force are about --against; say which package is to be replaced")
    by_rule = (arguments.max_escapes, arguments.max_false_alarms, arguments.margin)
    if arguments.out_of_fold is None and any(each is not None for each in by_rule):
        raise CommandError(
            "--max-escapes, --max-false-alarms and --margin choose from --out-of-fold; give that, too"
        )


def _draft(arguments: argparse.Namespace) -> Draft:
    models: dict[Precision, Path] = {"fp32": arguments.fp32}
    if arguments.int8:
        models["int8"] = arguments.int8
    predictions = _predictions(arguments, tuple(models)) if arguments.out_of_fold else None
    rule = _rule(arguments)
    thresholds = choose(predictions, rule)
    made = draft(
        name=arguments.name,
        version=arguments.version,
        models=models,
        candidates=_candidates(arguments.golden),
        thresholds=thresholds,
        background=Background(
            images=know(measure_images(arguments.images)) if arguments.images else None,
            threshold_rule=explain(predictions, rule, thresholds) if predictions else "",
            evidence=describe(predictions) if predictions else None,
            metrics={each: measure(predictions, each, thresholds) for each in models} if predictions else {},
            recipes=[_recipe(path) for path in arguments.recipe],
        ),
    )
    if predictions and predictions.class_names != made.manifest.labels:
        raise CommandError(
            f"{arguments.out_of_fold} is of the classes {', '.join(predictions.class_names)}, the models of "
            f"{', '.join(made.manifest.labels)}; give the predictions of their own recipe"
        )
    return made


def _rule(arguments: argparse.Namespace) -> Rule:
    given = {
        name: getattr(arguments, name)
        for name in ("max_escapes", "max_false_alarms", "margin", "confidence", "low_confidence")
    }
    return Rule(**{name: value for name, value in given.items() if value is not None})


def _predictions(arguments: argparse.Namespace, precisions: tuple[Precision, ...]) -> Predictions:
    """Of the precisions that are packaged."""
    predictions = read(arguments.out_of_fold)
    if missing := set(precisions) - set(predictions.precisions):
        raise CommandError(
            f"{arguments.out_of_fold} has no {' and no '.join(sorted(missing))} predictions; evaluate folds with "
            "models of each precision"
        )
    if any(each.fold is not None and not each.is_part_unseen for each in predictions.pictures):
        raise CommandError(
            f"{arguments.out_of_fold} is of a random split, whose models have seen other pictures of the same parts: "
            "what it says is too good; evaluate folds that hold out parts"
        )
    return msgspec.structs.replace(predictions, precisions=precisions)


def _recipe(path: Path) -> dict[str, Any]:
    """The recipe, but that of long lists (4,000 simulated parts, say) it says how many."""
    try:
        recipe = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise CommandError(f"{path} is no recipe: {error}; give the recipe.json of modelkit train") from error
    return {
        name: f"{len(value)} of them" if isinstance(value, list) and len(value) > LISTED else value
        for name, value in recipe.items()
    }


def _candidates(given: Sequence[Path]) -> Iterator[Path]:
    """Files as they are given, those of a directory by name."""
    paths = [
        path
        for each in given
        for path in (sorted(p for p in each.rglob("*") if p.is_file()) if each.is_dir() else [each])
    ]
    console = Console(stderr=True)
    yield from track(
        paths, "golden pictures", console=console, transient=True, disable=not console.is_terminal
    )


def _pass_gate(arguments: argparse.Namespace, made: Draft) -> list[str]:
    """What spoke against the package, where it is made nevertheless."""
    if arguments.against is None:
        return []
    labelled = Labelled(read_csv(*arguments.on), arguments.on[1]) if arguments.on else None
    objections = find_objections(made, arguments.against, labelled)
    if objections and not arguments.force:
        raise CommandError(
            "\n".join(
                [
                    f"not made, as it must not replace {arguments.against} (--force makes it nevertheless):",
                    *(f"  {objection}" for objection in objections),
                ]
            )
        )
    return objections


def _show(made: Draft, output: Path, overruled: Sequence[str]) -> None:
    manifest, choice = made.manifest, made.choice
    files = ", ".join(f"{file.precision} {file.kind}" for file in manifest.files)
    print(
        f"{output}: {manifest.name} {manifest.version}, {', '.join(manifest.labels)}; {files}; {_known(manifest)}"
    )
    for objection in overruled:
        print(f"  made nevertheless: {objection}")
    by = manifest.thresholds
    print(f"  confidence {by.confidence}, low_confidence {by.low_confidence}")
    if manifest.threshold_rule:
        print(f"  {manifest.threshold_rule}")
    if manifest.evidence and not manifest.evidence.out_of_fold:
        print(
            "  by pictures that the models may have been trained on, for all that is known: look where they are from"
        )
    print(f"  golden: {', '.join(f'{each.picture.name} {each.verdict}' for each in choice.taken)}")
    for name, why in list(choice.unfit.items())[:UNFIT_SHOWN]:
        print(f"  not golden: {name}: {why}")
    if len(choice.unfit) > UNFIT_SHOWN:
        print(f"  not golden: {len(choice.unfit) - UNFIT_SHOWN} more")


def _known(manifest: Manifest) -> str:
    if manifest.images is None:
        return "unusual images will not be told, for want of --images"
    return f"unusual images will be told by {manifest.images.count} pictures"
