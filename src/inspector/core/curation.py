"""Which kept images go first when the budget is full: the least informative."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_WORTH = {"error": 0, "audit": 1, "novel": 2, "uncertain": 3}


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image kept for relabelling, and what bears on its worth."""

    id: str
    seq: int
    reasons: tuple[str, ...]
    size_bytes: int
    """Of the image and its sidecar together."""


def evictions(kept: Iterable[KeptImage], budget_bytes: int) -> tuple[KeptImage, ...]:
    """Those to remove, in order, until the rest fits ``budget_bytes``.

    Images that could not be read teach a model nothing and go first, then audited ones, then novel ones, then
    uncertain ones; the oldest first within each.
    """
    images = sorted(kept, key=lambda each: (_worth(each), each.seq))
    excess = sum(each.size_bytes for each in images) - budget_bytes
    removed = []
    for image in images:
        if excess <= 0:
            break
        removed.append(image)
        excess -= image.size_bytes
    return tuple(removed)


def _worth(image: KeptImage) -> int:
    return max((_WORTH.get(reason, 0) for reason in image.reasons), default=0)
