"""The shipped model on the real pictures, where they are: not part of the repository, so elsewhere this is left out.

Set METAL_TAGS to a directory with ``labels.csv`` and ``images/``.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from altered_pictures import ALTERATIONS
from inspector.core.appearance import look, unusual
from inspector.core.frame import Pixels
from inspector.core.package import KnownImages, parse_manifest
from modelkit.images import know

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def judged(real_tags: Path) -> list[tuple[dict, list[dict]]]:
    """Result and labelled boxes of each picture."""
    with (real_tags / "labels.csv").open() as file:
        labels = {row["image"]: json.loads(row["boxes"]) for row in csv.DictReader(file)}
    images = [str(real_tags / "images" / name) for name in sorted(labels)]
    command = [sys.executable, "-m", "inspector", "once", "--model", str(ROOT / "models"), *images]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in run.stdout.splitlines()]
    return [(result, labels[result["image"]["name"]]) for result in results]


def overlap(found: dict, box: dict) -> float:
    """Intersection over union."""
    width = min(found["left"] + found["width"], box["left"] + box["width"]) - max(found["left"], box["left"])
    height = min(found["top"] + found["height"], box["top"] + box["height"]) - max(found["top"], box["top"])
    shared = max(width, 0) * max(height, 0)
    return shared / (found["width"] * found["height"] + box["width"] * box["height"] - shared)


def test_scratches_are_found(judged: list[tuple[dict, list[dict]]]):
    """Nearly every scratched tag is a fail or a review, and most labelled scratches lie under a detection."""
    scratched = [(result, boxes) for result, boxes in judged if boxes]
    caught = sum(result["verdict"] != "pass" for result, _ in scratched)
    boxes = [(box, result["detections"]) for result, boxes in scratched for box in boxes]
    found = sum(any(overlap(each, box) >= 0.5 for each in detections) for box, detections in boxes)
    assert (len(judged), len(scratched), len(boxes)) == (191, 188, 391)
    assert caught / len(scratched) >= 0.95
    assert found / len(boxes) >= 0.85


@pytest.fixture(scope="module")
def known() -> KnownImages:
    """What the shipped package knows."""
    images = parse_manifest((ROOT / "models" / "manifest.json").read_bytes()).images
    assert images
    return images


def read(path: Path) -> Pixels:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8)


def test_no_real_picture_is_unusual(real_tags: Path, known: KnownImages):
    """Neither the labelled ones nor the others, some of which were turned and brightened."""
    paths = [*(real_tags / "images").iterdir(), *(real_tags / "unlabelled").iterdir()]
    assert len(paths) == 205
    assert {path.name: words for path in paths if (words := unusual(look(read(path)), known))} == {}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_real_picture_is_unusual(real_tags: Path, known: KnownImages, alteration: str):
    """One of every ten, altered as a camera or a conveyor might."""
    paths = sorted((real_tags / "images").iterdir())[::10]
    passed = [path.name for path in paths if not unusual(look(ALTERATIONS[alteration](read(path))), known)]
    assert (len(paths), passed) == (20, [])


def test_pictures_of_other_tags_are_not_unusual(real_tags: Path):
    """Of tags that the bounds were not made of, fewer than one picture in a hundred: four tags at a time."""
    with (real_tags / "labels.csv").open() as file:
        tags = {row["image"]: row["tag"] for row in csv.DictReader(file)}
    seen = {name: look(read(real_tags / "images" / name)) for name in tags}
    alarms = []
    for first in range(4):
        left_out = set(sorted(set(tags.values()))[first::4])
        bounds = know([seen[name] for name, tag in tags.items() if tag not in left_out])
        alarms += [bool(unusual(seen[name], bounds)) for name, tag in tags.items() if tag in left_out]
    assert len(alarms) == 191
    assert sum(alarms) / len(alarms) < 0.01
