"""The pictures that the camera drops: what each shows, and the verdict on it when nothing disturbs."""

from __future__ import annotations

import itertools
import json
import os
import random
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

_SHIFT_PX = 6
_QUALITY = 92
_SOF = b"\xff\xc0"
UNREADABLE = ("truncated", "empty", "text", "huge")


@dataclass(frozen=True, slots=True)
class Picture:
    """What a file is to hold, and the verdict on it when nothing disturbs."""

    data: bytes
    expected: str
    kind: str = "picture"


class Deck:
    """Pictures, each of another content. Those of one camera repeat their pixels only after all the others."""

    def __init__(self, bases: Sequence[Picture], generator: random.Random) -> None:
        self._bases = bases
        self._random = generator
        self._serials = itertools.count(1)
        self._decks: dict[str, Iterator[Picture]] = {}
        self._lock = threading.Lock()

    def draw(self, camera: str) -> Picture:
        """The next picture of a camera."""
        with self._lock:
            if camera not in self._decks:
                shuffled = self._random.sample(list(self._bases), len(self._bases))
                self._decks[camera] = itertools.cycle(shuffled)
            base = next(self._decks[camera])
            return Picture(_numbered(base.data, next(self._serials)), base.expected)

    def draw_unreadable(self, camera: str) -> Picture:
        """Something that is no picture, or none that can be read."""
        kind = self._random.choice(UNREADABLE)
        data = self.draw(camera).data
        contents = {
            "truncated": data[: len(data) * 6 // 10],
            "empty": b"",
            "text": b"no picture " * 20 + data[6:40],
            "huge": _of_size(data, 60_000, 60_000),
        }
        return Picture(contents[kind], "review", kind)


def variants(samples: Sequence[Path], count: int) -> list[bytes]:
    """So many JPEGs made of the samples, no two of the same pixels: each moved by some pixels, a little brighter."""
    made = []
    for number in range(count):
        sample = samples[number % len(samples)]
        turn = number // len(samples)
        pixels = cv2.imread(os.fspath(sample))
        moved = np.roll(pixels, (turn % _SHIFT_PX, turn // _SHIFT_PX), axis=(0, 1))
        made.append(cv2.imencode(".jpg", moved, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())
    return made


def judged(contents: Sequence[bytes], inspector: Sequence[str | Path], scratch: Path) -> list[Picture]:
    """The pictures with the verdict that ``inspector once`` gives, undisturbed, with the model that will judge."""
    scratch.mkdir(parents=True, exist_ok=True)
    paths = [scratch / f"{number:04}.jpg" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    told = subprocess.run([*inspector, *paths], stdout=subprocess.PIPE, check=True).stdout
    results = [json.loads(line) for line in told.splitlines()]
    verdicts = {result["image"]["name"]: result["verdict"] for result in results}
    return [Picture(data, verdicts[path.name]) for path, data in zip(paths, contents, strict=True)]


def _numbered(data: bytes, serial: int) -> bytes:
    """The same picture with a comment (ITU-T T.81, B.2.4.5), so that no two files are the same."""
    comment = f"frame {serial}".encode()
    return data[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + data[2:]


def _of_size(data: bytes, width: int, height: int) -> bytes:
    """The same file with other dimensions in its header."""
    at = data.index(_SOF) + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]
