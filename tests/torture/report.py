"""The account as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from torture.account import Account, Row

_COLUMNS = ("times", "images", "verdicts", "lost", "duplic.", "conflict.", "recovery")
_SHOWN = 10


def show(account: Account, about: Mapping[str, Any], terminal: Console) -> None:
    """Print everything a reader needs to judge the run."""
    terminal.print(_table("fault", account.faults))
    terminal.print(
        "Faults overlap: an image counts for each during which, or before the recovery from which, it came in.\n"
        "Recovery (the worst): from the end of a fault to the first verdict on an image that was written after it.",
        style="dim",
    )
    terminal.print(_table("written", account.kinds, with_faults=False))
    for name, value in figures(account, about).items():
        if isinstance(value, (int, float, str)):
            terminal.print(f"{name.replace('_', ' '):>24}  {value}", highlight=False)
    for what, found in account.differing.most_common():
        terminal.print(f"{found:>24}  undisturbed {what}", highlight=False)
    for title, items in _findings(account).items():
        for item in items[:_SHOWN]:
            terminal.print(f"{title}: {item}", style="red", markup=False, soft_wrap=True)


def write(account: Account, about: Mapping[str, Any], path: Path) -> None:
    """Write the results as JSON."""
    rows = {
        "faults": {name: asdict(row) for name, row in account.faults.items()},
        "written": {name: asdict(row) for name, row in account.kinds.items()},
        "differing": dict(account.differing),
        "findings": {title: [str(item) for item in items] for title, items in _findings(account).items()},
    }
    path.write_text(json.dumps({**figures(account, about), **rows}, indent=2) + "\n")


def figures(account: Account, about: Mapping[str, Any]) -> dict[str, Any]:
    """The run in figures."""
    return {
        "images": account.images,
        "verdicts": account.verdicts,
        "deliveries": account.deliveries,
        "lost": len(account.lost),
        "conflicting": len(account.conflicting),
        "duplicates": account.duplicates,
        "inspected_twice": len(account.twice),
        "false_passes": len(account.false_passes),
        "premature": len(account.premature),
        "crashed": account.crashed,
        "missing_seqs": account.missing_seqs,
        "ledgers": account.ledgers,
        **about,
    }


def machine() -> str:
    """What it ran on."""
    models = [
        line.partition(": ")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    name = models[0] if models else platform.machine()
    return f"{os.cpu_count()} x {name}, Linux {platform.release()}, Python {platform.python_version()}"


def _findings(account: Account) -> dict[str, list[Any]]:
    return {
        "lost": account.lost,
        "conflicting": account.conflicting,
        "inspected twice": account.twice,
        "false pass": account.false_passes,
        "premature": account.premature,
    }


def _table(title: str, rows: Mapping[str, Row], *, with_faults: bool = True) -> Table:
    columns = _COLUMNS if with_faults else _COLUMNS[:4]
    table = Table(title, *columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in sorted(rows.items()):
        values = (row.times, row.images, row.verdicts, row.lost, row.duplicates, row.conflicting)
        worst = "never" if row.worst_recovery_s is None else f"{row.worst_recovery_s:.1f} s"
        table.add_row(name, *([*map(str, values), worst] if with_faults else map(str, values[:4])))
    return table
