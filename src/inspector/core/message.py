"""The messages this component publishes. Their JSON Schemas in ``docs/schema`` are generated from these types."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

VerdictName = Literal["pass", "fail", "review"]
UnitInterval = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


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
    event: Literal["start", "interval", "stop", "model", "blocked", "unblocked", "configuration", "requested"]
    reason: str | None
    ledger: str
    last_seq: int
    verdicts: dict[str, int]
    outbox: int
    parked: int
    images_per_minute: float
    latency_ms_p50: float | None
    latency_ms_p99: float | None
    confidence_mean: float | None
    confidence_std: float | None
    model: ModelInfo | None
    disk_free_bytes: int
    settings_errors: tuple[str, ...]
