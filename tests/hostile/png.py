"""Hostile PNGs (ISO/IEC 15948)."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from hostile.damage import Hostile, flipped, truncated

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR, PALETTE, ALPHA = 0, 2, 3, 6
"""Bytes of the chunk that ends a file, without which the picture is whole all the same."""


def files(pixels: np.ndarray) -> Iterator[Hostile]:
    """From a picture, (height, width, 3) uint8 BGR."""
    good = bytes(cv2.imencode(".png", pixels)[1])
    yield Hostile("good.png", good, "picture")
    yield from truncated("plain.png", good)
    yield from flipped("plain.png", good, range(8, 41))
    yield Hostile("16-bit.png", bytes(cv2.imencode(".png", pixels.astype(np.uint16) * 257)[1]), "picture")
    transparent = np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)])
    yield Hostile("transparent.png", bytes(cv2.imencode(".png", transparent)[1]), "picture")
    yield from _sizes()
    yield from _bombs()
    yield from _pixel_types()
    yield from _chunks(good)
    yield from _animated(pixels, good)


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk, with length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int, bits: int = 8, colour: int = COLOUR, interlace: int = 0) -> bytes:
    """The chunk that begins a file."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace))


def png(*chunks: bytes) -> bytes:
    """A file of these chunks and the one that ends it."""
    return SIGNATURE + b"".join(chunks) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zeros, compressed."""
    packer, block = zlib.compressobj(9), bytes(1 << 20)
    whole = b"".join(packer.compress(block) for _ in range(count >> 20))
    return whole + packer.compress(bytes(count & 0xFFFFF)) + packer.flush()


def _sizes() -> Iterator[Hostile]:
    """Dimensions that are absurd, negative or zero, each with data for a picture of 8 by 8."""
    data = chunk(b"IDAT", zeros(8 * 25))
    sides = (0, 1, 8, 1_000_000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    for width, height in itertools.product(sides, sides):
        outcome = "either" if {width, height} <= {1, 8} else "refused"
        yield Hostile(f"size-{width}x{height}.png", png(header(width, height), data), outcome)


def _bombs() -> Iterator[Hostile]:
    """A few kilobytes or less that unpack to a lot."""
    few = chunk(b"IDAT", zeros(4_000_000))
    for bits, colour in ((1, GREY), (8, COLOUR), (16, COLOUR), (16, ALPHA)):
        content = png(header(30_000, 30_000, bits, colour), few)
        yield Hostile(f"bomb-30000x30000-{bits}-{colour}.png", content, "refused")
    large = png(header(6_000, 6_000, 1, GREY), chunk(b"IDAT", zeros(6_000 * 751)))
    yield Hostile("36-megapixels-in-5-kB.png", large, "picture")
    small = header(8, 8), chunk(b"IDAT", zeros(8 * 25))
    bomb = zeros(200_000_000)
    for kind, prefix in (
        (b"zTXt", b"Comment\0\0"),
        (b"iTXt", b"Comment\0\1\0\0\0"),
        (b"iCCP", b"profile\0\0"),
    ):
        content = png(small[0], chunk(kind, prefix + bomb), small[1])
        yield Hostile(f"bomb-{kind.decode()}.png", content, "either")
    texts = chunk(b"zTXt", b"Comment\0\0" + zeros(7_000_000)) * 200
    yield Hostile("bombs-zTXt.png", png(small[0], texts, small[1]), "either")
    yield Hostile("data-200-MB.png", png(small[0], chunk(b"IDAT", bomb)), "either")


def _pixel_types() -> Iterator[Hostile]:
    """Every combination of depth and colour type, most of which do not exist."""
    data = chunk(b"IDAT", zeros(8 * (8 * 8 + 1)))
    palette = chunk(b"PLTE", bytes(range(256)) * 3)
    for bits, colour in itertools.product((0, 1, 2, 3, 4, 8, 16, 32, 255), (0, 1, 2, 3, 4, 5, 6, 7, 255)):
        content = png(header(8, 8, bits, colour), palette if colour == PALETTE else b"", data)
        yield Hostile(f"type-{bits}-{colour}.png", content, "either")
    yield Hostile("palette-missing.png", png(header(8, 8, 8, PALETTE), data), "either")
    yield Hostile("palette-odd.png", png(header(8, 8, 8, PALETTE), chunk(b"PLTE", bytes(5)), data), "either")
    beyond = chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * 8) * 8))
    yield Hostile(
        "palette-beyond.png", png(header(8, 8, 8, PALETTE), chunk(b"PLTE", bytes(3)), beyond), "either"
    )
    for interlace in (1, 2, 255):
        yield Hostile(f"interlace-{interlace}.png", png(header(8, 8, interlace=interlace), data), "either")


def _chunks(good: bytes) -> Iterator[Hostile]:
    """Chunks that are missing, too many, out of order, or lie about their length."""
    data, small = chunk(b"IDAT", zeros(8 * 25)), header(8, 8)
    yield Hostile("no-data.png", png(small), "refused")
    yield Hostile("no-header.png", png(data), "refused")
    yield Hostile("data-first.png", png(data, small), "refused")
    yield Hostile("header-twice.png", png(small, header(9000, 9000), data), "either")
    yield Hostile("data-empty.png", png(small, chunk(b"IDAT", b"")), "refused")
    yield Hostile("data-short.png", png(small, chunk(b"IDAT", zeros(20))), "refused")
    yield Hostile("data-junk.png", png(small, chunk(b"IDAT", b"\xa5" * 500)), "refused")
    yield Hostile(
        "data-in-bytes.png",
        png(small, *(chunk(b"IDAT", data[each : each + 1]) for each in range(8, 19))),
        "either",
    )
    yield Hostile("unknown-chunks.png", good[:33] + chunk(b"teSt", b"") * 20_000 + good[33:], "either")
    for length in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        for kind in (b"IDAT", b"tEXt", b"iCCP", b"eXIf", b"acTL"):
            content = SIGNATURE + small + struct.pack(">I", length) + kind + bytes(100)
            yield Hostile(f"length-{kind.decode()}-{length:x}.png", content, "refused")
    for kind in (
        b"eXIf",
        b"iCCP",
        b"cHRM",
        b"gAMA",
        b"sBIT",
        b"tRNS",
        b"bKGD",
        b"hIST",
        b"pHYs",
        b"sPLT",
        b"tIME",
    ):
        yield Hostile(
            f"junk-{kind.decode()}.png", good[:33] + chunk(kind, b"\xff" * 500) + good[33:], "either"
        )


def _animated(pixels: np.ndarray, good: bytes) -> Iterator[Hostile]:
    """Several pictures in one file: the first counts."""
    animation = cv2.Animation()
    animation.frames, animation.durations = [pixels, 255 - pixels, pixels], np.int32([100, 100, 100])
    whole = bytes(cv2.imencodeanimation(".png", animation)[1])
    yield Hostile("animated.png", whole, "picture")
    yield from truncated("animated.png", whole, "either")
    height, width = pixels.shape[:2]
    for frames, wide, high, x in (
        (1, 1 << 30, 1 << 30, 0),
        (1 << 30, width, height, 0),
        (2, width, height, 1 << 31),
    ):
        control = chunk(b"acTL", struct.pack(">II", frames, 0))
        frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, wide, high, x, 0, 1, 10, 0, 0))
        content = good[:33] + control + frame + good[33:]
        yield Hostile(f"animation-{frames}-{wide}-{x}.png", content, "either")
