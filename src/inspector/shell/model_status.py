"""``model-status.json`` on the disk."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import msgspec

from inspector.core.model_status import ModelStatus
from inspector.shell.files import write_durably

log = logging.getLogger(__name__)

NAME = "model-status.json"


def recall(work: Path) -> ModelStatus:
    """What is remembered in a work directory; nothing where there is no file, or none that can be used."""
    path = work / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=ModelStatus)
    except FileNotFoundError:
        return ModelStatus()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fix = "none needed: the model is tried anew"
        log.error("model status ignored", extra={"path": path, "cause": str(error), "fix": fix})
        return ModelStatus()


def write(work: Path, status: ModelStatus) -> None:
    """Replace the file, durably, in one step. Raises OSError."""
    document = msgspec.json.format(msgspec.json.encode(status), indent=2) + b"\n"
    write_durably(io.BytesIO(document), work / f".{NAME}.part", work / NAME)
