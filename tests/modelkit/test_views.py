"""A picture is judged in four views, in each of which its labels lie where they belong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from modelkit.labels import LabelledPicture
from modelkit.views import views

WIDTH, HEIGHT = 60, 40
BOXES = [[5, 4, 15, 10], [30, 20, 34, 39]]
"""Left, top, right, bottom."""


def test_labels_are_mirrored_with_the_pixels(tmp_path: Path) -> None:
    """A labelled box is painted in the grey of its class: in every view it holds all of that grey, and no other."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for class_id, (left, top, right, bottom) in enumerate(BOXES):
        pixels[top:bottom, left:right] = 100 * (1 + class_id)
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), pixels)
    picture = LabelledPicture(path, "A", np.array(BOXES, np.float32), np.arange(len(BOXES)))
    seen = list(views([picture]))
    assert len({view.pixels.tobytes() for view in seen}) == 4
    for view in seen:
        expected = np.zeros_like(view.pixels)
        for label in view.labels:
            left, top = int(label.left), int(label.top)
            rows, columns = slice(top, top + int(label.height)), slice(left, left + int(label.width))
            expected[rows, columns] = 100 * (1 + label.class_id)
        np.testing.assert_array_equal(view.pixels, expected)
