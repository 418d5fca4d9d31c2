"""Hostile BMPs."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import cv2
import numpy as np

from hostile.damage import Hostile, Outcome, flipped, overwritten, truncated

RLE8, RLE4, BITFIELDS, JPEG = 1, 2, 3, 4


def files(pixels: np.ndarray) -> Iterator[Hostile]:
    """From a picture, (height, width, 3) uint8 BGR."""
    good = bytes(cv2.imencode(".bmp", pixels)[1])
    yield Hostile("good.bmp", good, "picture")
    yield from truncated("plain.bmp", good)
    yield from flipped("plain.bmp", good, range(2, 54))
    height = pixels.shape[0]
    yield Hostile("top-down.bmp", overwritten(good, 22, struct.pack("<i", -height)), "picture")
    for side in (0, -1, 1 << 20, 0x7FFFFFFF, -(1 << 31)):
        for place, name in ((18, "width"), (22, "height")):
            # From the top down, one row high: a picture.
            outcome: Outcome = "either" if (name, side) == ("height", -1) else "refused"
            yield Hostile(f"{name}-{side}.bmp", overwritten(good, place, struct.pack("<i", side)), outcome)
    absurd = overwritten(good, 18, struct.pack("<ii", 0x7FFFFFFF, 0x7FFFFFFF))
    yield Hostile("size-absurd.bmp", absurd, "refused")
    for bits in (0, 1, 2, 3, 4, 8, 15, 16, 32, 64, 65535):
        yield Hostile(f"bits-{bits}.bmp", overwritten(good, 28, struct.pack("<H", bits)), "either")
    for size in (0, 11, 12, 39, 41, 52, 56, 64, 108, 124, 0xFFFFFFFF):
        yield Hostile(f"header-{size}.bmp", overwritten(good, 14, struct.pack("<I", size)), "either")
    for offset in (0, 13, 54 + 1, len(good), 0x7FFFFFFF, 0xFFFFFFFF):
        yield Hostile(f"offset-{offset}.bmp", overwritten(good, 10, struct.pack("<I", offset)), "either")
    for colours in (1, 257, 0x7FFFFFFF, 0xFFFFFFFF):
        yield Hostile(f"colours-{colours}.bmp", overwritten(good, 46, struct.pack("<I", colours)), "either")
    yield from _compressed()


def bmp(width: int, height: int, bits: int, compression: int, data: bytes, colours: int = 256) -> bytes:
    """A file with a palette."""
    palette = bytes(range(256)) * 4
    offset = 54 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, colours, 0)
    return head + info + palette + data


def _compressed() -> Iterator[Hostile]:
    """Run-length codes that leave the picture, never end, or are cut short."""
    row = b"\x10\x22\0\0"
    codes = {
        "whole": row * 16 + b"\0\1",
        "no-end": row * 16,
        "empty": b"",
        "ended-at-once": b"\0\1",
        "run-beyond": b"\xff\x22" * 5000,
        "rows-beyond": b"\0\0" * 5000 + b"\0\1",
        "delta-beyond": b"\0\2\xff\xff" * 500 + b"\x10\x22\0\1",
        "literal-cut": b"\0\xff\x22",
        "literal-beyond": (b"\0\xff" + bytes(256)) * 50,
    }
    for compression, bits in ((RLE8, 8), (RLE4, 4), (RLE8, 4), (RLE4, 8), (RLE8, 24)):
        for name, data in codes.items():
            content = bmp(16, 16, bits, compression, data)
            yield Hostile(f"rle-{compression}-{bits}-{name}.bmp", content, "either")
        content = bmp(30_000, 30_000, bits, compression, codes["whole"])
        yield Hostile(f"rle-{compression}-{bits}-bomb.bmp", content, "refused")
    within = bmp(7_000, 7_000, 8, RLE8, b"\0\1")
    yield Hostile("rle-49-megapixels-in-1-kB.bmp", within, "either")
    for compression in (BITFIELDS, JPEG, 5, 255):
        yield Hostile(f"compression-{compression}.bmp", bmp(16, 16, 32, compression, bytes(1024)), "either")
