"""The ``modelkit`` command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from inspector.core.package import Manifest, Precision, Thresholds
from inspector.shell.package import PackageError
from modelkit.golden import GoldenError
from modelkit.images import ImagesError, know, measure
from modelkit.package import PackagingError, package
from modelkit.verify import verify

PACKAGE_EXAMPLE = """example:
  modelkit package --name metal-tag --version 1.0.0 --fp32 best.onnx \\
    --golden clean.jpg scratched.jpg --images pictures --output models

The first golden picture should be one of a good part: a copy of it under blue light is added, to tell whether a
model takes red for blue.
"""
VERIFY_EXAMPLE = "example:\n  modelkit verify models"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="modelkit",
        description="Make and check the model packages that the inspector judges with.",
        epilog=VERIFY_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    _add_package(commands)
    _add_verify(commands)
    return top


def _add_package(commands: Any) -> None:
    add = _command(
        commands, "package", "make a model package of ONNX files and golden pictures", PACKAGE_EXAMPLE
    )
    add.add_argument("--name", required=True)
    add.add_argument("--version", required=True, help="such as 1.0.0")
    add.add_argument(
        "--fp32", type=Path, required=True, metavar="ONNX", help="exported by Ultralytics YOLOv8"
    )
    add.add_argument("--int8", type=Path, metavar="ONNX", help="the same model, quantized")
    add.add_argument("--golden", type=Path, nargs="+", required=True, metavar="IMAGE")
    add.add_argument(
        "--images",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="pictures as the camera takes them, good parts and bad: the device sends others to review as "
        "unusual; without them it cannot tell",
    )
    add.add_argument(
        "--confidence", type=float, default=0.5, help="from here on a detection fails a part (0.5)"
    )
    add.add_argument("--low-confidence", type=float, default=0.25, help="below it is ignored (0.25)")
    add.add_argument("--output", type=Path, required=True, metavar="DIR")
    add.set_defaults(run=run_package)


def _add_verify(commands: Any) -> None:
    add = _command(commands, "verify", "check a package's hashes and golden pictures", VERIFY_EXAMPLE)
    add.add_argument("directory", type=Path, metavar="DIR")
    add.set_defaults(run=run_verify)


def _command(commands: Any, name: str, purpose: str, example: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made


def run_package(arguments: argparse.Namespace) -> int:
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
    except (PackagingError, GoldenError, ImagesError, PackageError, OSError, ValueError) as error:
        return _fail(str(error))
    print(
        f"{arguments.output}: {manifest.name} {manifest.version}, {', '.join(manifest.labels)}; {_known(manifest)}"
    )
    return 0


def _known(manifest: Manifest) -> str:
    if manifest.images is None:
        return "unusual images will not be told, for want of --images"
    return f"unusual images will be told by {manifest.images.count} pictures"


def run_verify(arguments: argparse.Namespace) -> int:
    faults = verify(arguments.directory)
    if faults:
        return _fail(*faults)
    print(f"{arguments.directory}: hashes and golden pictures are as the manifest says")
    return 0


def _fail(*faults: str) -> int:
    for fault in faults:
        print(f"modelkit: {fault}", file=sys.stderr)
    return 1


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
