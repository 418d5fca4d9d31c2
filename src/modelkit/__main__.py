"""The ``modelkit`` command line: each command is a module, imported when it is asked for."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from modelkit.arguments import CommandError, explain

_ABOUT = "Labelled pictures in, model package out: what the inspector judges with."
_COMMANDS = {
    "dataset": ("modelkit.dataset_command", "check labelled pictures, and write them as a YOLO dataset"),
    "train": ("modelkit.train_command", "train a YOLOv8 on datasets"),
    "export": ("modelkit.export_command", "make an ONNX file of trained weights, cut for the device"),
    "evaluate": ("modelkit.evaluate_command", "how well models judge labelled pictures, as the device would"),
    "quantize": ("modelkit.quantize_command", "make an INT8 file of a float one, which decides the same"),
    "package": ("modelkit.package_command", "make a model package of ONNX files and golden pictures"),
    "verify": ("modelkit.verify_command", "check a package's hashes, golden pictures and signature"),
    "keygen": ("modelkit.keygen_command", "make a key to sign packages with"),
    "sign": ("modelkit.sign_command", "sign a package"),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser(wanted=argv[0] if argv else "").parse_args(argv)
    try:
        return int(arguments.run_command(arguments))
    except (CommandError, OSError) as error:
        print(f"modelkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser(wanted: str) -> argparse.ArgumentParser:
    """The command line, of which one command is laid out."""
    top = argparse.ArgumentParser("modelkit")
    explain(top, _ABOUT, "modelkit verify models")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, purpose) in _COMMANDS.items():
        command = commands.add_parser(name, help=purpose)
        if name == wanted:
            import_module(module).add_arguments(command)
    return top


if __name__ == "__main__":
    sys.exit(main())
