"""The sequence numbers of one ledger that arrived, and so the ones that didn't."""

from __future__ import annotations


class Sequence:
    """Counts from the first number seen: what came before it was never this station's to receive.

    A backlog arrives after newer results, so a gap is only what is missing *so far*.
    """

    def __init__(self, start: int) -> None:
        self.highest = start
        self.missing: list[tuple[int, int]] = []

    def receive(self, seq: int) -> tuple[int, int] | None:
        """Note that ``seq`` arrived; return the gap (first and last number) that it opens, if any."""
        if seq <= self.highest:
            self.missing = [piece for gap in self.missing for piece in _without(gap, seq)]
            return None
        gap = self.reach(seq - 1)
        self.highest = seq
        return gap

    def reach(self, last: int) -> tuple[int, int] | None:
        """Note that everything up to ``last`` was sent; return the gap that this opens, if any."""
        if last <= self.highest:
            return None
        gap = (self.highest + 1, last)
        self.missing.append(gap)
        self.highest = last
        return gap


def _without(gap: tuple[int, int], seq: int) -> list[tuple[int, int]]:
    first, last = gap
    if not first <= seq <= last:
        return [gap]
    return [piece for piece in ((first, seq - 1), (seq + 1, last)) if piece[0] <= piece[1]]
