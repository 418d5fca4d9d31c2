"""What the commands have in common: how they explain themselves, and how they read what a person typed."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any, NoReturn

DEFAULT_ROOT = Path(".edgehost")
INTERRUPTED = 130


class CommandError(Exception):
    """The command can't be carried out as written; the message says what to write."""


def explain(parser: argparse.ArgumentParser, about: str, *examples: str) -> None:
    """Describe a command, with lines to copy."""
    lines = "\n  ".join(examples)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = about
    parser.epilog = f"example{'s' if len(examples) > 1 else ''}:\n  {lines}"


def add_root(parser: argparse.ArgumentParser) -> None:
    """``--root``, which tells hosts apart."""
    parser.add_argument(
        "--root",
        type=Path,
        default=DEFAULT_ROOT,
        metavar="DIR",
        help="the host's directory (default: %(default)s)",
    )


def add_json(parser: argparse.ArgumentParser, what: str = "print JSON, for programs") -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help=what)


def positive(text: str) -> int:
    """A number above 0."""
    if not text.isdecimal() or (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def pairs(option: str, texts: list[str], form: str) -> dict[str, str]:
    """``NAME=VALUE`` as often as it was given. ``form`` is how to write it. Raises CommandError."""
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value):
            raise CommandError(f"{option} {text!r} is not {form}")
        if name in found:
            raise CommandError(f"{option} names {name} twice; give it once")
        found[name] = value
    return found


def json_object(what: str, text: str) -> dict[str, Any]:
    """A JSON object as it was typed, or a file's with ``@FILE``. Raises CommandError, which tells where."""
    if text.startswith("@"):
        what = f"{what}: {text[1:]}"
        text = read(what, Path(text[1:])).decode(errors="replace")
    try:
        value = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_refuse)
    except ValueError as error:
        raise CommandError(f"{what}: not JSON: {error}") from error
    except RecursionError:
        raise CommandError(f"{what}: it is nested too deeply") from None
    if not isinstance(value, dict):
        raise CommandError(f'{what}: {text.strip()} is not a JSON object; write {{"KEY": VALUE}}')
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} is there twice")
        values[key] = value
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


def read(what: str, path: Path) -> bytes:
    """A file that was named. Raises CommandError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{what}: {error.strerror}") from error


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    return shlex.quote(str(path))
