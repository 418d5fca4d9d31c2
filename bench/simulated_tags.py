"""How a model judges simulated tags: close to real ones if a model trained on real ones judges them well."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from edgehost.camera import Box, generate
from inspector.core.geometry import intersection_over_union
from inspector.shell.detector import Detector, load

FAIL, REVIEW = 0.5, 0.25
EXAMPLE = "example:\n  python bench/simulated_tags.py --model bootstrap.onnx --count 200 --seed 1006"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="package or ONNX file")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1006)
    arguments = parser.parse_args()
    print(report(load(arguments.model), arguments.count, arguments.seed))


def report(detector: Detector, count: int, seed: int) -> str:
    good, scratched, found = [], [], []
    for picture in generate(count, seed):
        pixels = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
        detections, _ = detector.detect(pixels)
        (scratched if picture.boxes else good).append(max(detections.confidences, default=0))
        seen = detections.boxes[detections.confidences >= REVIEW]
        found += [best_overlap(box, seen) >= 0.3 for box in picture.boxes]
    return (
        f"scratched tags: {share(scratched)}\ngood tags: {share(good)}\n"
        f"scratches found with an IoU of 0.3 or more: {sum(found)} of {len(found)}"
    )


def best_overlap(box: Box, boxes: np.ndarray) -> float:
    corners = np.array([box.left, box.top, box.left + box.width, box.top + box.height], np.float32)
    return float(max(intersection_over_union(corners, boxes), default=0))


def share(confidences: list[float]) -> str:
    failed, seen = (sum(c >= least for c in confidences) for least in (FAIL, REVIEW))
    return f"{failed} fail, {seen - failed} review, {len(confidences) - seen} pass"


if __name__ == "__main__":
    main()
