"""``modelkit export``: trained weights in, an ONNX file for the device out."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import msgspec
from rich.console import Console

from inspector.shell.package import PackageError
from modelkit.arguments import CommandError, explain
from modelkit.export import DEFAULT_SIZE, Exported, ExportError, Size, export
from modelkit.extra import ExtraError
from modelkit.images import ImagesError
from modelkit.weights import WeightsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit export`` takes."""
    explain(
        parser,
        "Make an ONNX file for the device of weights that Ultralytics trained, or of a plain ONNX export of them.\n\n"
        "It is cut: it takes the letterboxed picture as it is, uint8 BGR, and ends before boxes are decoded, which\n"
        "the device does for the few that matter. Before anything is written its outputs are compared with those\n"
        "of the plain export, and of PyTorch. Weights (.pt) need the extra models.",
        "modelkit export best.pt --images pictures --output fp32.onnx",
        "modelkit export best.pt --size 640x640 --output fp32.onnx --plain plain.onnx",
        "modelkit export plain.onnx --output fp32.onnx",
    )
    add = parser.add_argument
    add("source", type=Path, metavar="MODEL", help="weights (.pt), or an ONNX file exported by Ultralytics")
    add("--output", type=Path, required=True, metavar="ONNX")
    add("--kind", choices=["cut", "plain"], default="cut", help="plain: as Ultralytics exports it (cut)")
    add("--plain", type=Path, metavar="ONNX", help="write the plain export too")
    add(
        "--size",
        type=_size,
        metavar="HxW",
        help="height and width of the network input in pixels, multiples of 32 ({}x{})".format(*DEFAULT_SIZE),
    )
    add("--images", type=Path, metavar="DIR", help="pictures to compare on (made-up ones)")
    add("--json", action="store_true", help="print one object")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Export, and say what came of it."""
    console = Console(stderr=True)
    try:
        with console.status("") as status:
            done = export(
                arguments.source,
                arguments.output,
                kind=arguments.kind,
                size=arguments.size,
                plain=arguments.plain,
                images=arguments.images,
                tell=status.update,
            )
    except (ExportError, ExtraError, ImagesError, PackageError, WeightsError, ValueError) as error:
        raise CommandError(error) from error
    print(_json(arguments.output, done) if arguments.json else _text(arguments.output, done))
    return 0


def _size(text: str) -> Size:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if found is None or any(int(side) % 32 or not int(side) for side in found.groups()):
        raise argparse.ArgumentTypeError(f"{text} is no height x width in multiples of 32, such as 320x448")
    return int(found[1]), int(found[2])


def _text(output: Path, done: Exported) -> str:
    interface = done.model.interface
    shape = f"{interface.height}x{interface.width}"
    gaps = (
        f"\n  at most {gap.confidence:.1e} in confidence and {gap.box_px:.1e} px from {name}"
        for name, gap in done.gaps.items()
    )
    head = f"{output}: {interface.kind}, {shape}, {', '.join(done.model.labels)}; on {done.pictures} pictures"
    return head + "".join(gaps)


def _json(output: Path, done: Exported) -> str:
    interface = done.model.interface
    return msgspec.json.encode(
        {
            "file": str(output),
            "sha256": done.model.info.sha256,
            "bytes": output.stat().st_size,
            "kind": interface.kind,
            "height": interface.height,
            "width": interface.width,
            "labels": done.model.labels,
            "pictures": done.pictures,
            "gaps": done.gaps,
        }
    ).decode()
