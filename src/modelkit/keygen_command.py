"""``modelkit keygen``: a key to sign packages with, or the public half of one in AWS KMS."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelkit.arguments import CommandError, explain
from modelkit.signing import BITS, KMS, PRIVATE, PUBLIC, SigningError, make_keys, open_key, write_public_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit keygen`` takes."""
    explain(
        parser,
        f"Make an RSA key to sign packages with: {PRIVATE}, which stays where models are made, and {PUBLIC}, whose\n"
        "content the device's setting PublicKey takes. Or, with --from, fetch the public half of a key in AWS KMS,\n"
        "which must be of RSA for SIGN_VERIFY.",
        "modelkit keygen --output keys",
        "modelkit keygen --from kms:alias/edge-inspector --output keys",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--bits", type=int, choices=BITS, default=BITS[0], help=f"({BITS[0]})")
    kind.add_argument(
        "--from", dest="source", metavar=f"{KMS}KEY", help="alias/NAME, the key's id, or its ARN"
    )
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Make or fetch the key."""
    directory = arguments.output
    try:
        if arguments.source is None:
            make_keys(directory, arguments.bits)
        elif arguments.source.startswith(KMS):
            write_public_key(directory, open_key(arguments.source).public_pem)
        else:
            raise CommandError(f"--from {arguments.source}: only from KMS, as in {KMS}alias/NAME")
    except SigningError as error:
        raise CommandError(error) from error
    print(f"{directory / PUBLIC}: set PublicKey to its content on the devices, then RequireSignature to true")
    return 0
