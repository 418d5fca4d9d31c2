"""Made-up parts of six kinds of mark, photographed in colour: a second problem, that has nothing to do with tags.

Run it to look at them: ``python tests/made_up_parts.py DIR [COUNT [SEED]]``.
"""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("dot", "ring", "cross", "bar", "square", "triangle")
WIDTH, HEIGHT = 240, 320
"""Of a picture, in pixels: upright, unlike those of tags."""
PICTURES_PER_PART = 4
_COLOURS = ((40, 40, 220), (230, 230, 230), (30, 200, 240), (20, 20, 20), (200, 60, 200), (230, 160, 20))
"""BGR of each kind of mark."""
_CELL = 80
"""Each mark has a cell of the part to itself, so that none hides another."""

_ROOM = 6
"""By how much a part may lie off the middle, in pixels."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Mark:
    """A mark on a part: where its middle is and how far it reaches, in pixels."""

    class_id: int
    x: float
    y: float
    reach: float
    angle: float


def make(directory: Path, count: int, seed: int = 0) -> Path:
    """Write ``count`` pictures into ``directory/images``, ``classes.txt`` and ``labels.csv``; return the last.

    Four pictures show one part, shifted a little and in other light. The same count and seed give the same bytes.
    """
    (directory / "images").mkdir(parents=True)
    (directory / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    with (directory / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "tag", "boxes"))
        for number in range(count):
            part = number // PICTURES_PER_PART
            picture, boxes = photograph(seed, part, number % PICTURES_PER_PART)
            name = f"part-{part:03d}-{number % PICTURES_PER_PART}.jpg"
            cv2.imwrite(str(directory / "images" / name), picture)
            rows.writerow((name, f"part-{part:03d}", json.dumps(boxes)))
    return directory / "labels.csv"


def photograph(seed: int, part: int, shot: int) -> tuple[Picture, list[dict[str, int]]]:
    """One picture (HEIGHT, WIDTH, 3) of a part, and the boxes as labels.csv has them."""
    whole, boxes = _part(np.random.default_rng([seed, part]))
    random = np.random.default_rng([seed, part, shot])
    x, y = (int(each) for each in random.integers(0, 2 * _ROOM + 1, 2))
    seen = whole[y : y + HEIGHT, x : x + WIDTH]
    lit = seen * random.uniform(0.8, 1.15) + random.normal(0, 2, seen.shape)
    moved = [box | {"left": box["left"] - x, "top": box["top"] - y} for box in boxes]
    return np.clip(lit, 0, 255).astype(np.uint8), moved


def _part(random: np.random.Generator) -> tuple[Picture, list[dict[str, int]]]:
    """The whole of a part: grained, of a colour that fades to another, with marks, but for one part in six."""
    shape = (HEIGHT + 2 * _ROOM, WIDTH + 2 * _ROOM, 1)
    top, bottom = random.uniform([90, 100, 70], [140, 150, 110], (2, 3))
    fade = np.linspace(0, 1, shape[0])[:, None, None]
    grain = cv2.GaussianBlur(random.normal(0, 20, shape), (0, 0), 1.2)[..., None]
    picture = (top + (bottom - top) * fade + grain).astype(np.uint8)
    cells = [(x, y) for x in range(WIDTH // _CELL) for y in range(HEIGHT // _CELL)]
    random.shuffle(cells)
    count = 0 if random.random() < 1 / 6 else random.integers(1, 5)
    return picture, [_draw(picture, _mark(cell, random)) for cell in cells[:count]]


def _mark(cell: tuple[int, int], random: np.random.Generator) -> Mark:
    """Some mark, somewhere in a cell."""
    reach = random.uniform(13, 26)
    room = _CELL / 2 - reach - _ROOM
    x, y = _ROOM + (np.array(cell) + 0.5) * _CELL + random.uniform(-room, room, 2)
    return Mark(int(random.integers(len(CLASSES))), x, y, reach, random.uniform(0, 360))


def _draw(picture: Picture, mark: Mark) -> dict[str, int]:
    """Draw a mark, and return the box around what was drawn."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    centre, reach = (round(mark.x), round(mark.y)), round(mark.reach)
    if CLASSES[mark.class_id] == "dot":
        cv2.circle(mask, centre, round(mark.reach * 0.8), 255, cv2.FILLED)
    elif CLASSES[mark.class_id] == "ring":
        cv2.circle(mask, centre, reach - 3, 255, 5)
    else:
        for outline in _outlines(CLASSES[mark.class_id]):
            corners = _turned(outline, mark.angle) * mark.reach + (mark.x, mark.y)
            cv2.fillPoly(mask, [corners.round().astype(np.int32)], 255)
    picture[mask > 0] = _COLOURS[mark.class_id]
    left, top, width, height = cv2.boundingRect(mask)
    return {"class_id": mark.class_id, "left": left, "top": top, "width": width, "height": height}


def _outlines(name: str) -> Iterator[list[tuple[float, float]]]:
    """Corners of the polygons that a mark is made of, within 1 of its middle."""
    if name == "bar":
        yield _rectangle(0.97, 0.2)
    if name == "cross":
        yield from (_rectangle(0.97, 0.15), _rectangle(0.15, 0.97))
    if name == "square":
        yield _rectangle(0.7, 0.7)
    if name == "triangle":
        yield [(0, -1), (0.87, 0.5), (-0.87, 0.5)]


def _rectangle(x: float, y: float) -> list[tuple[float, float]]:
    return [(-x, -y), (x, -y), (x, y), (-x, y)]


def _turned(corners: list[tuple[float, float]], degrees: float) -> NDArray[np.float64]:
    radians = np.deg2rad(degrees)
    turn = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    return np.array(corners) @ turn


if __name__ == "__main__":
    target, *numbers = sys.argv[1:]
    print(make(Path(target), *(int(number) for number in numbers or ["240"])))
