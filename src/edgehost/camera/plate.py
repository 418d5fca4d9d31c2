"""The tag itself: where it lies in the picture, its outline and hole, its brushed surface."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgehost.camera.canvas import HEIGHT, WIDTH, Layer, coverage

Picture = NDArray[np.float32]
"""Grey levels, (HEIGHT, WIDTH); 255 is what the sensor saturates at, more is allowed before it."""


@dataclass(frozen=True, slots=True)
class Plate:
    """A rectangle with cut or round corners; its own coordinates start at its top left corner, in px."""

    centre: tuple[float, float]
    width: float
    height: float
    angle: float  # radians
    corner: float
    hole: tuple[float, float]
    hole_radius: float

    def to_image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Plate coordinates (N, 2) to image coordinates."""
        sine, cosine = np.sin(self.angle), np.cos(self.angle)
        middle = points - np.array([self.width, self.height]) / 2
        turned = middle @ np.array([[cosine, sine], [-sine, cosine]])
        return np.asarray(turned + np.array(self.centre))


def random_plate(rng: np.random.Generator) -> Plate:
    width, height = rng.uniform(396, 412), rng.uniform(250, 268)
    inset_x, inset_y = rng.uniform(25, 31), rng.uniform(26, 33)
    # Nearly always top left; a few tags lie the other way round.
    corner = rng.choice(4, p=[0.85, 0.05, 0.05, 0.05])
    hole = (
        inset_x if corner in (0, 2) else width - inset_x,
        inset_y if corner in (0, 1) else height - inset_y,
    )
    return Plate(
        centre=(rng.uniform(217, 242), rng.uniform(142, 168)),
        width=width,
        height=height,
        angle=float(np.deg2rad(np.clip(rng.normal(0, 0.8), -3, 3))),
        corner=rng.uniform(4, 10),
        hole=hole,
        hole_radius=rng.uniform(8.2, 10.2),
    )


def plate_coverage(rng: np.random.Generator, plate: Plate) -> Picture:
    """The share of each pixel that is metal, 0 to 1."""
    layer = Layer()
    layer.fill(plate.to_image(_outline(rng, plate)), 255)
    layer.fill(plate.to_image(_hole(rng, plate)), 0)
    return coverage(layer) / np.float32(255)


def _outline(rng: np.random.Generator, plate: Plate) -> NDArray[np.float64]:
    """The edge as the saw left it: a fraction of a pixel rough, corners from cut to round."""
    w, h, c = plate.width, plate.height, plate.corner
    bulge = rng.uniform(0, 0.3) * c  # 0 cuts the corner straight, 0.3 rounds it
    xs = np.array([c, w - c, w - bulge, w, w, w - bulge, w - c, c, bulge, 0, 0, bulge])
    ys = np.array([0, 0, bulge, c, h - c, h - bulge, h, h, h - bulge, h - c, c, bulge])
    corners = np.stack([xs, ys], axis=1)
    steps = np.linspace(0, 1, 40, endpoint=False)[:, None]
    following = np.roll(corners, -1, axis=0)
    edge = np.concatenate([a + (b - a) * steps for a, b in zip(corners, following, strict=True)])
    return edge + rng.normal(0, 0.12, edge.shape)


def _hole(rng: np.random.Generator, plate: Plate) -> NDArray[np.float64]:
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    radii = plate.hole_radius + rng.normal(0, 0.3, turns.shape)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return np.asarray(np.array(plate.hole) + radii[:, None] * circle)


def surface(rng: np.random.Generator, plate: Plate) -> Picture:
    """The bare metal's grey levels over the whole picture: light, brushing, shadow, smudges."""
    level = rng.uniform(78, 108) + _light(rng) + _mottle(rng) + _brushing(rng, plate)
    shade = _shadow(rng, plate) + _smudges(rng)
    return (level + shade).astype(np.float32)


def _light(rng: np.random.Generator) -> Picture:
    x = np.linspace(-0.5, 0.5, WIDTH, dtype=np.float32)[None, :]
    y = np.linspace(-0.5, 0.5, HEIGHT, dtype=np.float32)[:, None]
    slope = rng.uniform(-6, 18) * x + rng.uniform(-6, 8) * y - rng.uniform(0, 14) * x * x
    clouds = rng.normal(0, rng.uniform(0.5, 2), (5, 7)).astype(np.float32)
    return np.asarray(slope + cv2.resize(clouds, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))


def _mottle(rng: np.random.Generator) -> Picture:
    """Blotches of a few pixels."""
    blotches = rng.normal(0, rng.uniform(0.4, 1.6), (HEIGHT // 8, WIDTH // 8)).astype(np.float32)
    return np.asarray(cv2.resize(blotches, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))


def _brushing(rng: np.random.Generator, plate: Plate) -> Picture:
    """Streaks along the plate: noise that is long in one direction, turned with the plate."""
    streaks = rng.normal(0, 1, (HEIGHT, WIDTH // 12)).astype(np.float32)
    long = cv2.resize(streaks, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), -np.rad2deg(plate.angle), 1)
    turned = cv2.warpAffine(long, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(rng.uniform(0.2, 1.9) * cv2.GaussianBlur(turned, (0, 0), 0.6))


def _shadow(rng: np.random.Generator, plate: Plate) -> Picture:
    """The jig's shadow along the left edge, on two in five tags, ending somewhere on the way down."""
    if rng.random() > 0.4:
        return np.zeros((HEIGHT, WIDTH), np.float32)
    border = plate.centre[0] - plate.width / 2 + rng.uniform(5, 20)
    end, soft = rng.uniform(60, 330), rng.uniform(4, 25)
    x, y = np.arange(WIDTH)[None, :], np.arange(HEIGHT)[:, None]
    down = _step((end - y) / soft) if rng.random() < 0.6 else _step((y - end + 100) / soft)
    return np.asarray(-rng.uniform(15, 38) * _step((border - x) / rng.uniform(0.6, 2)) * down, np.float32)


def _smudges(rng: np.random.Generator) -> Picture:
    """Broad soft darker or lighter patches: fingers, oil, reflections."""
    x, y = np.arange(WIDTH)[None, :], np.arange(HEIGHT)[:, None]
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(rng.poisson(0.8)):
        dx, dy = (
            (x - rng.uniform(40, 420)) / rng.uniform(15, 40),
            (y - rng.uniform(30, 280)) / rng.uniform(15, 150),
        )
        total += rng.uniform(-8, 5) * _step(4 * (1 - np.hypot(dx, dy)))
    return total


def _step(value: NDArray[np.floating]) -> NDArray[np.floating]:
    """From 0 to 1, smoothly, around value 0."""
    return np.asarray(0.5 * (1 + np.tanh(value)))
