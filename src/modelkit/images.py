"""Pictures -> what the device is to know of them, so that it tells when others come."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspector.core.appearance import Appearance, likeness, look
from inspector.core.frame import FrameError
from inspector.core.package import KnownImages, Measure
from modelkit.pixels import decoded

LEAST_COUNT = 10


class ImagesError(Exception):
    """The pictures cannot be measured; says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Margin:
    """How far beyond the pictures a bound lies: half of their range, but at least ``least``."""

    least: float
    is_ratio: bool = False
    """Whether ranges and margins are those of the logarithm."""


MARGINS: dict[Measure, Margin] = {
    "aspect": Margin(0.05, is_ratio=True),
    "megapixels": Margin(0.4, is_ratio=True),
    "brightness": Margin(10),
    "contrast": Margin(5),
    "blue": Margin(5),
    "red": Margin(5),
    "sharpness": Margin(0.2, is_ratio=True),
    "flatness": Margin(0.05),
    "likeness": Margin(0.1),
}


def know(pictures: Sequence[Appearance]) -> KnownImages:
    """Bounds and mean layout of pictures."""
    means = np.mean([each.layout for each in pictures], axis=0)
    layout = tuple(round(float(field), 1) for field in means)
    likenesses = [likeness(each.layout, layout) for each in pictures]
    bounds = {
        measure: _bounds(
            likenesses if measure == "likeness" else [each.measures[measure] for each in pictures], margin
        )
        for measure, margin in MARGINS.items()
    }
    return KnownImages(len(pictures), bounds, layout)


def measure(directories: Iterable[Path]) -> list[Appearance]:
    """Every picture in the directories and below, whatever its name; other files are passed over.

    Raises ImagesError for a picture that the device could not read, and where there are too few of them.
    """
    seen = [look for directory in directories for look in _measure(directory)]
    if len(seen) < LEAST_COUNT:
        raise ImagesError(
            f"{len(seen)} pictures are too few to tell what is usual; give {LEAST_COUNT} or more"
        )
    return seen


def _measure(directory: Path) -> Iterator[Appearance]:
    if not directory.is_dir():
        raise ImagesError(
            f"{directory} is no directory; give one that holds pictures as the camera takes them"
        )
    for path in sorted(each for each in directory.rglob("*") if each.is_file()):
        try:
            yield look(decoded(path.read_bytes()))
        except FrameError as error:
            if error.code != "unsupported":
                raise ImagesError(f"{path}: {error}; take it out") from error


def _bounds(values: Sequence[float], margin: Margin) -> tuple[float, float]:
    low, high = min(values), max(values)
    if not margin.is_ratio:
        by = max((high - low) / 2, margin.least)
        return round(low - by, 4), round(high + by, 4)
    if low <= 0:  # an even picture among them: none is too even
        return 0.0, round(high * math.exp(margin.least), 4)
    by = math.exp(max(math.log(high / low) / 2, margin.least))
    return round(low / by, 4), round(high * by, 4)
