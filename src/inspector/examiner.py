"""A claimed file -> Taken -> Judged -> Result. No effects: what is decided here is put on record elsewhere.

The model may be exchanged between two frames; what was judged carries the name of the one that judged it.
"""

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
from inspector.core.message import ImageInfo, Latency, ModelInfo, Result, Subject
from inspector.core.naming import legible, part_of
from inspector.core.settings import Settings
from inspector.core.verdict import Doubt, Policy, Verdict, is_audited, not_inspected
from inspector.core.verdict import judge as decide
from inspector.ports import Claimed, Detector
from inspector.succession import Succession

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
    model: ModelInfo
    """The one that judged; of a frame that none could judge the one in use."""
    labels: tuple[str, ...]
    """Of that model's classes."""
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


class Judge:
    """A model, and what the settings make of what it finds."""

    def __init__(self, detector: Detector, settings: Settings) -> None:
        self.detector = detector
        default = settings.thresholds(detector.thresholds)
        self.policy = Policy(default, settings.thresholds_by_label(detector.thresholds))
        self._known_images = detector.known_images if settings.review_unusual_images else None
        if settings.review_unusual_images and detector.known_images is None:
            fix = "package the model with --images, or set ReviewUnusualImages to false"
            log.warning("unusual images are not told", extra={"model": detector.info.name, "fix": fix})
        if unknown := settings.class_thresholds.keys() - detector.labels:
            log.warning("thresholds of classes that the model has not", extra={"labels": sorted(unknown)})

    def differences(self, frame: Frame) -> tuple[str, ...]:
        """How the picture differs from those that the model knows."""
        return unusual(look(frame.pixels), self._known_images) if self._known_images else ()


class Examiner:
    """Decodes, detects and judges with one set of settings, one model at a time.

    ``judge`` is called from one thread; ``exchange`` may be from another.
    """

    def __init__(self, thing: str, ledger: str, settings: Settings, detector: Detector) -> None:
        self._thing = thing
        self._ledger = ledger
        self._settings = settings
        self._last_frames = LastFrames() if settings.review_repeated_frames else None
        self.succession = Succession(Judge(detector, settings))

    def exchange(self, detector: Detector, predecessor: Detector | None) -> None:
        """From the next frame on judge with another model, for ProbationFrames with the one before it at hand."""
        before = Judge(predecessor, self._settings) if predecessor else None
        self.succession = Succession(Judge(detector, self._settings), before, self._settings.probation_frames)

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
        succession = self.succession
        try:
            repeats = self._repeats(taken)
            return succession.hold(lambda judge: self._judge(taken, judge, repeats=repeats))
        except FrameError as error:
            return _not_inspected(taken, succession.judge, error.code, str(error))
        except Exception as error:  # noqa: BLE001  # the frame's boundary: one bad frame must not stop the line
            return _not_inspected(taken, succession.judge, "inference_error", repr(error))

    def _judge(self, taken: Taken, judge: Judge, *, repeats: bool) -> Judged:
        frame, detector = _frame(taken), judge.detector
        iou, max_detections = self._settings.iou_threshold, self._settings.max_detections
        raw, latency = detector.detect(frame.pixels, iou=iou, max_detections=max_detections)
        differences = judge.differences(frame)
        verdict = decide(
            raw,
            detector.labels,
            judge.policy,
            doubts=_doubts(frame, differences, repeats=repeats),
            audited=is_audited(taken.id, self._settings.audit_share),
        )
        latency = msgspec.structs.replace(latency, decode=taken.decode_ms)
        judged = replace(taken, frame=None)
        return Judged(judged, verdict, raw, latency, detector.info, detector.labels, differences)

    def _repeats(self, taken: Taken) -> bool:
        frame = _frame(taken)
        is_cycled = frame.identity.occurrence != 0
        return bool(self._last_frames and not is_cycled and self._last_frames.repeats(taken.id, frame))

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
        return messages.compose(subject, judged.model, judged.verdict, judged.labels, judged.latency)

    def encode(self, result: Result) -> bytes:
        """The message as it is published."""
        return messages.encode(result, self._settings.max_message_bytes)

    def encode_raw(self, judged: Judged) -> bytes:
        """All detections down to 0.05, as JSON."""
        return msgspec.json.encode(messages.describe(judged.raw, judged.labels))


def _frame(taken: Taken) -> Frame:
    """Its frame. Raises FrameError where there is none."""
    if isinstance(taken.frame, Frame):
        return taken.frame
    raise taken.frame or ValueError("it was judged before")


def _doubts(frame: Frame, differences: tuple[str, ...], *, repeats: bool) -> tuple[Doubt, ...]:
    doubts: list[Doubt] = []
    path = legible(frame.identity.path)
    if differences:
        doubts.append("unusual_image")
        log.warning("unusual image", extra={"path": path, "cause": "; ".join(differences)})
    if repeats:
        doubts.append("repeated_frame")
        log.warning("repeated frame", extra={"path": path, "camera": legible(frame.identity.camera)})
    return tuple(doubts)


def _not_inspected(taken: Taken, judge: Judge, code: FailureCode, cause: str) -> Judged:
    path = legible(taken.claimed.identity.path)
    log.warning("image not inspected", extra={"path": path, "reason": code, "cause": cause})
    latency = Latency(decode=taken.decode_ms)
    model, labels = judge.detector.info, judge.detector.labels
    none = Detections.none()
    return Judged(replace(taken, frame=None), not_inspected(code), none, latency, model, labels)


def _image_info(taken: Taken) -> ImageInfo:
    identity = taken.claimed.identity
    width, height = taken.size or (None, None)
    return ImageInfo(legible(identity.name), legible(identity.path), width, height, identity.sha256 or None)
