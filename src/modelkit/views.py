"""Labelled pictures -> views of them: as they are and mirrored, which a network has to judge anew.

Average precision turns on few detections: one that comes out before another by a hair moves it by half a point in a
hundred pictures. Over four times as many views that averages out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from inspector.core.frame import Pixels
from modelkit.labels import LabelledBox, LabelledPicture
from modelkit.predictions import read_pixels


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Pixels, (height, width, 3) uint8 BGR, and the labelled boxes in them."""

    pixels: Pixels
    labels: tuple[LabelledBox, ...]


def views(pictures: Iterable[LabelledPicture]) -> Iterator[View]:
    """Of each picture four: itself, then left for right, top for bottom, and both. Raises PredictionsError."""
    for picture in pictures:
        pixels = read_pixels(picture.path)
        for rows, columns in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            labels = tuple(_labels(picture, pixels.shape, is_upside_down=rows < 0, is_mirrored=columns < 0))
            yield View(np.ascontiguousarray(pixels[::rows, ::columns]), labels)


def _labels(
    picture: LabelledPicture, shape: tuple[int, ...], *, is_upside_down: bool, is_mirrored: bool
) -> Iterator[LabelledBox]:
    height, width = shape[:2]
    for label in picture.labelled_boxes:
        x = width - (label.left + label.width) if is_mirrored else label.left
        y = height - (label.top + label.height) if is_upside_down else label.top
        yield msgspec.structs.replace(label, left=x, top=y)
