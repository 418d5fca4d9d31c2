"""Events -> a terminal, or lines where there is none. The only importer of rich.

What came over the wire is printed with its control characters escaped: an image's name is a stranger's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from station.event import Event, Notice, Row, Summary
from station.expectation import Expectation
from station.message import Result

VERDICT_STYLES = {"pass": "green", "fail": "bold red", "review": "yellow"}
NOTICE_STYLES = {"info": "cyan", "warning": "yellow", "alarm": "bold white on red"}
FIXED_WIDTHS = {"time": 8, "verdict": 7, "latency": 9, "kept": 10}
THING_WIDTH = 14
GAP = "  "


class View:
    """A header, a row for each verdict and, on a terminal, a line below them that says how things stand.

    With ``raw`` the messages go there as JSON lines, and only what is no message goes to the console.
    A context manager.
    """

    def __init__(self, console: Console, with_thing: bool = False, raw: TextIO | None = None) -> None:
        self._console, self._raw = console, raw
        self._with_thing = with_thing
        self._headed = False
        self._link = ""
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> View:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Notice):
            label = "" if event.level == "info" else f"{event.level}: "
            self._print(Text(printable(label + event.text), NOTICE_STYLES[event.level]))
        elif self._raw:
            self._raw.write(event.line + "\n")
            self._raw.flush()
        elif isinstance(event, Row):
            self._print_row(event.result)

    def link(self, text: str, lost: bool) -> None:
        """Tell what became of the connection; the same news is told once."""
        if text != self._link:
            self._link = text
            self.show(Notice("warning" if lost else "info", text))

    def progress(self, verdicts: dict[str, int], expectation: Expectation) -> None:
        """Bring the line below the rows up to date."""
        if not self._live.is_started:
            return
        images = f"{sum(verdicts.values())}" + (f" of {expectation.expected}" if expectation.expected else "")
        line = Text.assemble(
            (f" {images} images ", "reverse"), GAP, _counted(verdicts), (f"{GAP}Ctrl-C ends", "dim")
        )
        self._live.update(line, refresh=True)

    def end(self, summary: Summary, missing: Sequence[str], hints: Sequence[str] = ()) -> None:
        """Print what it all came to, what is missing and where to look next."""
        self._print(Text())
        images = f"{summary.images} image{'s' * (summary.images != 1)}"
        self._print(Text.assemble((images, "bold"), ": ", _counted(summary.verdicts)))
        for line in _figures(summary):
            self._print(Text(printable(line)))
        for line in _shortcomings(summary, missing):
            self._print(Text(printable(line), NOTICE_STYLES["warning"]))
        for line in hints:
            self._print(Text(printable(line), "dim"))

    def _print_row(self, result: Result) -> None:
        if not self._headed:
            self._headed = True
            self._print(self._aligned({name: Text(name) for name in self._columns()}, "dim"))
        self._print(self._aligned(_cells(result)))

    def _columns(self) -> dict[str, int]:
        widths = FIXED_WIDTHS | ({"thing": THING_WIDTH} if self._with_thing else {})
        free = self._console.width - sum(widths.values()) - len(GAP) * (len(widths) + 1)
        widths |= {"image": max(12, free * 2 // 5), "defects": max(12, free - free * 2 // 5)}
        order = ("time", "thing", "image", "verdict", "defects", "latency", "kept")
        return {name: widths[name] for name in order if name in widths}

    def _aligned(self, cells: dict[str, Text], style: str = "") -> Text:
        """One line; a terminal's columns are kept, elsewhere nothing is cut off."""
        line = Text(style=style)
        for name, width in self._columns().items():
            cell = cells[name]
            if self._console.is_terminal or cell.cell_len < width:
                cell.truncate(width, overflow="ellipsis", pad=True)
            line.append_text(cell).append(GAP)
        line.rstrip()
        return line

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=not self._console.is_terminal, highlight=False)


def printable(text: str) -> str:
    """The text with everything that could steer a terminal (or break a line) written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def console(stream: TextIO, no_color: bool) -> Console:
    """A console that colours a terminal only; a file gets lines of any length, without a single escape.

    Printing raises BrokenPipeError where whoever read it has gone.
    """
    plain = no_color or not stream.isatty()
    return _Console(
        file=stream, color_system=None if plain else "auto", width=None if stream.isatty() else 120
    )


def abandon_stdout() -> None:
    """After a BrokenPipeError: keep the interpreter from stumbling over it again when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would end the program, from whatever thread this is
        raise BrokenPipeError


def _cells(result: Result) -> dict[str, Text]:
    latency = result.total_latency_ms
    return {
        "time": Text(f"{result.inspected_at.astimezone():%H:%M:%S}"),
        "thing": Text(printable(result.thing)),
        "image": Text(printable(result.image.path)),
        "verdict": Text(result.verdict, VERDICT_STYLES[result.verdict]),
        "defects": Text(printable(_defects(result)), "" if result.detections else "dim"),
        "latency": Text("-" if latency is None else f"{latency:6.1f} ms"),
        "kept": Text(printable(", ".join(result.kept)) or "-", "" if result.kept else "dim"),
    }


def _defects(result: Result) -> str:
    """The defects with their confidence, or why there is no telling."""
    seen = ", ".join(f"{defect.label} {defect.confidence:.2f}" for defect in result.detections)
    hidden = result.detections_total - len(result.detections)
    return (seen + (f" and {hidden} more" if hidden > 0 else "")) or ", ".join(result.reasons) or "-"


def _counted(verdicts: dict[str, int]) -> Text:
    return Text(", ").join(
        Text(f"{number} {verdict}", VERDICT_STYLES[verdict]) for verdict, number in verdicts.items()
    )


def _figures(summary: Summary) -> list[str]:
    lines = [f"kept for relabelling: {summary.kept}"]
    if summary.latency_p50_ms is not None and summary.latency_p99_ms is not None:
        lines.append(f"latency: p50 {summary.latency_p50_ms:.1f} ms, p99 {summary.latency_p99_ms:.1f} ms")
    if summary.repeated:
        lines.append(f"sent again and recognised: {summary.repeated}")
    if summary.earlier:
        lines.append(f"from an earlier run, not shown: {summary.earlier}")
    return lines


def _shortcomings(summary: Summary, missing: Sequence[str]) -> list[str]:
    lines = [f"not received: {gap}" for gap in summary.gaps]
    if summary.conflicts:
        lines.append(f"contradictions (one identity, two contents): {summary.conflicts}")
    if summary.malformed:
        lines.append(f"malformed messages: {summary.malformed}")
    if missing:
        lines.append(f"missing: {', '.join(missing)}")
    return lines
