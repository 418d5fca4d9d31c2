"""``modelkit sign``: a signature for a package that is made already."""

from __future__ import annotations

import argparse
from pathlib import Path

from inspector.core.package import SIGNATURE
from inspector.shell.package import MANIFEST
from modelkit import whole
from modelkit.arguments import CommandError, explain
from modelkit.signing import SigningError, open_key, sign
from modelkit.verify import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit sign`` takes."""
    explain(
        parser,
        "Sign a package, or sign it anew by another key. It is verified first: what is damaged is not signed.",
        "modelkit sign models --key keys/private.pem",
        "modelkit sign models --key kms:alias/edge-inspector",
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--key", required=True, help="private key: a PEM file, or kms:alias/NAME")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify and sign."""
    directory = arguments.directory
    if faults := verify(directory):
        raise CommandError("\n".join(["not signed:", *faults]))
    try:
        signature = sign((directory / MANIFEST).read_bytes(), open_key(arguments.key))
    except SigningError as error:
        raise CommandError(error) from error
    whole.write({directory / SIGNATURE: signature})
    print(f"{directory / SIGNATURE}: {MANIFEST} is signed")
    return 0
