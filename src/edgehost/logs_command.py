"""``edgehost logs``: what components and the host have logged, in the order of time, and what they go on to log."""

from __future__ import annotations

import argparse
import heapq
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from rich.text import Text

from edgehost.arguments import CommandError, add_json, add_root, explain, positive, quoted
from edgehost.terminal import console, printable, show

_LOOK_AGAIN_S = 0.1
_LINE = re.compile(r"(?P<time>\d\S+) \[(?P<level>[A-Z]+)\] \([^)]*\) (?:\S+: )?(?P<message>.*)", re.DOTALL)
_LEVEL_STYLES = {"WARN": "yellow", "ERROR": "red"}
_NAME_STYLES = ("cyan", "magenta", "blue", "green")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``edgehost logs`` takes."""
    explain(
        parser,
        "The logs of components, in the order of time; without a NAME all there are,\n"
        "also greengrass, the host's own.",
        "edgehost logs --root /tmp/device com.example.Hello -f",
        "edgehost logs --root /tmp/device -n 20",
        """edgehost logs --root /tmp/device com.example.Hello --json | jq 'select(.level == "WARN")'""",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a component, or greengrass for the host's own log"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on as they grow, until Ctrl-C")
    parser.add_argument(
        "-n", "--lines", type=positive, metavar="LINES", help="the last so many lines of each (default: all)"
    )
    add_root(parser)
    add_json(parser, "an object a line: component, time, level, message")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the logs."""
    directory: Path = arguments.root / "logs"
    _check(directory, arguments)
    tails: dict[str, Tail] = {}
    show_line = _json_lines() if arguments.json else _lines(tails if len(arguments.names) != 1 else ())
    with ExitStack() as files:
        while True:
            for name in arguments.names or _known(directory):
                if name not in tails:
                    tail = Tail(directory / f"{name}.log", arguments.lines)
                    tails[name] = files.enter_context(closing(tail))
            for name, line in in_order_of_time({name: tail.read() for name, tail in tails.items()}):
                show_line(name, line)
            if not arguments.follow:
                return 0
            time.sleep(_LOOK_AGAIN_S)


class Tail:
    """The ``last`` lines of a file (None: all) and those that it gets, also once it is cut short or made anew."""

    def __init__(self, path: Path, last: int | None) -> None:
        self._path = path
        self._last = last
        self._file: BinaryIO | None = None

    def read(self) -> Iterable[str]:
        """The lines that are new. One that isn't complete yet comes in parts, as it is written."""
        # asked first: what is written until the file is replaced is read from it still
        is_outdated = self._file is not None and self._is_outdated(self._file)
        lines = deque(self._new_lines(), self._last)
        if is_outdated:
            self.close()
            lines.extend(self._new_lines())
        self._last = None
        return lines

    def close(self) -> None:
        """Close the file; the next read begins anew."""
        if self._file:
            self._file.close()
            self._file = None

    def _new_lines(self) -> Iterator[str]:
        if self._file is None:
            with suppress(FileNotFoundError):
                self._file = self._path.open("rb")
        for line in self._file or ():
            yield line.decode(errors="replace").rstrip("\n")

    def _is_outdated(self, file: BinaryIO) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return now.st_ino != os.fstat(file.fileno()).st_ino or now.st_size < file.tell()


def in_order_of_time(logs: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str]]:
    """Name and line of each line of the logs; one that tells no time stays behind the line before it."""

    def timed(name: str, lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
        stamp = ""
        for line in lines:
            stamp = match["time"] if (match := _LINE.match(line)) else stamp
            yield stamp, name, line

    merged = heapq.merge(*(timed(name, lines) for name, lines in logs.items()), key=itemgetter(0))
    return ((name, line) for _, name, line in merged)


def _check(directory: Path, arguments: argparse.Namespace) -> None:
    known = _known(directory)
    for name in arguments.names:
        if name not in known:
            there = ", ".join(known) or "none"
            raise CommandError(f"{name} has no log under {arguments.root}; there are: {there}")
    if not (known or arguments.follow):
        start = f"edgehost run --root {quoted(arguments.root)}"
        raise CommandError(f"there are no logs under {arguments.root}; they come with a host: {start}")


def _known(directory: Path) -> list[str]:
    return sorted(path.stem for path in directory.glob("*.log"))


def _lines(names: Collection[str]) -> Callable[[str, str], None]:
    """Show lines, behind the name of their log if there are ``names``, each in a colour of its own."""
    terminal = console()
    styles: dict[str, str] = {}

    def show_line(name: str, line: str) -> None:
        shown, match = Text(), _LINE.match(line)
        if names:
            style = styles.setdefault(name, _NAME_STYLES[len(styles) % len(_NAME_STYLES)])
            shown.append(name.ljust(max(map(len, names))), style).append(" | ")
        text = printable(line, "\t") if terminal.is_terminal else line
        show(terminal, shown.append(text, _LEVEL_STYLES.get(match["level"], "") if match else ""))

    return show_line


def _json_lines() -> Callable[[str, str], None]:
    def show_line(name: str, line: str) -> None:
        match = _LINE.fullmatch(line)
        told: Mapping[str, str | None] = match.groupdict() if match else {"message": line}
        entry = {"component": name, "time": None, "level": None, **told}
        print(json.dumps(entry), flush=True)

    return show_line
