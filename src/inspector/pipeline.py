"""One frame, its effects in one written order.

    claim → attempt → decode → judge → decide → keep → settle

1. ``claim`` takes the file out of the way; ``attempt`` is on record before a decoder sees its bytes.
2. ``decide`` makes the verdict, its message and everything still to be done durable in one transaction.
3. Each effect may be repeated: what a crash cuts short, the next run finishes.
4. A frame that fails is a review with a reason, never silence and never a pass.

``take`` runs the effects up to ``decode``, ``conclude`` the others, so that the next frame can be decoded while one
is inferred.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from threading import Event

from inspector.core.frame import FrameError
from inspector.core.naming import legible
from inspector.examiner import Examiner, Judged, Taken
from inspector.ports import (
    Candidate,
    Claimed,
    Claims,
    Decision,
    Entry,
    ImageGoneError,
    Keeper,
    Ledger,
    Target,
)

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
"""So many runs may die over one image; after that it is a review, ``crashed``."""


class Pipeline:
    """Inspects candidates. ``take`` and ``conclude`` may run in two threads."""

    def __init__(
        self, examiner: Examiner, claims: Claims, ledger: Ledger, keeper: Keeper, targets: tuple[Target, ...]
    ) -> None:
        self._examiner = examiner
        self._claims = claims
        self._ledger = ledger
        self._keeper = keeper
        self._targets = targets

    def take(self, candidate: Candidate, stop: Event) -> Taken | None:
        """Claim and decode a file; None where there is nothing left to inspect."""
        claimed = self.claim(candidate, stop)
        if claimed is None:
            return None
        inspection_id = self._examiner.inspection_id(claimed)
        if entry := self._ledger.find(inspection_id):
            self.finish(replace(entry, source=claimed.source), claimed.data)
            return None
        runs = self.attempt(inspection_id, claimed)
        if runs > MAX_ATTEMPTS:
            return Taken(inspection_id, claimed, FrameError("crashed", "the process died over it, twice"))
        return replace(self.decode(claimed), is_suspect=runs > 1)

    def conclude(self, taken: Taken) -> Judged:
        """Judge a frame and carry out what follows from the verdict."""
        judged = self.judge(taken)
        entry = self.decide(taken, judged)
        self.finish(entry, taken.claimed.data)
        return judged

    def finish(self, entry: Entry, data: bytes | None = None) -> None:
        """Keep the image and settle the file, whichever is still to be done; ``data`` is the file's content."""
        if not entry.is_stored:
            self.keep(entry, data)
        self.settle(entry)

    def claim(self, candidate: Candidate, stop: Event) -> Claimed | None:
        """Take the file; None where it is gone."""
        return self._claims.claim(candidate, stop)

    def attempt(self, inspection_id: str, claimed: Claimed) -> int:
        """Put on record that this run begins; return how many have."""
        return self._ledger.attempt(inspection_id, claimed).runs

    def decode(self, claimed: Claimed) -> Taken:
        """Bytes to pixels."""
        return self._examiner.decode(claimed)

    def judge(self, taken: Taken) -> Judged:
        """Pixels to a verdict."""
        return self._examiner.judge(taken)

    def decide(self, taken: Taken, judged: Judged) -> Entry:
        """Put the verdict on record, with its message."""
        decided_at, examiner = time.time(), self._examiner
        decision = Decision(
            id=taken.id,
            claimed=taken.claimed,
            verdict=judged.verdict.name,
            keep=judged.verdict.keep,
            raw=examiner.encode_raw(judged),
            compose=lambda seq: examiner.encode(examiner.result(judged, seq, decided_at)),
            targets=self._targets,
        )
        (entry,) = self._ledger.decide([decision], decided_at)
        entry = replace(entry, source=taken.claimed.source)  # the same version may have been dropped in twice
        extra = {"seq": entry.seq, "path": legible(entry.path), "verdict": judged.verdict.name}
        log.debug("inspected", extra=extra)
        return entry

    def keep(self, entry: Entry, data: bytes | None) -> None:
        """Keep the image with its message and all that was detected."""
        try:
            evicted = self._keeper.keep(entry, self._ledger.raw(entry.seq), data)
        except ImageGoneError as error:
            log.error(
                "image not kept", extra={"seq": entry.seq, "path": legible(entry.path), "cause": str(error)}
            )
            evicted = (entry.id,)
        if evicted:
            self._ledger.mark_evicted(evicted)
        self._ledger.mark_stored(entry)

    def settle(self, entry: Entry) -> None:
        """Archive, delete or leave the file, and have done with it."""
        remains = self._claims.settle(entry)
        if not entry.is_settled:
            self._ledger.mark_settled(entry, remains=remains)
