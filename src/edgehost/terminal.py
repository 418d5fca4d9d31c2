"""What commands show: in colour on a terminal, as plain lines of any length elsewhere.

What came from somebody else is printed with its control characters escaped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

STATE_STYLES = {
    "RUNNING": "green",
    "FINISHED": "cyan",
    "ERRORED": "yellow",
    "BROKEN": "bold red",
    "REMOVED": "dim",
}


def printable(text: str, keep: str = "") -> str:
    """The text with everything that could steer a terminal (or break a line) written as an escape."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def console(stream: TextIO | None = None) -> Console:
    """A console on stdout, or on another stream. Printing raises BrokenPipeError where whoever read it has gone."""
    return _Console(file=stream or sys.stdout, highlight=False, markup=False)


def show(terminal: Console, line: str | Text) -> None:
    """Print a line, which is never cut and, where it is no terminal, never broken."""
    terminal.print(line, soft_wrap=True)


def columns(rows: Sequence[Sequence[str]], styles: dict[str, str] = STATE_STYLES) -> list[Text]:
    """A line for each row, the cells below one another; a cell that ``styles`` names is coloured."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        line = Text()
        for cell, width in zip(row, widths, strict=True):
            line.append(printable(cell).ljust(width), styles.get(cell, "")).append("  ")
        line.rstrip()
        lines.append(line)
    return lines


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would end the program
        raise BrokenPipeError
