"""``modelkit dataset``: labelled pictures in, a checked YOLO dataset out."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import track

from modelkit import source
from modelkit.arguments import CommandError, explain
from modelkit.dataset import DatasetError, write
from modelkit.faults import Fault, find
from modelkit.folds import folds, random_folds
from modelkit.labels import LabelledPicture, LabelsError
from modelkit.twins import LEAST_CORRELATION


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit dataset`` takes."""
    explain(
        parser,
        "Check labelled pictures, and write them as a YOLO dataset with some of them held out.\n\n"
        "All pictures of a part are on one side of the split. Errors are exit status 1, and nothing is written;\n"
        "warnings change neither.",
        "modelkit dataset --labels tags/labels.csv --classes scratch --check",
        "modelkit dataset --labels tags/labels.csv --classes scratch --fold 0 --output sets/fold0",
        "modelkit dataset --labels tags/labels.csv --classes scratch --all --output sets/all",
        "modelkit dataset --labels exported/data.yaml --part-pattern '^[0-9]+' --fold 0 --output sets/fold0",
    )
    source.add_arguments(parser)
    add = parser.add_argument
    add("--check", action="store_true", help="report only")
    add("--json", action="store_true", help="print one JSON object")
    add(
        "--least-correlation",
        type=float,
        default=LEAST_CORRELATION,
        metavar="R",
        help="from here on pictures of different parts are reported as alike, 0 to 1 (%(default)s)",
    )
    add("--output", type=Path, metavar="DIR", help="gets images, labels, data.yaml and dataset.json")
    add("--copy", action="store_true", help="copy the pictures, not link to them")
    add("--folds", type=int, default=5, metavar="N", help="parts are dealt into so many folds (%(default)s)")
    held_out = parser.add_mutually_exclusive_group()
    held_out.add_argument("--fold", type=int, metavar="K", help="hold out this one, from 0 on")
    held_out.add_argument("--all", action="store_true", help="hold out nothing: for the model that ships")
    add(
        "--random",
        action="store_true",
        help="deal pictures, not parts: the held-out ones show parts that were trained on, and figures are too good",
    )
    add("--seed", type=int, default=0, help="of --random (%(default)s)")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the pictures and, unless that is all, write the dataset."""
    _refuse_contradictions(arguments)
    try:
        pictures, labels = source.read(arguments, must_exist=False)
        faults = find(pictures, labels, arguments.least_correlation, _track)
        errors = sum(fault.severity == "error" for fault in faults)
        report = _describe(pictures, labels, faults)
        if not arguments.check and not errors:
            report |= _write(arguments, pictures, labels)
    except (LabelsError, DatasetError, ValueError) as error:
        raise CommandError(error) from error
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        _print(report, faults)
    if errors and not arguments.check:
        raise CommandError(f"nothing was written; mend {_count(faults, 'error')} first")
    return 1 if errors else 0


def _refuse_contradictions(arguments: argparse.Namespace) -> None:
    if arguments.check:
        return
    if not arguments.output:
        raise CommandError("say where to write with --output, or --check to report only")
    if arguments.fold is None and not arguments.all:
        raise CommandError("say what to hold out: --fold K, or --all to train on everything")
    if arguments.fold is not None and not arguments.random and source.is_every_picture_a_part(arguments):
        raise CommandError(
            "each picture would be a part of its own, and a part on both sides; say by --part-pattern how to find "
            "the part in a file name, or deal pictures by --random"
        )
    if arguments.all and arguments.random:
        raise CommandError(
            "--all holds out nothing, so there is nothing to deal at random; leave one of them out"
        )
    if arguments.fold is not None and not 0 <= arguments.fold < arguments.folds:
        raise CommandError(f"there is no fold {arguments.fold} of {arguments.folds}; they count from 0")


def _write(
    arguments: argparse.Namespace, pictures: Sequence[LabelledPicture], labels: Sequence[str]
) -> dict[str, Any]:
    held_out = [fold == arguments.fold for fold in _folds(arguments, pictures)]
    made_with = {
        "split": "all" if arguments.all else "random" if arguments.random else "grouped",
        "folds": None if arguments.all else arguments.folds,
        "fold": arguments.fold,
        "seed": arguments.seed if arguments.random else None,
    }
    path = write(
        pictures,
        labels,
        held_out,
        arguments.output,
        images=source.root(arguments),
        copy=arguments.copy,
        made_with=made_with,
    )
    return {"data": str(path), "train": held_out.count(False), "val": held_out.count(True)}


def _folds(arguments: argparse.Namespace, pictures: Sequence[LabelledPicture]) -> list[int]:
    if arguments.all:
        return [-1] * len(pictures)
    if arguments.random:
        return random_folds(len(pictures), arguments.folds, arguments.seed)
    return folds([picture.part for picture in pictures], arguments.folds)


def _describe(
    pictures: Sequence[LabelledPicture], labels: Sequence[str], faults: Sequence[Fault]
) -> dict[str, Any]:
    counts = Counter(number for picture in pictures for number in picture.class_ids.tolist())
    return {
        "pictures": len(pictures),
        "without_boxes": sum(not picture.is_defective for picture in pictures),
        "parts": len({picture.part for picture in pictures}),
        "boxes": {label: counts[number] for number, label in enumerate(labels)},
        "faults": faults,
    }


def _print(report: dict[str, Any], faults: Sequence[Fault]) -> None:
    for fault in faults:
        print(f"{fault.severity}: {fault.picture}: {fault.detail}; {fault.fix}")
    boxes = ", ".join(f"{count} {label}" for label, count in report["boxes"].items())
    print(
        f"{report['pictures']} pictures of {report['parts']} parts, {report['without_boxes']} without boxes; "
        f"boxes: {boxes}; {_count(faults, 'error')}, {_count(faults, 'warning')}"
    )
    if "data" in report:
        print(f"{report['data']}: {report['train']} pictures to train on, {report['val']} held out")


def _count(faults: Sequence[Fault], severity: str) -> str:
    count = sum(fault.severity == severity for fault in faults)
    return f"{count} {severity}{'' if count == 1 else 's'}"


def _track(numbers: Sequence[int], words: str) -> Iterable[int]:
    return track(
        numbers, words, console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()
    )
