"""Hostile WebPs (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import cv2
import numpy as np

from hostile.damage import Hostile, flipped, overwritten, truncated


def files(pixels: np.ndarray) -> Iterator[Hostile]:
    """From a picture, (height, width, 3) uint8 BGR."""
    lossy = bytes(cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 80])[1])
    lossless = bytes(cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])[1])
    for name, data in (("lossy.webp", lossy), ("lossless.webp", lossless)):
        yield Hostile(f"good-{name}", data, "picture")
        yield from truncated(name, data)
        yield from flipped(name, data, range(4, 34))
    for size in (0, 1, 7, len(lossy) * 2, 0x7FFFFFFE, 0xFFFFFFFF):
        yield Hostile(f"riff-{size}.webp", overwritten(lossy, 4, struct.pack("<I", size)), "either")
        yield Hostile(f"chunk-{size}.webp", overwritten(lossy, 16, struct.pack("<I", size)), "either")
    frame = lossy.index(b"\x9d\x01\x2a") + 3
    for side in (0, 1, 16383):
        sizes = overwritten(lossy, frame, struct.pack("<HH", side, side))
        yield Hostile(f"size-{side}.webp", sizes, "either" if side == 1 else "refused")
    yield Hostile("lossless-absurd.webp", overwritten(lossless, 21, b"\xff\xff\xff\x0f"), "refused")
    yield from _extended(lossy)
    yield from _animated(pixels)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A file of these chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def extended(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    """The chunk that begins an extended file."""
    sizes = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"VP8X", bytes([flags, 0, 0, 0]) + sizes


def _extended(lossy: bytes) -> Iterator[Hostile]:
    """A canvas that is not the picture's, and profiles that are none."""
    picture = lossy[12:16], lossy[20:]
    for side in (1, 16_384, 1 << 24):
        yield Hostile(f"canvas-{side}.webp", riff(extended(side, side), picture), "refused")
    for flags in range(0, 256, 2):
        yield Hostile(f"flags-{flags:02x}.webp", riff(extended(60, 40, flags), picture), "either")
    junk = b"\xff" * 5000
    for kind in (b"ICCP", b"EXIF", b"XMP ", b"ALPH", b"junk"):
        yield Hostile(
            f"junk-{kind.decode().strip()}.webp",
            riff(extended(60, 40, 0x3C), (kind, junk), picture),
            "either",
        )
    yield Hostile("no-picture.webp", riff(extended(60, 40)), "refused")
    yield Hostile("many-chunks.webp", riff(extended(60, 40), *[(b"junk", b"")] * 50_000, picture), "either")


def _animated(pixels: np.ndarray) -> Iterator[Hostile]:
    """Several pictures in one file: the first counts."""
    animation = cv2.Animation()
    animation.frames, animation.durations = [pixels, 255 - pixels, pixels], np.int32([100, 100, 100])
    whole = bytes(cv2.imencodeanimation(".webp", animation)[1])
    yield Hostile("animated.webp", whole, "picture")
    yield from truncated("animated.webp", whole, "either")
    frame = b"ANMF", bytes(3) + bytes(3) + b"\xff" * 6 + bytes(4) + b"VP8 " + struct.pack("<I", 0)
    head = extended(16_000, 16_000, 2), (b"ANIM", bytes(6))
    yield Hostile("animated-bomb.webp", riff(*head, *[frame] * 1000), "refused")
