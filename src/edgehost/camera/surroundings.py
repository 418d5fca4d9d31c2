"""What the tag lies on: a white field, and the grey bars of the jig above and below."""

import cv2
import numpy as np

from edgehost.camera.canvas import HEIGHT, WIDTH, Layer, coverage
from edgehost.camera.plate import Picture, Plate

WHITE = 255


def surroundings(rng: np.random.Generator, plate: Plate) -> Picture:
    layer = Layer(WHITE)
    _upper_bar(rng, layer, plate.centre[1] - plate.height / 2 + 8)
    _lower_bar(rng, layer, plate.centre[1] + plate.height / 2 - 8)
    _corner(rng, layer)
    soft = cv2.GaussianBlur(coverage(layer), (0, 0), rng.uniform(0.3, 1.2))
    grain = cv2.resize(rng.normal(0, 3, (HEIGHT // 3, WIDTH // 3)).astype(np.float32), (WIDTH, HEIGHT))
    return np.asarray(np.where(soft < WHITE - 5, soft + grain, soft), np.float32)


def _upper_bar(rng: np.random.Generator, layer: Layer, bottom: float) -> None:
    left = rng.uniform(90, 185)
    right = left + rng.uniform(110, 185)
    layer.band(left, 0, right, bottom, int(rng.uniform(125, 185)))
    if rng.random() < 0.4:  # an upright slot with a dark edge
        slot = rng.uniform(left + 20, right - 50)
        layer.band(slot, 0, slot + rng.uniform(3, 7), bottom, int(rng.uniform(20, 60)))
        layer.band(slot + 6, 0, slot + rng.uniform(20, 40), bottom, WHITE)
    if rng.random() < 0.5:  # lying rails
        _rails(rng, layer, left, right, bottom)


def _rails(rng: np.random.Generator, layer: Layer, left: float, right: float, bottom: float) -> None:
    white_until = rng.uniform(left, right)
    layer.band(left, 0, white_until, bottom, int(rng.uniform(200, 255)))
    for top in np.arange(rng.uniform(2, 8), bottom, rng.uniform(6, 14)):
        layer.band(left, top, right, top + rng.uniform(0.6, 1.6), int(rng.uniform(50, 140)))
    if rng.random() < 0.5:
        layer.band(left, bottom - rng.uniform(12, 22), right, bottom, int(rng.uniform(60, 110)))
        layer.band(right - rng.uniform(15, 40), bottom - 18, right, bottom, WHITE)


def _lower_bar(rng: np.random.Generator, layer: Layer, top: float) -> None:
    left = rng.uniform(100, 240)
    middle, right = left + rng.uniform(10, 100), left + rng.uniform(80, 185)
    layer.band(min(middle, right), top, right, HEIGHT, int(rng.uniform(130, 215)))
    edge = top + rng.uniform(12, 30)
    layer.band(left, edge, right, HEIGHT, int(rng.uniform(75, 215)))
    layer.band(left, edge, right, edge + rng.uniform(0.7, 2), int(rng.uniform(60, 150)))
    if rng.random() < 0.3:
        layer.band(right - rng.uniform(10, 40), edge, right, HEIGHT, WHITE)


def _corner(rng: np.random.Generator, layer: Layer) -> None:
    """Something dark looks in at an upper corner of one picture in four."""
    if rng.random() > 0.25:
        return
    x, y = rng.uniform(20, 150), rng.uniform(2, 8)
    wedge = np.array([[0, -1], [x, -1], [x - 10, y / 2], [0, y]])
    if rng.random() < 0.6:
        wedge[:, 0] = WIDTH - wedge[:, 0]
    layer.fill(wedge, int(rng.uniform(60, 240)))
