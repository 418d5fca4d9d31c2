"""Seven pictures of three parts for the detector of bright_detector, and what is to be made of them.

With thresholds of 0.5 and 0.25: one is a true fail of each class, one in review and one an escape where there is a
dent; one passes, one is overkill and one in review where there is none.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bright_detector import CELL_PX, Spot, write_picture

STRONG, WEAK, FAINT = 204, 102, 51
"""Confidences of 0.8, 0.4 and 0.2."""
DENT, RUST = 0, 1


@dataclass(frozen=True)
class Tag:
    """A picture: its part, its labelled cells (column, row, class id) and what is bright in it."""

    part: str
    labels: tuple[tuple[int, int, int], ...]
    spots: tuple[Spot, ...]


TAGS = {
    "found.png": Tag("A", ((1, 1, DENT),), ((1, 1, DENT, STRONG),)),
    "unsure.png": Tag("A", ((2, 2, DENT),), ((2, 2, DENT, WEAK),)),
    "escaped.png": Tag("A", ((3, 3, DENT),), ((3, 3, DENT, FAINT),)),
    "good.png": Tag("B", (), ()),
    "overkill.png": Tag("B", (), ((4, 4, DENT, STRONG),)),
    "doubtful.png": Tag("B", (), ((5, 5, DENT, WEAK),)),
    "rusty.png": Tag("C", ((6, 6, RUST),), ((6, 6, RUST, STRONG),)),
}
MAP50 = ((34 + 33 * 2 / 3 + 34 * 3 / 5) / 101 + 1) / 2
"""Of dents one is found at a precision of 1, two at 2 in 3, three at 3 in 5: 34, 33, 34 points of 101. Of rust 1."""


def write_tags(directory: Path, tags: Iterable[tuple[str, Tag]] = TAGS.items()) -> tuple[Path, Path]:
    """Write ``labels.csv`` and ``images``; return both."""
    labels, images = directory / "labels.csv", directory / "images"
    images.mkdir(parents=True, exist_ok=True)
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "tag", "boxes"])
        for name, tag in tags:
            write_picture(images / name, *tag.spots)
            writer.writerow([name, tag.part, json.dumps([_box(*label) for label in tag.labels])])
    return labels, images


def _box(column: int, row: int, class_id: int) -> dict[str, int]:
    place = {"left": column * CELL_PX, "top": row * CELL_PX, "width": CELL_PX, "height": CELL_PX}
    return {"class_id": class_id, **place}
