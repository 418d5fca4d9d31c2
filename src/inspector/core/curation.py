"""Which kept images go first when room is short: the least informative."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_WORTH = {"error": 0, "audit": 1, "novel": 2, "uncertain": 3}


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image kept for relabelling, and what bears on its worth."""

    id: str
    suffix: str
    """Of the image's file name, which is the id but for this."""
    reasons: tuple[str, ...]
    kept_at_ns: int
    """Not ``seq``, which begins anew with a new ledger."""
    size_bytes: int
    """Of the image and its sidecar together."""


def rank(image: KeptImage) -> tuple[int, int, str]:
    """Sorts the images that go first to the front.

    Images that could not be read teach a model nothing and go first, then audited ones, then novel ones, then
    uncertain ones; the oldest first within each.
    """
    worth = max((_WORTH.get(reason, 0) for reason in image.reasons), default=0)
    return worth, image.kept_at_ns, image.id


def evictions(ranked: Iterable[KeptImage], excess_bytes: int, at_most: int) -> tuple[KeptImage, ...]:
    """Those to remove, from the front, until ``excess_bytes`` are gone; ``at_most`` so many."""
    removed: list[KeptImage] = []
    for image in ranked:
        if excess_bytes <= 0 or len(removed) == at_most:
            break
        removed.append(image)
        excess_bytes -= image.size_bytes
    return tuple(removed)
