"""One frame, its effects in one written order.

    claim → attempt → decode → judge → decide → keep → settle

1. ``claim`` takes the file out of the way; ``attempt`` is on record before a decoder sees its bytes.
2. ``decide`` makes the verdict, its message and everything still to be done durable in one transaction.
3. Each effect may be repeated: what a crash cuts short, the next run finishes.
4. A frame that fails is a review with a reason, never silence and never a pass.
5. Several verdicts may be decided together: what is flushed to the disk once costs the time once.

``take`` runs the effects up to ``decode``, ``record`` those from ``decide`` on; with ``judge`` between them, each may
have a thread of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from threading import Event

from inspector.core.frame import FrameError
from inspector.core.naming import legible
from inspector.examiner import Examiner, Judged, Taken
from inspector.ports import (
    Attempt,
    Candidate,
    Claimed,
    Claims,
    Decision,
    Entry,
    ImageGoneError,
    Keeper,
    Ledger,
    LedgerBlocked,
    Target,
)
from inspector.stopwatch import Stopwatch

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
"""So many runs may die over one image; after that it is a review, ``crashed``."""
_ONE_FRAME = ("decode", "judge")
"""The stages that depend on nothing but the frame itself."""


class HungError(Exception):
    """A frame takes longer than it may: only a new process is rid of it, and knows from the ledger what to do."""

    def __init__(self, inspection_id: str, stage: str, limit_s: float) -> None:
        super().__init__(f"inspection {inspection_id}: {stage} takes longer than {limit_s:g} s")
        self.is_judging = stage == "judge"
        """Whether it is the model that takes so long."""


class Pipeline:
    """Inspects candidates. ``take``, ``judge`` and ``record`` may run in threads of their own."""

    def __init__(
        self, examiner: Examiner, claims: Claims, ledger: Ledger, keeper: Keeper, targets: tuple[Target, ...]
    ) -> None:
        self._examiner = examiner
        self._claims = claims
        self._ledger = ledger
        self._keeper = keeper
        self._targets = targets
        self._stopwatch = Stopwatch()

    def take(self, candidate: Candidate, stop: Event) -> Taken | None:
        """Claim and decode a file; None where there is nothing left to inspect."""
        claimed = self.claim(candidate, stop)
        if claimed is None:
            return None
        inspection_id = self._examiner.inspection_id(claimed)
        if entry := self._ledger.find(inspection_id):
            self.finish(replace(entry, source=claimed.source), claimed.data)
            return None
        attempt = self.attempt(inspection_id, claimed)
        if fault := _fault(attempt):
            return Taken(inspection_id, claimed, fault)
        return replace(self.decode(claimed), is_suspect=attempt.runs > 1)

    def record(self, judged: Sequence[Judged]) -> None:
        """Put verdicts on record, all at once, and carry out what follows from them."""
        for entry, each in zip(self.decide(judged), judged, strict=True):
            self.finish(entry, each.taken.claimed.data)

    def resume(self, entry: Entry, stop: Event) -> None:
        """Finish what an earlier run decided; first claim its file again where a power cut has undone that.

        Should another file lie there, it stays claimed, and is inspected like any that an earlier run claimed.
        """
        data = None
        if candidate := self._claims.unclaimed(entry):
            claimed = self.claim(candidate, stop)
            if claimed is None:
                return  # the next run finishes it
            if self._examiner.inspection_id(claimed) == entry.id:
                entry, data = replace(entry, source=claimed.source), claimed.data
        self.finish(entry, data)

    def finish(self, entry: Entry, data: bytes | None = None) -> None:
        """Keep the image and settle the file, whichever is still to be done; ``data`` is the file's content."""
        with self._stopwatch.at("record", entry.path):
            if not entry.is_stored:
                self.keep(entry, data)
            self.settle(entry)

    def look(self, limit_s: float) -> str | None:
        """The file over which a file system takes longer than ``limit_s``, if any; HungError where a frame does."""
        overdue = self._stopwatch.overdue(limit_s)
        for each in overdue:
            if each.stage in _ONE_FRAME:
                self._time_out(each.subject)
                raise HungError(each.subject, each.stage, limit_s)
        return f"{overdue[0].stage} {legible(overdue[0].subject)}" if overdue else None

    def _time_out(self, inspection_id: str) -> None:
        try:
            self._ledger.time_out(inspection_id)
        except LedgerBlocked as error:  # then it counts as an attempt, like any other that killed the process
            log.error("time limit not recorded", extra={"cause": str(error)})

    def claim(self, candidate: Candidate, stop: Event) -> Claimed | None:
        """Take the file; None where it is gone."""
        with self._stopwatch.at("claim", candidate.path):
            return self._claims.claim(candidate, stop)

    def attempt(self, inspection_id: str, claimed: Claimed) -> Attempt:
        """Put on record that this run begins; return what became of earlier ones."""
        return self._ledger.attempt(inspection_id, claimed)

    def decode(self, claimed: Claimed) -> Taken:
        """Bytes to pixels."""
        with self._stopwatch.at("decode", self._examiner.inspection_id(claimed)):
            return self._examiner.decode(claimed)

    def judge(self, taken: Taken) -> Judged:
        """Pixels to a verdict."""
        with self._stopwatch.at("judge", taken.id):
            return self._examiner.judge(taken)

    def decide(self, judged: Sequence[Judged]) -> list[Entry]:
        """Put verdicts on record, with their messages."""
        decided_at = time.time()
        with self._stopwatch.at("record", judged[0].taken.claimed.identity.path):
            entries = self._ledger.decide([self._decision(each, decided_at) for each in judged], decided_at)
        for entry, each in zip(entries, judged, strict=True):
            extra = {"seq": entry.seq, "path": legible(entry.path), "verdict": each.verdict.name}
            log.debug("inspected", extra=extra)
        # The same version may have been dropped in twice: this file is where this claim has put it.
        return [
            replace(entry, source=each.taken.claimed.source)
            for entry, each in zip(entries, judged, strict=True)
        ]

    def _decision(self, judged: Judged, decided_at: float) -> Decision:
        taken, examiner = judged.taken, self._examiner
        return Decision(
            id=taken.id,
            claimed=taken.claimed,
            verdict=judged.verdict.name,
            keep=judged.verdict.keep,
            raw=examiner.encode_raw(judged),
            compose=lambda seq: examiner.encode(examiner.result(judged, seq, decided_at)),
            targets=self._targets,
        )

    def keep(self, entry: Entry, data: bytes | None) -> None:
        """Keep the image with its message and all that was detected."""
        try:
            self._keeper.keep(entry, self._ledger.raw(entry.seq), data)
        except ImageGoneError as error:
            extra = {"seq": entry.seq, "path": legible(entry.path), "cause": str(error)}
            log.error("image not kept", extra=extra)
            self._ledger.mark_evicted((entry.id,))
        else:
            self._ledger.mark_stored(entry)

    def settle(self, entry: Entry) -> None:
        """Archive, delete or leave the file, and have done with it."""
        remains = self._claims.settle(entry)
        if not entry.is_settled:
            self._ledger.mark_settled(entry, remains=remains)


def _fault(attempt: Attempt) -> FrameError | None:
    """Why not to inspect what earlier runs have tried."""
    if attempt.has_timed_out:
        return FrameError("timeout", "an earlier run took longer over it than FrameTimeoutSeconds")
    if attempt.runs > MAX_ATTEMPTS:
        return FrameError("crashed", "the process died over it, twice")
    return None
