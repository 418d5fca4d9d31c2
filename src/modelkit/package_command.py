"""``modelkit package``: ONNX files and golden pictures in, a model package out."""

from __future__ import annotations

import argparse
from pathlib import Path

from inspector.core.package import Manifest, Precision, Thresholds
from inspector.shell.package import PackageError
from modelkit.arguments import CommandError, explain
from modelkit.golden import GoldenError
from modelkit.images import ImagesError, know, measure
from modelkit.package import PackagingError, package


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit package`` takes."""
    explain(
        parser,
        "Make a model package of ONNX files and golden pictures.\n\n"
        "The first golden picture should be one of a good part: a copy of it under blue light is added, to tell\n"
        "whether a model takes red for blue.",
        "modelkit package --name metal-tag --version 1.0.0 --fp32 best.onnx \\\n"
        "    --golden clean.jpg scratched.jpg --images pictures --output models",
    )
    add = parser.add_argument
    add("--name", required=True)
    add("--version", required=True, help="such as 1.0.0")
    add("--fp32", type=Path, required=True, metavar="ONNX", help="exported by Ultralytics YOLOv8")
    add("--int8", type=Path, metavar="ONNX", help="the same model, quantized")
    add("--golden", type=Path, nargs="+", required=True, metavar="IMAGE")
    add(
        "--images",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="pictures as the camera takes them, good parts and bad: the device sends others to review as "
        "unusual; without them it cannot tell",
    )
    add("--confidence", type=float, default=0.5, help="from here on a detection fails a part (0.5)")
    add("--low-confidence", type=float, default=0.25, help="below it is ignored (0.25)")
    add("--output", type=Path, required=True, metavar="DIR")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the package."""
    models: dict[Precision, Path] = {"fp32": arguments.fp32}
    if arguments.int8:
        models["int8"] = arguments.int8
    try:
        manifest = package(
            arguments.output,
            name=arguments.name,
            version=arguments.version,
            models=models,
            golden=arguments.golden,
            thresholds=Thresholds(arguments.confidence, arguments.low_confidence),
            images=know(measure(arguments.images)) if arguments.images else None,
        )
    except (PackagingError, GoldenError, ImagesError, PackageError, ValueError) as error:
        raise CommandError(error) from error
    print(
        f"{arguments.output}: {manifest.name} {manifest.version}, {', '.join(manifest.labels)}; {_known(manifest)}"
    )
    return 0


def _known(manifest: Manifest) -> str:
    if manifest.images is None:
        return "unusual images will not be told, for want of --images"
    return f"unusual images will be told by {manifest.images.count} pictures"
