"""How many pictures of other parts are told as unusual, how many altered ones, and at what cost.

    PYTHONPATH=tests python bench/unusual_images.py DIRECTORY [--left-out 4]

The directory holds ``images/`` and ``labels.csv``, whose column ``tag`` says which part a picture shows. Bounds are
made of all parts but four, for every choice of four, and the pictures of those four are held against them, as they
are, altered as in the tests, and altered less.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from altered_pictures import ALTERATIONS
from inspector.core.appearance import Appearance, checksum, look, unusual
from inspector.core.frame import Pixels
from modelkit.images import know

EVERY = 8
"""Altered is one picture of so many."""
LESSER: dict[str, Callable[[Pixels], Pixels]] = {
    "blurred by 0.2 % of width": lambda pixels: blur(pixels, 0.002),
    "blurred by 0.3 % of width": lambda pixels: blur(pixels, 0.003),
    "blurred by 0.4 % of width": lambda pixels: blur(pixels, 0.004),
    "moved by 1 % of width": lambda pixels: cv2.blur(pixels, (round(0.01 * pixels.shape[1]), 1)),
    "half as bright": lambda pixels: pixels // 2,
    "twice as bright": lambda pixels: cv2.convertScaleAbs(pixels, alpha=2),
    "lowest quarter grey": lambda pixels: cut(pixels, 3 / 4),
    "lowest tenth grey": lambda pixels: cut(pixels, 9 / 10),
    "shifted by half the width": lambda pixels: np.roll(pixels, pixels.shape[1] // 2, axis=1),
    "shifted by a quarter": lambda pixels: np.roll(pixels, pixels.shape[1] // 4, axis=1),
}


def blur(pixels: Pixels, share: float) -> Pixels:
    return cv2.GaussianBlur(pixels, (0, 0), share * pixels.shape[1])


def cut(pixels: Pixels, share: float) -> Pixels:
    filled = pixels.copy()
    filled[int(share * len(pixels)) :] = 128
    return filled


KINDS = {"none": lambda pixels: pixels, **ALTERATIONS, **LESSER}


def read(directory: Path) -> dict[str, list[Pixels]]:
    """Pictures by the part that they show."""
    by_part: dict[str, list[Pixels]] = {}
    with (directory / "labels.csv").open() as file:
        for row in csv.DictReader(file):
            pixels = np.asarray(cv2.imread(str(directory / "images" / row["image"])), np.uint8)
            by_part.setdefault(row["tag"], []).append(pixels)
    return by_part


def altered(by_part: dict[str, list[Pixels]], kind: str) -> dict[str, list[Appearance]]:
    step = 1 if kind == "none" else EVERY
    return {
        part: [look(KINDS[kind](each)) for each in pictures[::step]] for part, pictures in by_part.items()
    }


def told(by_part: dict[str, list[Pixels]], count: int) -> Counter[tuple[str, bool]]:
    """For each kind of alteration, how many pictures were unusual and how many were not, all choices together."""
    seen = {kind: altered(by_part, kind) for kind in KINDS}
    counts: Counter[tuple[str, bool]] = Counter()
    for left_out in combinations(by_part, count):
        known = know([each for part in by_part if part not in left_out for each in seen["none"][part]])
        for kind, parts in seen.items():
            counts.update((kind, bool(unusual(each, known))) for part in left_out for each in parts[part])
    return counts


def microseconds(call: Callable[[Pixels], object], pixels: Pixels) -> float:
    times = []
    for _ in range(50):
        started = time.perf_counter()
        call(pixels)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--left-out", type=int, default=4, metavar="PARTS")
    arguments = parser.parse_args()
    by_part = read(arguments.directory)
    counts = told(by_part, arguments.left_out)
    print(
        f"told as unusual: pictures of {arguments.left_out} of {len(by_part)} parts, bounds made of the others"
    )
    for kind in KINDS:
        total = counts[kind, True] + counts[kind, False]
        print(f"{kind:28}{100 * counts[kind, True] / total:8.2f} % of {total}")
    pixels = next(iter(by_part.values()))[0]
    for each in (pixels, cv2.resize(pixels, (4200, 2800))):
        took = [microseconds(call, each) for call in (look, checksum)]
        print(f"{each.shape[1]}x{each.shape[0]}: look {took[0]:.0f} us, checksum {took[1]:.0f} us")


if __name__ == "__main__":
    main()
