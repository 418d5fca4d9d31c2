"""``modelkit verify``: whether a package is whole and signed, and decides as it did where it was made."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from inspector.core.package import SIGNATURE
from modelkit.arguments import CommandError, explain
from modelkit.signing import SigningError, read_public_key
from modelkit.verify import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit verify`` takes."""
    explain(
        parser,
        "Check a package: every file against its hash, what each model finds in the golden pictures, and, with\n"
        "--public-key, the signature. Without that a change of manifest.json itself may go unseen.",
        "modelkit verify models",
        "modelkit verify models --public-key public.pem --json",
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--public-key", type=Path, metavar="PEM", help="the signature must be by this key")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the package."""
    try:
        key = read_public_key(arguments.public_key) if arguments.public_key else ""
    except SigningError as error:
        raise CommandError(error) from error
    faults = verify(arguments.directory, key)
    signature = "refused" if key and faults else _signature(arguments.directory, bool(key))
    if arguments.json:
        print(json.dumps({"package": str(arguments.directory), "faults": faults, "signature": signature}))
        return int(bool(faults))
    if faults:
        raise CommandError("\n".join(faults))
    print(
        f"{arguments.directory}: hashes and golden pictures are as the manifest says; signature {signature}"
    )
    return 0


def _signature(directory: Path, is_checked: bool) -> str:
    if is_checked:
        return "checked"
    return "not checked, for want of --public-key" if (directory / SIGNATURE).exists() else "none"
