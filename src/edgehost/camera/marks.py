"""Marks on the metal: scratches, which are defects and have a box, and wear, which has none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehost.camera.canvas import HEIGHT, WIDTH
from edgehost.camera.plate import Plate
from edgehost.camera.truth import Box

Path = NDArray[np.float64]

SPACING_PX = 0.4
"""Between the discs that make a stroke."""
VISIBLE = 30
"""Grey levels over the metal from which a mark counts as seen; wear stays mostly below."""
MARGIN_PX = 3
"""Between a scratch and its box: what people leave when they draw boxes."""
SCRATCH = 0
"""Class id."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line of N discs on the plate: `points` (N, 2) in plate px, `width` (N,) in px, and `light` (N,),
    the grey levels, 0 to 255, that it adds to the metal."""

    points: Path
    width: NDArray[np.float64]
    light: NDArray[np.float64]


def box_of(stroke: Stroke, plate: Plate) -> Box:
    """The box around what can be seen of a stroke, with a margin, inside the image."""
    seen = stroke.light >= VISIBLE
    points, reach = plate.to_image(stroke.points[seen]), stroke.width[seen, None] / 2 + MARGIN_PX
    left, top = np.maximum(0, np.floor((points - reach).min(axis=0)))
    right, bottom = np.minimum((WIDTH, HEIGHT), np.ceil((points + reach).max(axis=0)))
    return Box(SCRATCH, int(left), int(top), int(right - left), int(bottom - top))


def random_scratches(rng: np.random.Generator, plate: Plate, count: int) -> list[Stroke]:
    """Scratches of random kinds. They may cross, but seldom do: each is the one of three tries that
    overlaps the others least."""
    scratches: list[Stroke] = []
    for _ in range(count):
        boxes = [box_of(other, plate) for other in scratches]
        tries = [_random_scratch(rng, plate) for _ in range(3)]
        overlaps = [sum(_overlap(box_of(stroke, plate), box) for box in boxes) for stroke in tries]
        scratches.append(tries[int(np.argmin(overlaps))])
    return scratches


def _overlap(a: Box, b: Box) -> int:
    """Pixels that two boxes share."""
    across = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    down = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    return max(0, across) * max(0, down)


def _random_scratch(rng: np.random.Generator, plate: Plate) -> Stroke:
    kind = KINDS[rng.choice(len(KINDS), p=WEIGHTS)]
    while True:
        stroke = kind(rng, _anywhere(rng, plate, 30))
        if _on_plate(stroke.points, plate):
            return stroke


def _gouge(rng: np.random.Generator, start: Path) -> Stroke:
    """A deep bright line with rough edges."""
    points = _curve(rng, start, rng.uniform(45, 200), bend=rng.normal(0, 0.25))
    n = len(points)
    width = rng.uniform(1.5, 3.8) * (1 + 0.2 * _wander(rng, n, 2)) * _tapered(n, 10)
    light = rng.uniform(130, 250) * (1 + rng.uniform(0.1, 0.45) * _wander(rng, n, 3)) * _fading(rng, n)
    return Stroke(points, np.maximum(0.7, width), _lit(light))


def _chatter(rng: np.random.Generator, start: Path) -> Stroke:
    """A tool that stuck and slipped: bright beads on a dim line."""
    points = _curve(rng, start, rng.uniform(45, 170), bend=rng.normal(0, 0.15))
    n = len(points)
    beads = _wander(rng, n, rng.uniform(1.5, 4.5)) > rng.uniform(-0.4, 0.5)
    light = np.where(beads, rng.uniform(110, 240), rng.uniform(35, 100)) * (1 + 0.25 * _wander(rng, n, 5))
    width = rng.uniform(1.2, 2.6) * np.where(beads, 1.2, 0.85) * (1 + 0.15 * _wander(rng, n, 3))
    return Stroke(points, np.maximum(0.7, width), _lit(light * _fading(rng, n)))


def _broken(rng: np.random.Generator, start: Path) -> Stroke:
    """A gouge that the tool left and met again."""
    whole = _gouge(rng, start)
    gaps = _wander(rng, len(whole.points), 14) > 0.9
    gaps[: len(gaps) // 8] = gaps[-len(gaps) // 8 :] = False
    return Stroke(whole.points, whole.width, np.where(gaps, whole.light * 0.08, whole.light))


def _nick(rng: np.random.Generator, start: Path) -> Stroke:
    """Short and bright."""
    points = _curve(rng, start, rng.uniform(12, 40), bend=rng.normal(0, 0.2))
    n = len(points)
    width = rng.uniform(1.5, 3) * (1 + 0.2 * _wander(rng, n, 4)) * _tapered(n, 8)
    return Stroke(
        points, np.maximum(0.7, width), _lit(rng.uniform(110, 240) * (1 + 0.3 * _wander(rng, n, 6)))
    )


def _hairline(rng: np.random.Generator, start: Path) -> Stroke:
    """Long, thin and faint: what people disagree about."""
    points = _curve(rng, start, rng.uniform(50, 190), bend=rng.normal(0, 0.7))
    n = len(points)
    light = rng.uniform(50, 120) * (1 + 0.25 * _wander(rng, n, 10)) * _tapered(n, 25)
    return Stroke(points, np.full(n, rng.uniform(0.9, 1.7)), np.maximum(VISIBLE, _lit(light)))


KINDS: Sequence[Callable[[np.random.Generator, Path], Stroke]] = (_gouge, _chatter, _broken, _nick, _hairline)
WEIGHTS = (0.38, 0.24, 0.18, 0.08, 0.12)


def random_wear(rng: np.random.Generator, plate: Plate) -> list[Stroke]:
    """What use leaves on a good tag too: hairs of light, specks, rubbed patches, a worn hole and edge."""
    amount = rng.gamma(2, 0.5)
    strokes = [_hair(rng, plate) for _ in range(rng.poisson(12 * amount))]
    strokes += [_speck(rng, _anywhere(rng, plate, 4), 18) for _ in range(rng.poisson(18 * amount))]
    for _ in range(rng.poisson(0.9 * amount)):
        strokes += _rubbed(rng, _anywhere(rng, plate, 8), rng.uniform(5, 16), rng.uniform(6, 26))
    strokes += _rubbed(rng, np.array(plate.hole), rng.uniform(9, 13), rng.uniform(6, 26))
    return strokes + _burrs(rng, plate)


def _hair(rng: np.random.Generator, plate: Plate) -> Stroke:
    points = _curve(rng, _anywhere(rng, plate, 4), rng.gamma(1.5, 26), bend=rng.normal(0, 0.5))
    n = len(points)
    patchy = 1 + rng.uniform(0.2, 1.2) * _wander(rng, n, rng.uniform(2, 9))
    light = min(rng.exponential(10) + 5, 30) * patchy * _tapered(n, 20)
    return Stroke(points, np.full(n, rng.uniform(0.9, 2.4)), np.minimum(_lit(light), 45))


def _speck(rng: np.random.Generator, at: Path, light: float) -> Stroke:
    return Stroke(at[None], rng.uniform(0.8, 2, 1), _lit(8 + rng.exponential(light, 1)))


def _rubbed(rng: np.random.Generator, centre: Path, spread: float, light: float) -> list[Stroke]:
    """A patch of short strokes and specks, dense in the middle."""
    strokes = []
    for _ in range(rng.integers(15, 50)):
        at = centre + rng.normal(0, spread, 2)
        points = _curve(rng, at, rng.gamma(1.5, 3), bend=rng.normal(0, 1.2))
        shine = np.full(len(points), 4 + rng.exponential(light))
        strokes.append(Stroke(points, np.full(len(points), rng.uniform(0.8, 1.8)), _lit(shine)))
    return strokes


def _burrs(rng: np.random.Generator, plate: Plate) -> list[Stroke]:
    """Bright nibbles along the edges."""
    count = rng.poisson(rng.uniform(5, 60))
    along = rng.uniform(0, 1, count) * (plate.width, plate.height)[side := rng.integers(0, 2)]
    across = np.abs(rng.normal(0, 1, count))
    if side == 1:
        points = np.stack([plate.width - across, along], axis=1)
    else:
        points = np.stack([along, plate.height - across], axis=1)
    return [_speck(rng, point, 60) for point in points]


def _curve(rng: np.random.Generator, start: Path, length: float, bend: float) -> Path:
    """A path from `start` in a random direction that turns by `bend` radians on its way, with a kink now
    and then, trembling by a fraction of a pixel."""
    n = max(2, int(length / SPACING_PX))
    along = np.linspace(0, 1, n)
    heading = rng.uniform(0, 2 * np.pi) + bend * along
    if rng.random() < 0.3:
        heading += rng.normal(0, 0.2) * (along > rng.uniform(0.3, 0.7))
    steps = SPACING_PX * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    tremble = rng.uniform(0.05, 0.3) * np.stack([_wander(rng, n, 6), _wander(rng, n, 6)], axis=1)
    return np.asarray(start + np.cumsum(steps, axis=0) + tremble)


def _wander(rng: np.random.Generator, n: int, period_px: float) -> NDArray[np.float64]:
    """Smooth noise along a stroke: about normal, turning every `period_px`."""
    knots = rng.normal(0, 1, int(n * SPACING_PX / period_px) + 2)
    return np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)


def _fading(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Light that grows or wanes along a stroke, as the tool pressed."""
    first, last = rng.uniform(0.6, 1, 2)
    return np.linspace(first, last, n)


def _tapered(n: int, ends: int) -> NDArray[np.float64]:
    """Rises to 1 over the first `ends` discs and falls over the last."""
    index = np.arange(n)
    return np.clip((np.minimum(index, n - 1 - index) + 1) / ends, 0.25, 1)


def _lit(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(light, 0, 255)


def _anywhere(rng: np.random.Generator, plate: Plate, margin: float) -> Path:
    return rng.uniform((margin, margin), (plate.width - margin, plate.height - margin))


def _on_plate(points: Path, plate: Plate) -> bool:
    """Whether a path keeps off the plate's edges and its hole."""
    inside = (points > 12).all() and (points < (plate.width - 12, plate.height - 12)).all()
    return bool(inside and np.hypot(*(points - plate.hole).T).min() > plate.hole_radius + 8)
