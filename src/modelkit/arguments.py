"""What the command lines of modelkit share."""

from __future__ import annotations

import argparse


class CommandError(Exception):
    """What was asked for cannot be done; says why and what to do."""


def count(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def explain(parser: argparse.ArgumentParser, about: str, *examples: str) -> None:
    """Describe a command, with examples, as they are laid out."""
    parser.description = about
    parser.epilog = "\n".join(
        ["examples:" if len(examples) > 1 else "example:", *(f"  {each}" for each in examples)]
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
