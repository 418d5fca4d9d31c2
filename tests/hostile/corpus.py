"""Thousands of hostile files, the same ones each time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hostile import bitmap, jpeg, png, tiff, webp
from hostile.damage import Hostile, Outcome

SAMPLE = Path(__file__).parents[2] / "sample_images" / "tag-0001.jpg"
_SUFFIXES = ("jpg", "png", "bmp", "tif", "webp")
_SIGNATURES = (b"\xff\xd8\xff", png.SIGNATURE, b"BM", b"II*\0", b"MM\0*", b"RIFF\x40\0\0\0WEBP", b"GIF89a")


def corpus() -> Iterator[Hostile]:
    """Every file, each with a name of its own."""
    pixels = cv2.resize(cv2.imread(str(SAMPLE)), (60, 40), interpolation=cv2.INTER_AREA)
    for maker in (jpeg, png, bitmap, tiff, webp):
        yield from maker.files(pixels)
    good = {suffix: bytes(cv2.imencode(f".{suffix}", pixels)[1]) for suffix in _SUFFIXES}
    yield from _misnamed(good)
    yield from _no_pictures()
    yield from _several_formats(good)


def _misnamed(good: dict[str, bytes]) -> Iterator[Hostile]:
    """The content decides, not the name."""
    for suffix, data in good.items():
        for other in ("jpg", "png", "bmp", "tif", "webp", "gif", "exe", "JPEG", "jpg.zip"):
            yield Hostile(f"is-a-{suffix}.{other}", data, "picture")


def _no_pictures() -> Iterator[Hostile]:
    """Nothing, next to nothing, and noise; with and without the beginning of a picture."""
    rng = np.random.default_rng(0)
    for count in range(33):
        yield Hostile(f"noise-{count}.jpg", rng.bytes(count), "refused")
    for number, signature in enumerate(_SIGNATURES):
        for name, body in (("alone", b""), ("zeros", bytes(5000)), ("ones", b"\xff" * 5000)):
            yield Hostile(f"signature-{number}-{name}.jpg", signature + body, "refused")
        for count in range(30):
            yield Hostile(f"signature-{number}-noise-{count}.jpg", signature + rng.bytes(2000), "refused")
    frames = (
        b"GIF89a\x40\0\x40\0\x80\0\0" + bytes(6) + b"," + bytes(4) + b"\x40\0\x40\0\0\2\2\x44\1\0" * 3 + b";"
    )
    yield Hostile("animated.gif", frames, "refused")
    yield Hostile("page.jpg", b"<html><body>503 Service Unavailable</body></html>", "refused")
    yield Hostile(
        "drawing.svg",
        b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
        "refused",
    )


def _several_formats(good: dict[str, bytes]) -> Iterator[Hostile]:
    """A picture with something before it is none; with something behind it, it is still whole."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("script.sh", "echo hello")
    others = {"zip": packed.getvalue(), "pdf": b"%PDF-1.7\n%%EOF\n", "html": b"<script>alert(1)</script>"}
    for suffix, data in good.items():
        for name, other in others.items():
            yield Hostile(f"{name}-before.{suffix}", other + data, "refused")
            # A JPEG that ends in zeros counts as cut short, and so does an archive's end.
            outcome: Outcome = "either" if (name, suffix) == ("zip", "jpg") else "picture"
            yield Hostile(f"{name}-behind.{suffix}", data + other, outcome)
    for first in good:
        for second in good:
            if first != second:
                half = len(good[first]) // 2
                yield Hostile(f"{first}-then-{second}.jpg", good[first][:half] + good[second], "either")
