"""Thousands of hostile files: each becomes exactly one verdict; the process lives, and stays as small as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hostile.corpus import corpus
from hostile.damage import Hostile
from inspector.reconcile import examine
from inspector_fakes import rows

ROOT = Path(__file__).parents[2]
ENDURE = Path(__file__).with_name("endure.py")
ROUNDS = 3
MAX_GROWTH = 0.05
MAX_PEAK_BYTES = 600_000_000
"""With pictures of 36 and 49 megapixels among them, of three bytes a pixel, a few of which wait for each other."""
MAX_SECONDS = 2.0
"""Of the processor's time for one file."""
TOO_LARGE = ("bomb-30000", "size-65535x65535", "size-absurd", "size-30000", "lossless-absurd")

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Endured:
    """What came of working through the corpus."""

    outcome: dict[str, Any]
    reasons: dict[str, list[tuple[str, ...]]]
    """Of each path the verdicts, each with its reasons."""
    findings: tuple[Any, ...]
    to_come: tuple[str, ...] | None


@pytest.fixture(scope="module")
def files() -> list[Hostile]:
    return list(corpus())


@pytest.fixture(scope="module")
def endured(files: list[Hostile]) -> Endured:
    """The whole corpus, in three rounds, with a detector that finds nothing."""
    return endure(files, "--rounds", str(ROUNDS))


def endure(files: list[Hostile], *arguments: str) -> Endured:
    """In a process of its own; where there is a file system in memory, there: every refused file is kept durably."""
    in_memory = Path("/dev/shm")
    directory = in_memory if os.access(in_memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=directory) as made:
        delivered, work = Path(made, "files"), Path(made, "work")
        delivered.mkdir()
        work.mkdir()
        for file in files:
            (delivered / file.name).write_bytes(file.content)
        command = [sys.executable, str(ENDURE), str(delivered), str(work), *arguments]
        # Large blocks go back at once: else what the allocator keeps for later looks like a leak, or hides one.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
        ended = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=800, env=environment
        )
        begun = rows(work / "ledger.sqlite", "SELECT path FROM attempts")
        assert ended.returncode == 0, f"status {ended.returncode}, at {begun}: {ended.stderr[-3000:]}"
        reconciled = examine(work / "ledger.sqlite", work / "images")
        return Endured(json.loads(ended.stdout), _reasons(work), reconciled.findings, reconciled.to_come)


def _reasons(work: Path) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for path, message in rows(work / "ledger.sqlite", "SELECT path, message FROM inspections"):
        result = json.loads(message)  # type: ignore[arg-type]
        found.setdefault(os.fsdecode(path), []).append((result["verdict"], *result["reasons"]))  # type: ignore[arg-type]
    return found


def each(files: list[Hostile], endured: Endured) -> Iterator[tuple[Hostile, tuple[str, ...]]]:
    """Every file with the verdict on it, in every round."""
    for number in range(len(endured.outcome["rss"]) - 1):
        for file in files:
            (verdict,) = endured.reasons[f"{number}/{file.name}"]
            yield file, verdict


def test_there_are_thousands(files: list[Hostile]) -> None:
    """Of each format many, and no two of one name."""
    assert len({file.name for file in files}) == len(files) > 4000


def test_each_becomes_exactly_one_verdict(files: list[Hostile], endured: Endured) -> None:
    """In every round; and everything adds up afterwards."""
    assert sum(map(len, endured.reasons.values())) == len(list(each(files, endured))) == ROUNDS * len(files)
    assert (endured.findings, endured.to_come) == ((), ())


def test_what_is_no_picture_never_passes(files: list[Hostile], endured: Endured) -> None:
    """What is cut short, absurd or something else is a review, with a reason; whole pictures pass."""
    refused = {("review", reason) for reason in ("unreadable", "unsupported", "too_large")}
    allowed = {"picture": {("pass",)}, "refused": refused, "either": {("pass",), *refused}}
    wrong = [
        (file.name, verdict) for file, verdict in each(files, endured) if verdict not in allowed[file.outcome]
    ]
    assert wrong == []


def test_bombs_are_told_from_their_headers(files: list[Hostile], endured: Endured) -> None:
    """Not from the decoder running out of memory."""
    bombs = {verdict for file, verdict in each(files, endured) if file.name.startswith(TOO_LARGE)}
    assert bombs == {("review", "too_large")}


def test_memory_returns_to_where_it_was(endured: Endured) -> None:
    """After the second round, and the third, no more of it is in use than after the first."""
    _, first, *later = endured.outcome["rss"]
    assert max(later) < first * (1 + MAX_GROWTH), endured.outcome
    assert endured.outcome["peak"] < MAX_PEAK_BYTES, endured.outcome


def test_no_file_takes_long(endured: Endured) -> None:
    """The slowest unpacks 200 MB of zeros."""
    assert endured.outcome["slowest"][0] < MAX_SECONDS, endured.outcome


def test_with_the_real_model(files: list[Hostile]) -> None:
    """Every twentieth file, through ONNX Runtime: one verdict each, never a pass for what is no picture."""
    some = files[::20]
    endured = endure(some, "--rounds", "1", "--model", str(ROOT / "models"))
    assert endured.findings == ()
    for file, verdict in each(some, endured):
        if file.outcome == "refused":
            assert verdict[1:] in {("unreadable",), ("unsupported",), ("too_large",)}, file.name
        elif file.outcome == "picture":
            assert verdict[1:] in {(), ("defect",), ("uncertain",)}, file.name
        assert "inference_error" not in verdict, file.name
