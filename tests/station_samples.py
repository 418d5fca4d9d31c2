"""Messages as the inspector makes them (its own types encode them), for the station's tests."""

from __future__ import annotations

from typing import Any

import msgspec

from inspector.core.message import DetectionInfo, ImageInfo, Latency, ModelInfo, Result, Status
from station.message import Received, read

MODEL = ModelInfo(name="metal-tag", version="1.0.0", precision="int8", sha256="77a0")
SCRATCH = DetectionInfo(class_id=0, label="scratch", confidence=0.912, left=81, top=123, width=82, height=97)


def result(seq: int = 1, path: str = "top/tag-1.jpg", **changes: Any) -> Result:
    """A pass, unless changed."""
    fields: dict[str, Any] = {
        "schema": "edge-inspector/result/1",
        "id": f"id-{seq}",
        "ledger": "b81e",
        "seq": seq,
        "thing": "line-3",
        "camera": "top",
        "part": None,
        "captured_at": "2026-11-22T03:00:00.123Z",
        "inspected_at": "2026-11-22T03:00:00.161Z",
        "image": ImageInfo(name=path.rpartition("/")[2], path=path, width=450, height=300, sha256="0a"),
        "model": MODEL,
        "verdict": "pass",
        "reasons": (),
        "detections": (),
        "detections_total": 0,
        "kept": (),
        "latency_ms": Latency(decode=1.0, preprocess=0.5, inference=7.0, postprocess=0.5),
    }
    return Result(**(fields | changes))


def fail(seq: int = 1, path: str = "top/tag-2.jpg", **changes: Any) -> Result:
    """A scratched tag."""
    defect = {"verdict": "fail", "reasons": ("defect",), "detections": (SCRATCH,), "detections_total": 1}
    return result(seq, path, **(defect | changes))


def status(last_seq: int = 0, **changes: Any) -> Status:
    """A running inspector, unless changed."""
    fields: dict[str, Any] = {
        "schema": "edge-inspector/status/1",
        "thing": "line-3",
        "sent_at": "2026-11-22T03:00:00Z",
        "version": "0.1.0",
        "state": "running",
        "event": "interval",
        "alarms": [],
        "reason": None,
        "ledger": "b81e",
        "last_seq": last_seq,
        "verdicts": {},
        "outbox": 0,
        "parked": 0,
        "images_per_minute": 0.0,
        "latency_ms_p50": None,
        "latency_ms_p99": None,
        "confidence_mean": None,
        "confidence_std": None,
        "model": MODEL,
        "model_refused": None,
        "disk_free_bytes": 1,
        "archived_bytes": None,
        "kept": 0,
        "kept_bytes": 0,
        "settings_errors": (),
    }
    return Status(**(fields | changes))


def blocked(**changes: Any) -> Status:
    """An inspector that cannot open its ledger, unless changed."""
    unread = dict.fromkeys(("ledger", "last_seq", "outbox", "parked", "model"))
    why = {"state": "blocked", "event": "blocked", "reason": "the work directory is read-only"}
    return status(**(unread | why | changes))


def topic(message: Result | Status) -> str:
    """Where the message is published."""
    return f"inspect/{message.thing}/{'results' if isinstance(message, Result) else 'status'}"


def arrived(message: Result | Status) -> Received:
    """The message as the station reads it."""
    return read(topic(message), msgspec.json.encode(message))
