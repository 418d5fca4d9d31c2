#!/usr/bin/env python3
"""Draw the last run of the demo as it looked on the terminal, from the messages that it recorded."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from pathlib import Path

from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from edgehost.demo import CHECKOUT, RECORD, STATE, where_to_look
from station.message import Received, read
from station.tally import Tally
from station.view import View

COLUMNS = 92
FONTS = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
# rich's frame, less the web font that it would fetch
FRAME = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
FRAME = FRAME.replace("Fira Code, monospace", FONTS)
EXAMPLE = """example:
  make demo && .venv/bin/python tools/picture.py
"""


def messages(record: Path) -> list[Received]:
    """The recorded messages, in the order they arrived."""
    received = []
    for line in record.read_bytes().splitlines():
        thing = json.loads(line)["thing"]
        received.append(read(f"inspect/{thing}/replayed", line))
    return received


def draw(received: list[Received]) -> str:
    """The terminal as SVG."""
    console = Console(
        width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="standard"
    )
    view, tally = View(console), Tally()
    console.print(Text("$ make demo", "bold"))
    for message in received:
        for event in tally.receive(message):
            view.show(event)
    view.end(tally.summary(), [], where_to_look(STATE))
    return console.export_svg(title="Edge Inspector", theme=MONOKAI, code_format=FRAME, unique_id="demo")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--record", type=Path, default=STATE / RECORD, metavar="FILE", help="default: the last demo's"
    )
    parser.add_argument("--output", type=Path, default=CHECKOUT / "docs" / "demo.svg", metavar="FILE")
    args = parser.parse_args(argv)
    try:
        svg = draw(messages(args.record))
    except FileNotFoundError as error:
        sys.stderr.write(f"picture: {error}; run `make demo` first\n")
        return 1
    args.output.write_text(svg, encoding="utf-8")
    sys.stdout.write(f"picture: {args.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
