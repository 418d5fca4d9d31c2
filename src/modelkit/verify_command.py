"""``modelkit verify``: whether a package is whole, and decides as it did where it was made."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelkit.arguments import CommandError, explain
from modelkit.verify import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit verify`` takes."""
    explain(parser, "Check a package's hashes and golden pictures.", "modelkit verify models")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the package."""
    if faults := verify(arguments.directory):
        raise CommandError("\n".join(faults))
    print(f"{arguments.directory}: hashes and golden pictures are as the manifest says")
    return 0
