"""The extra ``models``: Ultralytics and torch, imported late, for that takes seconds and a device has neither."""

from __future__ import annotations

import os
from typing import Any


class ExtraError(Exception):
    """The extra is not installed; says how to install it."""


def ultralytics() -> Any:
    """Ultralytics, kept from the network and from installing things. Raises ExtraError."""
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_OFFLINE", "true")
    try:
        import ultralytics
    except ImportError as error:
        fix = "make venv-models, or pip install 'edge-inspector[models]'"
        raise ExtraError(f"this needs Ultralytics, which is not installed here ({error}); {fix}") from error
    return ultralytics
