"""The messages this component publishes. Their JSON Schemas in ``docs/schema`` are generated from these types."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from inspector.core.detections import Detections
from inspector.core.naming import legible, rfc3339
from inspector.core.package import UnitInterval
from inspector.core.verdict import Verdict, VerdictName

StatusEvent = Literal[
    "start", "interval", "stop", "model", "blocked", "unblocked", "configuration", "requested", "alarm"
]
Alarm = Literal[
    "no_images", "disk_low", "ledger_full", "ledger_replaced", "stalled", "configuration", "model_refused"
]
"""What a person should look into, though the component works on."""


class ImageInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The image as captured. Width and height are null, as is the hash, where it could not be read."""

    name: str
    path: str
    width: int | None
    height: int | None
    sha256: str | None


class ModelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that judged."""

    name: str
    version: str
    precision: str
    sha256: str


class DetectionInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One defect; pixels of the image as captured, left and top are its upper corner."""

    class_id: int
    label: str
    confidence: UnitInterval
    left: float
    top: float
    width: float
    height: float


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Milliseconds each stage took; null where it was not reached."""

    decode: float | None = None
    preprocess: float | None = None
    inference: float | None = None
    postprocess: float | None = None


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The verdict on one image, on ``<prefix>/<thing>/results``. Consumers deduplicate by ``id``."""

    schema: Literal["edge-inspector/result/1"]
    id: str
    ledger: str
    seq: Annotated[int, msgspec.Meta(ge=1)]
    thing: str
    camera: str
    part: str | None
    captured_at: str
    inspected_at: str
    image: ImageInfo
    model: ModelInfo
    verdict: VerdictName
    reasons: tuple[str, ...]
    detections: tuple[DetectionInfo, ...]
    detections_total: int
    kept: tuple[str, ...]
    latency_ms: Latency


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the component is, on ``<prefix>/<thing>/status``."""

    schema: Literal["edge-inspector/status/1"]
    thing: str
    sent_at: str
    version: str
    state: Literal["running", "blocked", "stopped"]
    event: StatusEvent
    reason: str | None
    """Why nothing is inspected; null while running."""
    alarms: tuple[Alarm, ...]
    ledger: str | None
    """Null, as what is read from the ledger, while it is not open."""
    last_seq: int | None
    verdicts: dict[VerdictName, int]
    outbox: int | None
    parked: int | None
    images_per_minute: float
    latency_ms_p50: float | None
    latency_ms_p99: float | None
    confidence_mean: float | None
    confidence_std: float | None
    model: ModelInfo | None
    """The one in use."""
    model_refused: str | None
    """Why the one that is deployed is not in use, where another is."""
    disk_free_bytes: int
    archived_bytes: int | None
    """Null where nothing is archived, and while the archive is not open."""
    kept: int | None
    """Images kept for relabelling or in quarantine; null, as their size, while their directories are not open."""
    kept_bytes: int | None
    settings_errors: tuple[str, ...]
    """What is wrong with the configuration; while running, the last valid one is in force."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The part that a result speaks of: everything but what was decided."""

    thing: str
    ledger: str
    seq: int
    id: str
    camera: str
    part: str | None
    captured_at: float
    inspected_at: float
    image: ImageInfo


def compose(
    subject: Subject, model: ModelInfo, verdict: Verdict, labels: tuple[str, ...], latency: Latency
) -> Result:
    """The result message of one inspection; times in seconds since the epoch."""
    return Result(
        schema="edge-inspector/result/1",
        id=subject.id,
        ledger=subject.ledger,
        seq=subject.seq,
        thing=subject.thing,
        camera=legible(subject.camera),
        part=None if subject.part is None else legible(subject.part),
        captured_at=rfc3339(subject.captured_at),
        inspected_at=rfc3339(subject.inspected_at),
        image=subject.image,
        model=model,
        verdict=verdict.name,
        reasons=verdict.reasons,
        detections=describe(verdict.detections, labels),
        detections_total=len(verdict.detections),
        kept=verdict.keep,
        latency_ms=latency,
    )


def describe(detections: Detections, labels: tuple[str, ...]) -> tuple[DetectionInfo, ...]:
    """Detections as a message tells them: pixels to hundredths, confidences to six places."""
    described = []
    for box, confidence, class_id in zip(
        detections.boxes.tolist(), detections.confidences.tolist(), detections.class_ids.tolist(), strict=True
    ):
        left, top, right, bottom = box
        sizes = (round(each, 2) for each in (left, top, right - left, bottom - top))
        described.append(DetectionInfo(class_id, labels[class_id], round(confidence, 6), *sizes))
    return tuple(described)


def encode(result: Result, max_bytes: int) -> bytes:
    """The result as UTF-8 JSON of at most ``max_bytes``: the weakest detections are left out as needed."""
    counts = range(len(result.detections) + 1)
    fitting = bisect_right(counts, max_bytes, key=lambda count: len(_with_strongest(result, count)))
    if fitting == 0:
        size_bytes = len(_with_strongest(result, 0))
        raise ValueError(
            f"a result without detections takes {size_bytes} bytes, MaxMessageBytes is {max_bytes}"
        )
    return _with_strongest(result, counts[fitting - 1])


def _with_strongest(result: Result, count: int) -> bytes:
    """The result as JSON, with so many of its detections."""
    return msgspec.json.encode(msgspec.structs.replace(result, detections=result.detections[:count]))


def topic(prefix: str, thing: str, kind: str) -> str:
    """``<prefix>/<thing>/<kind>``; the kind is results, status, commands or commands/response."""
    return f"{prefix}/{thing}/{kind}"
