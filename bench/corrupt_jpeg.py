"""How many damaged JPEGs are refused, by kind, and at what cost: ``bench/corrupt_jpeg.py sample_images/*.jpg``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from inspector.core.frame import FrameError, _check_jpeg, decode

_END = b"\xff\xd9"
Damage = Callable[[bytes, int, np.random.Generator], bytes]
"""Picture, a place in its data, randomness -> the damaged picture."""

DAMAGES: dict[str, Damage] = {
    "none": lambda data, _place, _rng: data,
    "cut": lambda data, place, _rng: data[:place],
    "cut, end marker appended": lambda data, place, _rng: data[:place] + _END,
    "4 KiB of zeros": lambda data, place, _rng: _overlaid(data, place, bytes(4096)),
    "512 zeros": lambda data, place, _rng: _overlaid(data, place, bytes(512)),
    "64 zeros": lambda data, place, _rng: _overlaid(data, place, bytes(64)),
    "512 bytes of noise": lambda data, place, rng: _overlaid(data, place, rng.bytes(512)),
    "512 bytes gone": lambda data, place, _rng: data[:place] + data[place + 512 :],
    "cut, another picture behind": lambda data, place, _rng: data[:place] + data,
    "whole, another picture behind": lambda data, _place, _rng: data + data,
    "one bit flipped": lambda data, place, rng: _overlaid(
        data, place, bytes([data[place] ^ 1 << rng.integers(8)])
    ),
}


def _overlaid(data: bytes, place: int, content: bytes) -> bytes:
    return (data[:place] + content)[: len(data)] + data[place + len(content) :]


def _progressive(data: bytes) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])


def _is_refused(data: bytes) -> bool:
    try:
        decode(data, "apply", 50)
    except FrameError:
        return True
    return False


def _refused(pictures: list[bytes], damage: Damage) -> float:
    rng = np.random.default_rng(0)
    places = [int(len(data) * rng.uniform(0.2, 0.95)) for data in pictures]
    found = [_is_refused(damage(data, place, rng)) for data, place in zip(pictures, places, strict=True)]
    return 100 * sum(found) / len(found)


def _milliseconds(call: Callable[[bytes], object], pictures: list[bytes]) -> float:
    started = time.perf_counter()
    for data in pictures:
        call(data)
    return 1000 * (time.perf_counter() - started) / len(pictures)


def main() -> None:
    """Print a line for each kind of damage, then the times."""
    baseline = [Path(name).read_bytes() for name in sys.argv[1:]]
    progressive = [_progressive(data) for data in baseline]
    print(f"{len(baseline)} pictures; refused, in percent: as they are, as progressive JPEGs")
    for name, damage in DAMAGES.items():
        print(f"{name:32}{_refused(baseline, damage):8.1f}{_refused(progressive, damage):8.1f}")
    print(f"check: {_milliseconds(_check_jpeg, baseline):.2f} ms a picture")
    print(f"check and decoding: {_milliseconds(lambda data: decode(data, 'apply', 50), baseline):.2f} ms")


if __name__ == "__main__":
    main()
