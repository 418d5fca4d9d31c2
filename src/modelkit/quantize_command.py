"""``modelkit quantize``: a float ONNX file in, an INT8 one out that decides the same."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from inspector.core.package import Thresholds
from inspector.shell.package import PackageError
from modelkit import source, whole
from modelkit.activations import METHODS
from modelkit.arguments import CommandError, count, explain
from modelkit.candidates import Candidate, Limits, candidates, spread
from modelkit.fold_directory import FoldsError, Recipe, read_recipe
from modelkit.labels import LabelledPicture, LabelsError, image_name
from modelkit.predictions import PredictionsError
from modelkit.quantize import QuantizeError

POINTS = 100
"""Of mean average precision."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit quantize`` takes."""
    explain(
        parser,
        "Make an INT8 ONNX file of a float one, cut or plain, that judges pictures as the float one does.\n\n"
        "Ranges are measured, and candidates judged, on labelled pictures of the parts that it was trained on, so\n"
        "that parts it has never seen stay unseen; to be judged each picture is mirrored too. More and more is left\n"
        "in float until a candidate holds; where none does, nothing is written.",
        "modelkit quantize fp32.onnx --labels tags/labels.csv --fold recipe.json \\\n    --output int8.onnx",
        "modelkit quantize fp32.onnx --labels tags/labels.csv --parts tag-01 tag-02 \\\n"
        "    --output int8.onnx --weight-bits 8",
    )
    add = parser.add_argument
    add("source", type=Path, metavar="ONNX", help="what modelkit export wrote, or a plain Ultralytics export")
    source.add_arguments(parser)
    parts = parser.add_mutually_exclusive_group(required=True)
    parts.add_argument("--parts", nargs="+", metavar="PART", help="parts that it was trained on")
    parts.add_argument(
        "--fold", type=Path, metavar="JSON", help="recipe.json of its training, which names them"
    )
    add("--output", type=Path, required=True, metavar="ONNX")
    add("--pictures", type=count, default=100, metavar="N", help="to measure ranges on, evenly spread (100)")
    add(
        "--method",
        nargs="+",
        choices=METHODS,
        default=["minmax"],
        help="how to lay ranges, each in turn (minmax)",
    )
    add(
        "--weight-bits",
        type=int,
        choices=[7, 8],
        default=7,
        help="8 are more precise, but overflow on x86 without VNNI, silently (7)",
    )
    add("--confidence", type=float, default=0.5, help="from here on a detection fails a part (0.5)")
    add("--low-confidence", type=float, default=0.25, help="below it is ignored (0.25)")
    limits = Limits()
    for name, limit, meaning in (
        ("--map50-loss", limits.map50, "of mAP50"),
        ("--map50-95-loss", limits.map50_95, "of mAP50-95"),
    ):
        add(
            name,
            type=float,
            default=limit * POINTS,
            metavar="POINTS",
            help=f"{meaning} may be lost (%(default)s)",
        )
    add(
        "--confidence-error",
        type=float,
        default=limits.confidence,
        help="so far a picture's strongest detection may move (%(default)s)",
    )
    add("--json", action="store_true", help="print one object")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Try candidates, write the first that holds, and show what was tried."""
    if arguments.output.resolve() == arguments.source.resolve():
        raise CommandError(f"{arguments.source} would be written over; give --output another name")
    try:
        pictures = _trained_on(arguments, source.read_pictures(arguments))
        measured = spread(pictures, arguments.pictures)
        tried, content = _try(arguments, pictures, measured)
    except (FoldsError, LabelsError, PackageError, PredictionsError, QuantizeError, ValueError) as error:
        raise CommandError(error) from error
    if not arguments.json:
        Console().print(_table(tried))
    if not tried[-1].holds:
        raise CommandError(
            f"no candidate holds, and {arguments.output} is not written; measure ranges on more pictures "
            "(--pictures), or keep to FP32"
        )
    whole.write({arguments.output: content})
    by = {"measured": len(measured), "judged": len(pictures)}
    print(_json(arguments, by, tried, content) if arguments.json else _text(arguments.output, by, content))
    return 0


def _try(
    arguments: argparse.Namespace, pictures: Sequence[LabelledPicture], measured: Sequence[LabelledPicture]
) -> tuple[list[Candidate], bytes]:
    limits = Limits(
        arguments.map50_loss / POINTS, arguments.map50_95_loss / POINTS, arguments.confidence_error
    )
    tried: list[Candidate] = []
    content = b""
    with Console(stderr=True).status("") as status:
        for candidate, content in candidates(  # noqa: B007  (the last one's content is wanted)
            arguments.source,
            pictures,
            measured,
            methods=arguments.method,
            thresholds=Thresholds(arguments.confidence, arguments.low_confidence),
            limits=limits,
            weight_bits=arguments.weight_bits,
            tell=status.update,
        ):
            tried.append(candidate)
    return tried, content


def _trained_on(
    arguments: argparse.Namespace, labelled: Sequence[LabelledPicture]
) -> Sequence[LabelledPicture]:
    recipe = read_recipe(arguments.fold) if arguments.fold else Recipe(trained_on=tuple(arguments.parts))
    if unknown := set(recipe.trained_on) - {picture.part for picture in labelled}:
        raise CommandError(f"{arguments.labels} has no part {', '.join(sorted(unknown)[:5])}")
    images = source.root(arguments)
    chosen = [
        picture
        for picture in labelled
        if picture.part in recipe.trained_on and image_name(picture, images) not in recipe.held_out_images
    ]
    if not chosen:
        raise CommandError(f"{arguments.fold} names no part that it was trained on; name them by --parts")
    return chosen


def _table(tried: Sequence[Candidate]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="INT8 against FP32", title_justify="left", title_style="")
    for column in ("ranges", "in float", "mAP50", "mAP50-95", "flips", "moved", "MB", ""):
        is_text = column in ("ranges", "in float", "")
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
    for each in tried:
        cost = each.cost
        table.add_row(
            each.method,
            _in_float(each),
            f"{-cost.map50 * POINTS:+.2f}",
            f"{-cost.map50_95 * POINTS:+.2f}",
            str(cost.flips),
            f"{cost.confidence:.3f}",
            f"{each.bytes / 1e6:.2f}",
            "holds" if each.holds else "",
        )
    return table


def _in_float(candidate: Candidate) -> str:
    numbers = {"first": candidate.first, "last": candidate.last}
    return ", ".join(f"{name} {number}" for name, number in numbers.items() if number) or "nothing"


def _text(output: Path, by: dict[str, int], content: bytes) -> str:
    return (
        f"{output}: {len(content) / 1e6:.2f} MB; ranges measured on {by['measured']} pictures, "
        f"judged on {by['judged']}"
    )


def _json(
    arguments: argparse.Namespace, by: dict[str, int], tried: Sequence[Candidate], content: bytes
) -> str:
    told: dict[str, Any] = {
        "file": str(arguments.output),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "weight_bits": arguments.weight_bits,
        **by,
        "tried": tried,
    }
    return msgspec.json.encode(told).decode()
