"""The page of differences names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parents[1] / "docs" / "profiles.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| |")
]
NOT_TESTED = {"output"}
"""Where the host does the same on both, and the page says so."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_difference_has_a_test(row: list[str]) -> None:
    difference, _, _, tests, known = row
    named = re.findall(r"`(\w+\.py)::(\w+)`", tests)
    assert bool(named) is (difference not in NOT_TESTED)
    assert known.split(":")[0].split(";")[0] in ("captured", "observed", "read")
    for file, name in named:
        assert name in _functions(TESTS / file)


def test_the_page_is_read() -> None:
    assert len(ROWS) > 50


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {each.name for each in ast.walk(tree) if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))}
