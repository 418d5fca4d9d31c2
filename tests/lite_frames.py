"""Frames captured between the SDK's client and the daemons of Greengrass Lite 2.6.0, one of each kind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Captured:
    """One frame; ``payload`` is its text, for the reader and for the tests of the codec."""

    about: str
    sender: str
    payload: str
    raw: bytes


def _load() -> dict[str, Captured]:
    lines = (Path(__file__).parent / "edgehost" / "lite_frames.jsonl").read_text().splitlines()
    rows = (json.loads(line) for line in lines)
    return {
        row["about"]: Captured(row["about"], row["from"], row["payload"], bytes.fromhex(row["hex"]))
        for row in rows
    }


CAPTURED = _load()
FROM_CLIENT = [frame for frame in CAPTURED.values() if frame.sender == "client"]
FROM_SERVER = [frame for frame in CAPTURED.values() if frame.sender == "server"]
