"""A picture's bytes -> its pixels, as the device has them with its default settings."""

from __future__ import annotations

from inspector.core.frame import Pixels, decode
from inspector.core.settings import Settings

_SETTINGS = Settings()


def decoded(content: bytes) -> Pixels:
    """(height, width, 3) uint8 BGR. Raises FrameError."""
    return decode(content, _SETTINGS.exif_orientation, _SETTINGS.max_image_megapixels)
