"""A claimed file -> Taken -> Judged -> Result. No effects: what is decided here is put on record elsewhere."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

import msgspec

from inspector.core import message as messages
from inspector.core.appearance import checksum, look, unusual
from inspector.core.detections import Detections
from inspector.core.frame import FailureCode, Frame, FrameError, decode
from inspector.core.message import ImageInfo, Latency, Result, Subject
from inspector.core.naming import legible, part_of
from inspector.core.settings import Settings
from inspector.core.verdict import Doubt, Policy, Verdict, is_audited, judge, not_inspected
from inspector.ports import Claimed, Detector

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A claimed file, decoded: a frame, or why there is none."""

    id: str
    claimed: Claimed
    frame: Frame | FrameError | None
    """None once it is judged: the pixels of a few frames would be hundreds of megabytes."""
    size: tuple[int, int] | None = None
    """Width and height in pixels, where it could be decoded."""
    decode_ms: float | None = None
    is_suspect: bool = False
    """An earlier run of the process began it, and ended."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found in one file and decided about it."""

    taken: Taken
    verdict: Verdict
    raw: Detections
    latency: Latency
    unusual: tuple[str, ...] = ()
    """What is unusual about the picture, in words."""


class LastFrames:
    """Each camera's last frame, by its checksum: what a camera shows twice running is no picture of a new part.

    In memory alone: the first frame after a restart has none before it.
    """

    MAX_CAMERAS = 1000
    """So many are remembered, those that delivered last."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[str, tuple[int, ...]]] = OrderedDict()

    def repeats(self, inspection_id: str, frame: Frame) -> bool:
        """Whether the frame shows what the camera's last one did; it is the last one from now on.

        The same inspection begun again is no repetition.
        """
        camera, shown = frame.identity.camera, checksum(frame.pixels)
        last_id, last_shown = self._last.pop(camera, (inspection_id, None))
        self._last[camera] = inspection_id, shown
        if len(self._last) > self.MAX_CAMERAS:
            self._last.popitem(last=False)
        return inspection_id != last_id and shown == last_shown


class Examiner:
    """Decodes, detects and judges with one model and one set of settings. ``judge`` is called from one thread."""

    def __init__(self, thing: str, ledger: str, settings: Settings, detector: Detector) -> None:
        self._thing = thing
        self._ledger = ledger
        self._settings = settings
        self._detector = detector
        default = settings.thresholds(detector.thresholds)
        self._policy = Policy(default, settings.thresholds_by_label(detector.thresholds))
        self._known_images = detector.known_images if settings.review_unusual_images else None
        if settings.review_unusual_images and detector.known_images is None:
            fix = "package the model with --images, or set ReviewUnusualImages to false"
            log.warning("unusual images are not told", extra={"model": detector.info.name, "fix": fix})
        self._last_frames = LastFrames() if settings.review_repeated_frames else None
        if unknown := settings.class_thresholds.keys() - detector.labels:
            log.warning("thresholds of classes that the model has not", extra={"labels": sorted(unknown)})

    def inspection_id(self, claimed: Claimed) -> str:
        """The id of the inspection of a claimed file."""
        return claimed.identity.inspection_id(self._thing)

    def decode(self, claimed: Claimed) -> Taken:
        """Decode the claimed bytes."""
        inspection_id = self.inspection_id(claimed)
        started = time.perf_counter()
        try:
            if claimed.data is None:
                raise claimed.fault or FrameError("too_large", "the file is above MaxImageMegabytes")
            limit = self._settings.max_image_megapixels
            pixels = decode(claimed.data, self._settings.exif_orientation, limit)
        except FrameError as error:
            return Taken(inspection_id, claimed, error)
        milliseconds = (time.perf_counter() - started) * 1e3
        frame = Frame(claimed.identity, claimed.captured_at, pixels)
        return Taken(inspection_id, claimed, frame, (frame.width, frame.height), round(milliseconds, 3))

    def judge(self, taken: Taken) -> Judged:
        """Find defects and decide; whatever goes wrong with this one frame ends here, as a review."""
        try:
            return self._judge(taken)
        except FrameError as error:
            return self._not_inspected(taken, error.code, str(error))
        except Exception as error:  # noqa: BLE001  # the frame's boundary: one bad frame must not stop the line
            return self._not_inspected(taken, "inference_error", repr(error))

    def _judge(self, taken: Taken) -> Judged:
        if not isinstance(taken.frame, Frame):
            raise taken.frame or ValueError("it was judged before")
        iou, max_detections = self._settings.iou_threshold, self._settings.max_detections
        raw, latency = self._detector.detect(taken.frame.pixels, iou=iou, max_detections=max_detections)
        differences = self._differences(taken.frame)
        verdict = judge(
            raw,
            self._detector.labels,
            self._policy,
            doubts=self._doubts(taken.id, taken.frame, differences),
            audited=is_audited(taken.id, self._settings.audit_share),
        )
        latency = msgspec.structs.replace(latency, decode=taken.decode_ms)
        return Judged(replace(taken, frame=None), verdict, raw, latency, differences)

    def _differences(self, frame: Frame) -> tuple[str, ...]:
        """How the picture differs from those that the model knows."""
        return unusual(look(frame.pixels), self._known_images) if self._known_images else ()

    def _doubts(self, inspection_id: str, frame: Frame, differences: tuple[str, ...]) -> tuple[Doubt, ...]:
        doubts: list[Doubt] = []
        path = legible(frame.identity.path)
        if differences:
            doubts.append("unusual_image")
            log.warning("unusual image", extra={"path": path, "cause": "; ".join(differences)})
        is_cycled = frame.identity.occurrence != 0
        if self._last_frames and not is_cycled and self._last_frames.repeats(inspection_id, frame):
            doubts.append("repeated_frame")
            log.warning("repeated frame", extra={"path": path, "camera": legible(frame.identity.camera)})
        return tuple(doubts)

    def _not_inspected(self, taken: Taken, code: FailureCode, cause: str) -> Judged:
        path = legible(taken.claimed.identity.path)
        log.warning("image not inspected", extra={"path": path, "reason": code, "cause": cause})
        latency = Latency(decode=taken.decode_ms)
        return Judged(replace(taken, frame=None), not_inspected(code), Detections.none(), latency)

    def result(self, judged: Judged, seq: int, decided_at: float) -> Result:
        """The message about one inspection; ``decided_at`` in seconds since the epoch."""
        taken = judged.taken
        identity = taken.claimed.identity
        subject = Subject(
            thing=self._thing,
            ledger=self._ledger,
            seq=seq,
            id=taken.id,
            camera=identity.camera,
            part=part_of(identity.name, self._settings.part_pattern),
            captured_at=taken.claimed.captured_at,
            inspected_at=decided_at,
            image=_image_info(taken),
        )
        labels = self._detector.labels
        return messages.compose(subject, self._detector.info, judged.verdict, labels, judged.latency)

    def encode(self, result: Result) -> bytes:
        """The message as it is published."""
        return messages.encode(result, self._settings.max_message_bytes)

    def encode_raw(self, judged: Judged) -> bytes:
        """All detections down to 0.05, as JSON."""
        return msgspec.json.encode(messages.describe(judged.raw, self._detector.labels))


def _image_info(taken: Taken) -> ImageInfo:
    identity = taken.claimed.identity
    width, height = taken.size or (None, None)
    return ImageInfo(legible(identity.name), legible(identity.path), width, height, identity.sha256 or None)
