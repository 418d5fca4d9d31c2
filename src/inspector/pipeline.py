"""One frame, its effects in one written order.

    claim → attempt → decode → detect → judge → decide → keep → settle

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
from dataclasses import dataclass, replace
from threading import Event

import msgspec
import numpy as np

from inspector.core import message as messages
from inspector.core.detections import Detections
from inspector.core.frame import Frame, FrameError, decode
from inspector.core.message import ImageInfo, Latency, Result, Subject
from inspector.core.naming import legible, part_of
from inspector.core.settings import Settings
from inspector.core.verdict import Policy, Verdict, is_audited, judge, not_inspected
from inspector.ports import (
    Candidate,
    Claimed,
    Decision,
    Detector,
    Entry,
    ImageGoneError,
    Keeper,
    Ledger,
    Source,
    Target,
)

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
"""So many runs may die over one image; after that it is a review, ``crashed``."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A claimed file, decoded: a frame, or why there is none."""

    id: str
    claimed: Claimed
    frame: Frame | FrameError
    decode_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found and decided about one file, before it is on record."""

    verdict: Verdict
    raw: Detections
    latency: Latency


@dataclass(frozen=True, slots=True)
class Inspected:
    """What the status message counts."""

    verdict: str
    confidences: tuple[float, ...]
    latency_ms: float


class Pipeline:
    """Inspects candidates. ``take`` and ``conclude`` may run in two threads."""

    def __init__(
        self,
        thing: str,
        settings: Settings,
        source: Source,
        detector: Detector,
        ledger: Ledger,
        keeper: Keeper,
    ) -> None:
        self._thing = thing
        self._settings = settings
        self._source = source
        self._detector = detector
        self._ledger = ledger
        self._keeper = keeper
        self._policy = Policy(
            settings.thresholds(detector.thresholds), settings.thresholds_by_label(detector.thresholds)
        )

    def take(self, candidate: Candidate, stop: Event) -> Taken | None:
        """Claim and decode a file; None where there is nothing left to inspect."""
        claimed = self._source.claim(candidate, stop)
        if claimed is None:
            return None
        inspection_id = claimed.identity.inspection_id(self._thing)
        if entry := self._ledger.find(inspection_id):
            self.finish(replace(entry, source=claimed.source))
            return None
        if self._ledger.attempt(inspection_id) > MAX_ATTEMPTS:
            return Taken(inspection_id, claimed, FrameError("crashed", "the process died over it, twice"))
        return self.decode(inspection_id, claimed)

    def decode(self, inspection_id: str, claimed: Claimed) -> Taken:
        """Decode the claimed bytes."""
        started = time.perf_counter()
        try:
            if claimed.data is None:
                raise FrameError("too_large", "the file is above MaxImageMegabytes")
            limit = self._settings.max_image_megapixels
            pixels = decode(claimed.data, self._settings.exif_orientation, limit)
        except FrameError as error:
            return Taken(inspection_id, claimed, error)
        milliseconds = (time.perf_counter() - started) * 1e3
        frame = Frame(claimed.identity, claimed.captured_at, pixels)
        return Taken(inspection_id, claimed, frame, round(milliseconds, 3))

    def conclude(self, taken: Taken) -> tuple[Entry, Inspected]:
        """Judge a frame and carry out what follows from the verdict."""
        judged = self.judge(taken)
        entry = self.decide(taken, judged)
        self.finish(entry, taken.claimed.data)
        return entry, _inspected(judged)

    def judge(self, taken: Taken) -> Judged:
        """Find defects and decide; whatever goes wrong with this one frame ends here, as a review."""
        try:
            if isinstance(taken.frame, FrameError):
                raise taken.frame
            raw, latency = self._detector.detect(
                taken.frame.pixels,
                iou=self._settings.iou_threshold,
                max_detections=self._settings.max_detections,
            )
        except FrameError as error:
            return self._not_inspected(taken, error.code, str(error))
        except Exception as error:  # noqa: BLE001  # the frame's boundary: one bad frame must not stop the line
            return self._not_inspected(taken, "inference_error", repr(error))
        audited = is_audited(taken.id, self._settings.audit_share)
        verdict = judge(raw, self._detector.labels, self._policy, audited=audited)
        return Judged(verdict, raw, msgspec.structs.replace(latency, decode=taken.decode_ms))

    def _not_inspected(self, taken: Taken, code: str, cause: str) -> Judged:
        path = legible(taken.claimed.identity.path)
        log.warning("image not inspected", extra={"path": path, "reason": code, "cause": cause})
        return Judged(not_inspected(code), Detections.none(), Latency(decode=taken.decode_ms))

    def decide(self, taken: Taken, judged: Judged) -> Entry:
        """Put the verdict on record, with its message."""
        decided_at = time.time()

        def compose(seq: int) -> bytes:
            return messages.encode(
                self.result(taken, judged, seq, decided_at), self._settings.max_message_bytes
            )

        raw = msgspec.json.encode(messages.describe(judged.raw, self._detector.labels))
        decision = Decision(
            taken.id, taken.claimed, judged.verdict.name, judged.verdict.keep, raw, compose, self._targets()
        )
        entry = self._ledger.decide(decision, decided_at)
        log.debug("inspected", extra={"seq": entry.seq, "path": entry.path, "verdict": judged.verdict.name})
        return entry

    def result(self, taken: Taken, judged: Judged, seq: int, decided_at: float) -> Result:
        """The message about one inspection."""
        identity, settings = taken.claimed.identity, self._settings
        subject = Subject(
            thing=self._thing,
            ledger=self._ledger.id,
            seq=seq,
            id=taken.id,
            camera=identity.camera,
            part=part_of(identity.name, settings.part_pattern),
            captured_at=taken.claimed.captured_at,
            inspected_at=decided_at,
            image=_image_info(taken),
        )
        return messages.compose(
            subject, self._detector.info, judged.verdict, self._detector.labels, judged.latency
        )

    def finish(self, entry: Entry, data: bytes | None = None) -> None:
        """Keep the image and settle the file, whichever is still to be done; ``data`` is the file's content."""
        if not entry.is_stored:
            self.keep(entry, data)
        self.settle(entry)

    def keep(self, entry: Entry, data: bytes | None) -> None:
        """Keep the image with its message and all that was detected."""
        try:
            evicted = self._keeper.keep(entry, self._ledger.raw(entry.seq), data)
        except ImageGoneError as error:
            log.error(
                "image not kept", extra={"seq": entry.seq, "path": legible(entry.path), "cause": str(error)}
            )
            evicted = (entry.id,)
        self._ledger.mark_stored(entry, evicted)

    def settle(self, entry: Entry) -> None:
        """Archive, delete or leave the file, and have done with it."""
        remains = self._source.settle(entry)
        if not entry.is_settled:
            self._ledger.mark_settled(entry, remains=remains)

    def _targets(self) -> tuple[Target, ...]:
        wanted: dict[Target, bool] = {
            "topic": self._settings.publish_to_topic,
            "iot_core": self._settings.publish_to_iot_core,
        }
        return tuple(target for target, is_wanted in wanted.items() if is_wanted)


def _image_info(taken: Taken) -> ImageInfo:
    identity = taken.claimed.identity
    width, height = (
        (taken.frame.width, taken.frame.height) if isinstance(taken.frame, Frame) else (None, None)
    )
    return ImageInfo(legible(identity.name), legible(identity.path), width, height, identity.sha256 or None)


def _inspected(judged: Judged) -> Inspected:
    stages = msgspec.structs.astuple(judged.latency)
    milliseconds = sum(each for each in stages if each is not None)
    strongest = tuple(np.sort(judged.verdict.detections.confidences)[::-1].tolist())
    return Inspected(judged.verdict.name, strongest, milliseconds)
