"""The threat model names tests that exist: a row whose test has gone is a promise that nobody keeps."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = (ROOT / "docs" / "threat-model.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", MODEL)))


def test_each_line_names_a_test() -> None:
    """Of each table, after its head."""
    lines = [line for line in MODEL.splitlines() if line.startswith("| ") and "What stops it" not in line]
    assert len(lines) > 30
    assert [line for line in lines if "::test_" not in line] == []


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
