"""How long ONNX files take beside each other, by the detector that ships: all in one run, in turns.

    .venv/bin/python bench/networks.py models/fp32.onnx other.onnx --threads 1 2

Milliseconds a picture from pixels to detections, and of it each stage: medians of the rounds. Then how many times as
fast as the first file, inference alone and all of it: medians of the ratios within a round. Only the ratios carry
over to another machine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from inspector.shell import detector
from inspector.shell.detector import Detector

SAMPLES = Path(__file__).parents[1] / "sample_images"
WARM_UP = 5
STAGES = ("preprocess", "inference", "postprocess")
COLUMNS = ("all", *STAGES, "times_inference", "times_all")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="ONNX", help="the first is the yardstick")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1], metavar="N", help="of ONNX Runtime (1)"
    )
    parser.add_argument("--rounds", type=int, default=200, metavar="N", help="each file once a round (200)")
    parser.add_argument(
        "--images", type=Path, default=SAMPLES, metavar="DIR", help="of JPEGs (sample_images)"
    )
    parser.add_argument("--json", action="store_true", help="one object a line instead of tables")
    arguments = parser.parse_args()
    pictures = [
        np.asarray(cv2.imread(str(path)), np.uint8) for path in sorted(arguments.images.glob("*.jpg"))
    ]
    if not pictures:
        parser.error(f"{arguments.images} holds no .jpg")
    for threads in arguments.threads:
        models = [detector.load(file, threads=threads) for file in arguments.files]
        rows = summarize(measure(models, pictures, arguments.rounds))
        for line in lines(arguments.files, threads, rows, arguments.json):
            print(line)


def measure(models: list[Detector], pictures: list[np.ndarray], rounds: int) -> np.ndarray:
    """(rounds, models, stages) milliseconds. In a round all see one picture, in an order drawn anew."""
    rng = np.random.default_rng(0)
    taken = np.empty((WARM_UP + rounds, len(models), len(STAGES)))
    for turn in range(len(taken)):
        for index in rng.permutation(len(models)):
            latency = models[index].detect(pictures[turn % len(pictures)])[1]
            taken[turn, index] = [getattr(latency, stage) for stage in STAGES]
    return taken[WARM_UP:]


def summarize(taken: np.ndarray) -> list[dict[str, float]]:
    """Of each model the columns' values."""
    taken = np.concatenate([taken.sum(axis=2, keepdims=True), taken], axis=2)
    ratios = taken[:, :1] / taken
    medians, times = np.median(taken, axis=0), np.median(ratios, axis=0)
    return [
        dict(zip(COLUMNS, np.round([*own, faster[2], faster[0]], 3).tolist(), strict=True))
        for own, faster in zip(medians, times, strict=True)
    ]


def lines(files: list[Path], threads: int, rows: list[dict[str, float]], as_json: bool) -> list[str]:
    """As text."""
    if as_json:
        return [
            json.dumps({"file": str(file), "threads": threads, **row})
            for file, row in zip(files, rows, strict=True)
        ]
    width = max(len(str(file)) for file in files)
    head = f"{f'{threads} thread' + 's' * (threads > 1):<{width}}" + "".join(
        f"{name:>17}" for name in COLUMNS
    )
    body = [
        f"{file!s:<{width}}" + "".join(f"{row[name]:>17.3f}" for name in COLUMNS)
        for file, row in zip(files, rows, strict=True)
    ]
    return [head, *body, ""]


if __name__ == "__main__":
    main()
