"""A hostile file, and ways to make one from any good one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["picture", "refused", "either"]
"""``picture``: it decodes; ``refused``: it must not; ``either``: what decodes of it is a picture of its full size."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """One file; the name says what was done to it."""

    name: str
    content: bytes
    outcome: Outcome


def truncated(name: str, data: bytes, outcome: Outcome = "refused") -> Iterator[Hostile]:
    """Cut at every percent of its length."""
    stem, _, suffix = name.partition(".")
    for percent in range(1, 100):
        yield Hostile(f"{stem}-cut-{percent:02d}.{suffix}", data[: len(data) * percent // 100], outcome)


def flipped(name: str, data: bytes, places: Iterable[int]) -> Iterator[Hostile]:
    """One bit turned over: each of eight, at each place."""
    stem, _, suffix = name.partition(".")
    for place in places:
        for bit in range(8):
            content = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
            yield Hostile(f"{stem}-flip-{place}-{bit}.{suffix}", content, "either")


def overwritten(data: bytes, place: int, content: bytes) -> bytes:
    """With other bytes in place of as many of its own."""
    return data[:place] + content + data[place + len(content) :]
