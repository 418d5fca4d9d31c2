"""The shipped model on the real pictures, where they are: not part of the repository, so elsewhere this is left out.

Set METAL_TAGS to a directory with ``labels.csv`` and ``images/``.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

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
