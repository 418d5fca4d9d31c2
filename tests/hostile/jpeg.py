"""Hostile JPEGs (ITU-T T.81)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from hostile.damage import Hostile, Outcome, flipped, overwritten, truncated

ARITHMETIC = Path(__file__).with_name("arithmetic.jpg")
"""Arithmetic-coded; made with libjpeg-turbo's ``arith_code``, which OpenCV and simplejpeg cannot write."""
_END = b"\xff\xd9"


def files(pixels: np.ndarray) -> Iterator[Hostile]:
    """From a picture, (height, width, 3) uint8 BGR."""
    good = bytes(cv2.imencode(".jpg", pixels)[1])
    progressive = bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    yield Hostile("good.jpg", good, "picture")
    yield Hostile("progressive.jpg", progressive, "picture")
    yield Hostile("arithmetic.jpg", ARITHMETIC.read_bytes(), "picture")
    yield from truncated("baseline.jpg", good)
    yield from truncated("progressive.jpg", progressive)
    yield from flipped("baseline.jpg", good, range(2, 40))
    yield from flipped("frame.jpg", good, range(_frame(good), _frame(good) + 19))
    yield from flipped("huffman.jpg", good, range(good.index(b"\xff\xc4"), good.index(b"\xff\xc4") + 24))
    yield from flipped("scan.jpg", good, range(good.index(b"\xff\xda"), good.index(b"\xff\xda") + 30))
    yield from _frames(good)
    yield from _segments(good)
    yield from _colours(pixels)
    yield from _run_together(good)


def _frame(data: bytes) -> int:
    """Where its start-of-frame segment begins."""
    return data.index(b"\xff\xc0")


def _frames(good: bytes) -> Iterator[Hostile]:
    """Start-of-frame segments that claim something else than what follows."""
    frame = _frame(good)
    for kind in (*range(0xC1, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)):
        yield Hostile(f"frame-{kind:x}.jpg", overwritten(good, frame + 1, bytes([kind])), "either")
    for bits in (0, 1, 7, 9, 12, 16, 255):
        yield Hostile(f"bits-{bits}.jpg", overwritten(good, frame + 4, bytes([bits])), "refused")
    for height, width in ((0, 0), (0, 100), (100, 0), (65535, 65535), (65500, 65500), (1, 65535), (65535, 1)):
        sizes = overwritten(good, frame + 5, struct.pack(">HH", height, width))
        yield Hostile(f"size-{height}x{width}.jpg", sizes, "either" if 1 in (height, width) else "refused")
    for count in (0, 2, 4, 5, 255):
        yield Hostile(f"components-{count}.jpg", overwritten(good, frame + 9, bytes([count])), "refused")
    for factors in (0x00, 0x04, 0x40, 0x44, 0x55, 0xFF, 0x1F, 0xF1):
        yield Hostile(
            f"sampling-{factors:02x}.jpg", overwritten(good, frame + 11, bytes([factors])), "either"
        )


def segment(marker: int, content: bytes) -> bytes:
    """One marker segment, with its length."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _segments(good: bytes) -> Iterator[Hostile]:
    """Segments that a decoder may skip, or trip over: the picture behind them is whole."""
    icc = b"ICC_PROFILE\0"
    added = {
        "comments": segment(0xFE, bytes(65533)) * 300,
        "empty-comments": segment(0xFE, b"") * 50_000,
        "icc-junk": segment(0xE2, icc + b"\1\1" + b"\xa5" * 60_000),
        "icc-many": b"".join(
            segment(0xE2, icc + bytes([number, 255]) + bytes(100)) for number in range(1, 256)
        ),
        "icc-part-0": segment(0xE2, icc + b"\0\0" + bytes(100)),
        "exif-short": segment(0xE1, b"Exif\0\0"),
        "exif-junk": segment(0xE1, b"Exif\0\0" + b"\xff" * 500),
        "exif-loop": segment(0xE1, exif(1, next_ifd=8)),
        "exif-far": segment(0xE1, exif(1, next_ifd=0xFFFFFFFF)),
        "exif-count": segment(0xE1, exif(1, tags=65535)),
        "exif-ifd-far": segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<I", 0xFFFFFFF0)),
        **{
            f"exif-orientation-{value}": segment(0xE1, exif(value))
            for value in (0, *range(2, 10), 255, 65535)
        },
        "adobe-junk": segment(0xEE, b"Adobe" + b"\xff" * 7),
        "fill": b"\xff" * 100_000,
    }
    for name, content in added.items():
        # A profile that is numbered wrongly is a warning of the decoder's, and every warning counts as damage.
        outcome: Outcome = "either" if name == "icc-part-0" else "picture"
        yield Hostile(f"{name}.jpg", good[:2] + content + good[2:], outcome)
    for interval in (1, 2, 65535):
        content = good[:2] + segment(0xDD, struct.pack(">H", interval)) + good[2:]
        yield Hostile(f"restart-interval-{interval}.jpg", content, "either")
    middle = (good.index(b"\xff\xda") + len(good)) // 2
    markers = b"".join(bytes([0xFF, 0xD0 + number % 8]) for number in range(5000))
    yield Hostile("restart-markers.jpg", good[:middle] + markers + good[middle:], "either")
    yield Hostile(
        "quantization-zero.jpg", overwritten(good, good.index(b"\xff\xdb") + 5, bytes(64)), "either"
    )
    yield Hostile("no-tables.jpg", good[:2] + good[_frame(good) :], "refused")
    yield Hostile("no-frame.jpg", good[: _frame(good)] + good[good.index(b"\xff\xda") :], "refused")
    yield Hostile("no-scan.jpg", good[: good.index(b"\xff\xda")] + _END, "refused")
    yield Hostile(
        "scans.jpg",
        good[: good.index(b"\xff\xda")] + good[good.index(b"\xff\xda") : -2] * 200 + _END,
        "either",
    )


def exif(orientation: int, tags: int = 1, next_ifd: int = 0) -> bytes:
    """The content of an EXIF segment with one directory, of one tag: the orientation."""
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, tags) + tag + struct.pack("<I", next_ifd)


def _colours(pixels: np.ndarray) -> Iterator[Hostile]:
    """CMYK, YCCK and grey; 12 bits, lossless and arithmetic stand among the frames above, by their headers."""
    inks = np.dstack([255 - pixels, np.zeros(pixels.shape[:2], np.uint8)])
    cmyk = simplejpeg.encode_jpeg(np.ascontiguousarray(inks), colorspace="CMYK", colorsubsampling="444")
    yield Hostile("cmyk.jpg", cmyk, "picture")
    transform = cmyk.index(b"Adobe") + 11
    yield Hostile("ycck.jpg", overwritten(cmyk, transform, b"\2"), "picture")
    yield Hostile("transform-255.jpg", overwritten(cmyk, transform, b"\xff"), "either")
    yield Hostile(
        "grey.jpg", bytes(cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))[1]), "picture"
    )
    yield from truncated("cmyk.jpg", cmyk)


def _run_together(good: bytes) -> Iterator[Hostile]:
    """What is one file and not one picture."""
    yield Hostile("twice.jpg", good + good, "refused")
    yield Hostile("begun-twice.jpg", good[: len(good) // 2] + good, "refused")
    yield Hostile("zeros-behind.jpg", good[: len(good) // 2] + bytes(len(good)), "refused")
    yield Hostile("zeros-inside.jpg", overwritten(good, len(good) // 2, bytes(500)), "either")
    yield Hostile("thumbnail-only.jpg", good[:2] + segment(0xE1, b"Exif\0\0" + good) + _END, "refused")
