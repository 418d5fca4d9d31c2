"""The command line of the component, and its composition root."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from inspector import __version__

# Read by OpenCV when it is imported: what it cannot decode is told in one line of ours, not in five of its own.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


_PRECISION: dict[str, Any] = {
    "choices": ("auto", "fp32", "int8"),
    "default": "auto",
    "help": "file of the package that runs; auto: int8 where it is faster here and decides the same (default: auto)",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; point standard output elsewhere, for the interpreter flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inspector",
        description="Inspects images of parts and accounts for every one.",
        epilog="examples:\n  inspector once sample_images/*.jpg --model models\n  inspector run\n"
        "  inspector trial models\n  inspector reconcile ledger.sqlite",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"inspector {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_once(commands)
    _add_trial(commands)
    _add_reconcile(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="the component, as Greengrass starts it",
        description="Watches the image directory and publishes a verdict for each image, until told to stop.",
        epilog="example:\n  inspector run    (in the recipe's lifecycle; try it with `make demo`)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "--work", type=Path, default=Path(), metavar="DIR", help="work directory (default: this one)"
    )
    run.set_defaults(run=_run)


def _add_once(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    once = commands.add_parser(
        "once",
        help="inspect some images, without Greengrass",
        description="Prints a result message a line for each image, in order. Exit status 1 if any image could not\n"
        "be inspected; its line is still printed, a review with its reason.",
        epilog="example:\n  inspector once sample_images/*.jpg --model models --confidence 0.6",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    once.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    once.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="model package, or an ONNX file that Ultralytics made",
    )
    once.add_argument(
        "--confidence", metavar="C", help="detections at or above fail the part (default: the model's)"
    )
    once.add_argument(
        "--low-confidence", metavar="C", help="detections below are ignored (default: the model's)"
    )
    once.add_argument("--precision", **_PRECISION)
    once.set_defaults(run=_once)


def _add_trial(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    trial = commands.add_parser(
        "trial",
        help="whether this device takes a model package",
        description="Verifies a model package, compares what it finds in its golden pictures with what it should,\n"
        "measures which of its files is faster here, and prints the outcome as one line of JSON. Exit status 1 if\n"
        "the package is refused. The component does the same with each new package, in a process of its own.",
        epilog="example:\n  inspector trial /greengrass/v2/work/com.edgeinspector.Model/current",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    trial.add_argument("package", type=Path, metavar="DIR|FILE")
    trial.add_argument("--precision", **_PRECISION)
    trial.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of ONNX Runtime (default: one for each core)"
    )
    trial.add_argument(
        "--public-key",
        type=argparse.FileType(),
        metavar="FILE",
        help="PEM, that verifies manifest.sig; - is standard input",
    )
    trial.add_argument("--require-signature", action="store_true", help="refuse a package that is not signed")
    trial.add_argument(
        "--in-background",
        type=int,
        metavar="SECONDS",
        help="give way to other processes, and end after so long",
    )
    trial.set_defaults(run=_trial)


def _add_reconcile(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reconcile = commands.add_parser(
        "reconcile",
        help="whether every image is accounted for",
        description="Tells what a ledger has seen, decided, published and kept, and what of it does not add up.\n"
        "Changes nothing; the component may be at work meanwhile. Exit status 0: all adds up; 1: something\n"
        "does not; 2: it cannot be read. What each finding means: docs/reconcile.md.",
        epilog="example:\n  inspector reconcile /greengrass/v2/work/com.edgeinspector.Inspector/ledger.sqlite",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reconcile.add_argument(
        "ledger", type=Path, metavar="LEDGER", help="ledger.sqlite; what is kept lies in its directory"
    )
    reconcile.add_argument(
        "--directory", type=Path, metavar="DIR", help="the image directory, to look there too"
    )
    reconcile.add_argument("--json", action="store_true", help="one JSON object, with every list in full")
    reconcile.set_defaults(run=_reconcile)


def _run(arguments: argparse.Namespace) -> int:
    from inspector.run import run

    return run(arguments.work.resolve())


def _once(arguments: argparse.Namespace) -> int:
    from inspector.once import once

    given = {
        "ConfidenceThreshold": arguments.confidence,
        "LowConfidenceThreshold": arguments.low_confidence,
        "Precision": arguments.precision,
    }
    configuration = {key: value for key, value in given.items() if value is not None}
    return once(arguments.images, arguments.model, configuration)


def _trial(arguments: argparse.Namespace) -> int:
    if arguments.in_background:
        from inspector.shell.priority import give_way

        give_way(arguments.in_background)
    from inspector.shell.package import Trust
    from inspector.trial import trial

    public_key = arguments.public_key.read() if arguments.public_key else ""
    trust = Trust(public_key, arguments.require_signature)
    return trial(arguments.package.absolute(), arguments.precision, arguments.threads, trust)


def _reconcile(arguments: argparse.Namespace) -> int:
    from inspector.reconcile import reconcile

    return reconcile(arguments.ledger, arguments.directory, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
