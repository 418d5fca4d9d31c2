"""Image file bytes -> Frame: who it is, when it was captured, its pixels."""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
from dataclasses import dataclass
from typing import Literal

import cv2
import imagesize
import numpy as np
import simplejpeg
from numpy.typing import NDArray

Orientation = Literal["apply", "ignore"]
FailureCode = Literal["unreadable", "unsupported", "too_large", "timeout", "inference_error", "crashed"]
"""Why a part could not be inspected."""
Pixels = NDArray[np.uint8]
"""(height, width, 3) uint8, BGR."""

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
SIGNATURES = (_JPEG, _PNG, b"BM", b"II*\0", b"MM\0*")
"""How JPEG, PNG, BMP and TIFF files begin."""

_LEAST_BYTES = 12
"""No picture is smaller; what is cannot be told from the beginning of one."""
_PNG_BEARS_ON_PIXELS = (b"tRNS", b"eXIf")
"""Chunks that a decoder may skip, and that say something of the pixels all the same: transparency, orientation."""
_TIFF_COMPRESSION, _SHORT = 259, 3
_TIFF_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)
"""None, fax, LZW, JPEG, Deflate, PackBits. What OpenCV's decoder does not know it may hand out as black."""
_JPEG_END = b"\xff\xd9"
_RUN_TOGETHER = _JPEG_END + _JPEG
_SEVERAL_PICTURES = b"MPF\0"
"""Of a JPEG that says that several pictures follow one another in it (CIPA DC-007)."""
_JPEG_SIZE = re.compile(
    rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\x00[\x0b-\x26]\x08(....)[\x01-\x0a]", re.DOTALL
)
"""A start-of-frame segment (ITU-T T.81, B.2.2): height, width, big-endian."""


class FrameError(Exception):
    """The image cannot be inspected; ``code`` is the reason its verdict carries."""

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(detail)
        self.code: FailureCode = code


@dataclass(frozen=True, slots=True)
class Identity:
    """One settled version of a file: what its inspection is an inspection of."""

    path: str
    """Relative to the image directory, ``/`` between its parts; undecodable bytes as surrogates."""
    mtime_ns: int
    size_bytes: int
    sha256: str
    occurrence: int = 0
    """Tells repeated inspections of the same version apart when cycling; 0 otherwise."""

    @property
    def camera(self) -> str:
        """The subdirectory that the file came in; empty for the image directory itself."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The file name."""
        return self.path.rpartition("/")[2]

    def inspection_id(self, thing: str) -> str:
        """32 hexadecimal digits of a SHA-256 over the thing's name and every field."""
        parts = (thing, self.path, self.mtime_ns, self.size_bytes, self.sha256, self.occurrence)
        text = "\0".join(str(part) for part in parts)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded image."""

    identity: Identity
    captured_at: float
    """Seconds since the epoch."""
    pixels: Pixels

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.pixels.shape[0])


def decode(data: bytes, orientation: Orientation, max_megapixels: float) -> Pixels:
    """Decode JPEG, PNG, BMP, TIFF or WebP of 8 or 16 bits, grey, BGR or BGRA, to 8-bit BGR.

    The format is told by the content, not by the name. Of 16 bits the upper 8 are taken (of TIFF rounded);
    alpha is dropped; of an animation or a multi-page file the first picture counts. ``orientation`` says
    whether the EXIF orientation is applied; that of a TIFF always is. Raises FrameError: ``unreadable``
    (empty, truncated, corrupt, a pixel type that is not read), ``unsupported`` (another format) or
    ``too_large``, which is told from the header, before decoding.
    """
    if len(data) < _LEAST_BYTES:
        raise FrameError("unreadable", f"the file has {len(data)} bytes, too few for a picture")
    if not (data.startswith(SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")):
        raise FrameError("unsupported", "the content is not JPEG, PNG, BMP, TIFF or WebP")
    _check_megapixels(data, max_megapixels)
    if data.startswith(_JPEG):
        _check_jpeg(data)
    elif data.startswith(_PNG):
        data = _essential(data)
    elif data.startswith((b"II*", b"MM\0*")):
        _check_tiff(data)
    flags = cv2.IMREAD_COLOR
    if orientation == "ignore":
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise FrameError("unreadable", f"the decoder gave up: {error}") from error
    if pixels is None:
        raise FrameError(
            "unreadable", "the picture is truncated, corrupt or of a pixel type that is not read"
        )
    return np.asarray(pixels, np.uint8)


def _check_megapixels(data: bytes, max_megapixels: float) -> None:
    width, height = _declared_size(data)
    if width < 1 or height < 1:
        raise FrameError("unreadable", "the header gives no width and height")
    if width * height > max_megapixels * 1e6:
        size = f"{width}x{height} pixels are above MaxImageMegapixels {max_megapixels:g}"
        raise FrameError("too_large", size)


def _declared_size(data: bytes) -> tuple[int, int]:
    """Width and height that the header declares, in pixels; less than 1 where it does not.

    Of a JPEG the largest, wherever it stands: parsers differ on which of several a crafted file means.
    """
    if not data.startswith(_JPEG):
        width, height = imagesize.get(io.BytesIO(data))
        return int(width), int(height)
    sizes = (struct.unpack(">HH", found[1])[::-1] for found in _JPEG_SIZE.finditer(data))
    return max(sizes, key=math.prod, default=(0, 0))


def _check_jpeg(data: bytes) -> None:
    """Refuse a damaged JPEG: OpenCV's decoder fills what is missing with grey, and tells only standard error.

    Decoded at an eighth of its size, for the time it takes. A file given its size in advance is zeros from where the
    writing stopped, and zeros can be a picture; a second picture right behind the first would be one part unseen.
    """
    if data.endswith(b"\0") and not data.rstrip(b"\0").endswith(_JPEG_END):
        raise FrameError(
            "unreadable", "the file ends in zeros in place of the picture's end: it is truncated"
        )
    if _RUN_TOGETHER in data and _SEVERAL_PICTURES not in data:
        raise FrameError("unreadable", "the file is two pictures run together")
    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, strict=True)
    except (ValueError, MemoryError) as error:
        raise FrameError("unreadable", f"the picture is damaged: {error}") from error


def _essential(data: bytes) -> bytes:
    """A PNG without texts, profiles and further frames, which may unpack to far more memory than its pixels.

    Refuses one whose chunk is longer than the file: the decoder would make room for all of it first, up to 4 GB.
    """
    kept, place = [_PNG], len(_PNG)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length  # length, kind, content, checksum
        if end > len(data):
            raise FrameError("unreadable", "the file ends within a chunk: it is truncated")
        is_critical = not kind[0] & 0x20
        if is_critical or kind in _PNG_BEARS_ON_PIXELS:
            kept.append(data[place:end])
        place = len(data) if kind == b"IEND" else end
    return b"".join(kept)


def _check_tiff(data: bytes) -> None:
    """Refuse a TIFF of a compression that the decoder does not know (TIFF 6.0, section 2: the first directory)."""
    order = "<" if data.startswith(b"II") else ">"
    try:
        (directory,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, directory)
        for place in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", data, place)
            (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, place + 8)
            if tag == _TIFF_COMPRESSION and value not in _TIFF_COMPRESSIONS:
                raise FrameError("unreadable", f"a TIFF of compression {value}, which is not read")
    except struct.error as error:
        raise FrameError("unreadable", "the file ends before its directory does: it is truncated") from error
