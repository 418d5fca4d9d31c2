"""Hostile TIFFs (TIFF 6.0)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from hostile.damage import Hostile, flipped, truncated

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, ROWS, COUNTS = (
    256, 257, 258, 259, 262, 273, 277, 278, 279,
)  # fmt: skip
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SUB_IFD, FORMAT, ORIENTATION = (
    322, 323, 324, 325, 330, 339, 274,
)  # fmt: skip
_SIDE = 16
_DATA = bytes(range(256))
_TAGS = {
    WIDTH: _SIDE,
    HEIGHT: _SIDE,
    BITS: 8,
    COMPRESSION: 1,
    PHOTOMETRIC: 1,
    OFFSETS: 8,
    SAMPLES: 1,
    ROWS: _SIDE,
    COUNTS: len(_DATA),
}


def files(pixels: np.ndarray) -> Iterator[Hostile]:
    """From a picture, (height, width, 3) uint8 BGR."""
    good = bytes(cv2.imencode(".tif", pixels)[1])
    plain = bytes(cv2.imencode(".tif", pixels, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1])
    yield Hostile("good.tif", good, "picture")
    yield Hostile("plain.tif", plain, "picture")
    yield Hostile("16-bit.tif", bytes(cv2.imencode(".tif", pixels.astype(np.uint16) * 257)[1]), "picture")
    yield Hostile("crafted.tif", tiff(), "picture")
    pages = cv2.imencodemulti(".tif", [pixels, 255 - pixels, pixels])[1]
    yield Hostile("pages.tif", bytes(pages), "picture")
    yield from truncated("packed.tif", good, "either")
    yield from truncated("plain.tif", plain, "either")
    directory = struct.unpack_from("<I", good, 4)[0]
    yield from flipped("packed.tif", good, [*range(4, 8), *range(directory, min(directory + 60, len(good)))])
    yield from _tags()
    yield from _directories()


def tiff(changes: Mapping[int, int] | None = None, next_ifd: int = 0, count: int | None = None) -> bytes:
    """A grey picture of 16 by 16; every tag is one LONG."""
    tags = sorted((_TAGS | dict(changes or {})).items())
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value & 0xFFFFFFFF) for tag, value in tags)
    number = len(tags) if count is None else count
    offset = 8 + len(_DATA)
    head = struct.pack("<2sHI", b"II", 42, offset)
    return head + _DATA + struct.pack("<H", number) + entries + struct.pack("<I", next_ifd)


def _tags() -> Iterator[Hostile]:
    """Values that no reader should believe."""
    for side in (0, 1, 1 << 16, 1 << 20, 0x7FFFFFFF, -1):
        for tag, name in ((WIDTH, "width"), (HEIGHT, "height")):
            # Rows that are not in the file are missing; a narrower or lower picture is one.
            yield Hostile(f"{name}-{side}.tif", tiff({tag: side}), "either" if side == 1 else "refused")
    yield Hostile("size-absurd.tif", tiff({WIDTH: -1, HEIGHT: -1}), "refused")
    yield Hostile("size-30000.tif", tiff({WIDTH: 30_000, HEIGHT: 30_000}), "refused")
    yield Hostile(
        "size-7000.tif", tiff({WIDTH: 7_000, HEIGHT: 7_000, ROWS: 7_000, COUNTS: 49_000_000}), "either"
    )
    for tag, name in (
        (BITS, "bits"),
        (SAMPLES, "samples"),
        (ROWS, "rows"),
        (COUNTS, "counts"),
        (OFFSETS, "offsets"),
    ):
        for value in (0, 1, 2, 3, 12, 16, 32, 64, 65535, 0x7FFFFFFF, -1):
            yield Hostile(f"{name}-{value}.tif", tiff({tag: value}), "either")
    for value in (6, 9, 10, 34661, 34676, 34712, 34887, 34925, 50000, 50001, 65000, 65535, -1):
        yield Hostile(f"compression-{value}.tif", tiff({COMPRESSION: value}), "refused")
    for value in (2, 3, 4, 5, 7, 8, 32773, 32946):
        yield Hostile(f"compression-{value}.tif", tiff({COMPRESSION: value}), "either")
    for value in (0, *range(2, 9), 32803, 34892, 65535):
        yield Hostile(f"photometric-{value}.tif", tiff({PHOTOMETRIC: value}), "either")
    for value in (0, 2, 3, 4, 5, 6, 65535):
        yield Hostile(f"format-{value}.tif", tiff({FORMAT: value}), "either")
        yield Hostile(f"format-{value}-32.tif", tiff({FORMAT: value, BITS: 32}), "either")
        yield Hostile(f"format-{value}-64.tif", tiff({FORMAT: value, BITS: 64}), "either")
    for value in (0, *range(2, 10), 65535):
        yield Hostile(f"orientation-{value}.tif", tiff({ORIENTATION: value}), "either")
    for width, height in ((0, 0), (16, 16), (1 << 16, 1 << 16), (0x7FFFFFF0, 16), (-16, -16), (17, 3)):
        tiles = {TILE_WIDTH: width, TILE_HEIGHT: height, TILE_OFFSETS: 8, TILE_COUNTS: 256}
        yield Hostile(f"tiles-{width}x{height}.tif", tiff(tiles), "either")


def _directories() -> Iterator[Hostile]:
    """Directories that lie outside the file, follow themselves, or have too many entries."""
    here = 8 + len(_DATA)
    for offset in (0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF):
        yield Hostile(
            f"directory-at-{offset}.tif", struct.pack("<2sHI", b"II", 42, offset) + tiff()[8:], "refused"
        )
    yield Hostile("directory-loop.tif", tiff(next_ifd=here), "either")
    yield Hostile("directory-next-far.tif", tiff(next_ifd=0xFFFFFFF0), "either")
    yield Hostile("sub-directory-loop.tif", tiff({SUB_IFD: here}), "either")
    for count in (0, 1, 5000, 65535):
        yield Hostile(f"tags-{count}.tif", tiff(count=count), "either")
    yield Hostile("big.tif", struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + bytes(64), "refused")
    yield Hostile("big-endian-lie.tif", b"MM\0*" + tiff()[4:], "refused")
    for tag in (BITS, OFFSETS, COUNTS, 270, 34665, 34675, 320):
        for kind, count in ((2, 0xFFFFFFFF), (4, 0x40000000), (12, 0x20000001), (0, 1), (65535, 1)):
            entry = struct.pack("<HHI", tag, kind, count)
            content = tiff({tag: 8}).replace(struct.pack("<HHI", tag, 4, 1), entry)
            yield Hostile(f"tag-{tag}-{kind}-{count:x}.tif", content, "either")
    pages = b"".join(tiff(next_ifd=0)[8:] for _ in range(3))
    yield Hostile("pages-unlinked.tif", tiff() + pages, "picture")
