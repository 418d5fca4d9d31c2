"""How far apart pictures of one part and pictures of different parts are, for the threshold of ``modelkit dataset``.

    .venv/bin/python bench/twins.py --labels tags/labels.csv

Correlations of fine structure, of all pairs: the highest between different parts, and of each picture the highest
with another of its part. A threshold that tells twins lies between them.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from rich.console import Console
from rich.progress import track

from modelkit import source
from modelkit.fingerprint import Structure, take
from modelkit.twins import correlations


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source.add_arguments(parser)
    pictures, _ = source.read(parser.parse_args())
    parts = np.array([picture.part for picture in pictures])
    correlated = measure([take(picture.path).structure for picture in pictures])
    is_same = parts[:, None] == parts
    different = np.where(is_same, -1, correlated)
    pairs = correlated[np.triu(~is_same)]
    one, other = np.unravel_index(different.argmax(), different.shape)
    print(
        f"different parts: {len(pairs)} pairs, 99.9 % up to {np.percentile(pairs, 99.9):.2f}, highest "
        f"{different.max():.2f}: {pictures[one].path.name} and {pictures[other].path.name}"
    )
    nearest = np.where(is_same, correlated, -1).max(axis=1)
    nearest = nearest[nearest > -1]
    if len(nearest):
        low = np.percentile(nearest, [0, 5, 50])
        print("the most alike of its part: lowest {:.2f}, 5 % up to {:.2f}, half up to {:.2f}".format(*low))


def measure(structures: list[Structure]) -> np.ndarray:
    """(N, N) correlations; of each picture with itself -1."""
    stacked = np.stack(structures)
    found = np.full((len(stacked), len(stacked)), -1, np.float32)
    for number in track(
        range(1, len(stacked)), "comparing", console=Console(file=sys.stderr), transient=True
    ):
        for start in range(0, number, 64):
            others = slice(start, min(start + 64, number))
            found[number, others] = found[others, number] = correlations(stacked[number], stacked[others])
    return found


if __name__ == "__main__":
    main()
