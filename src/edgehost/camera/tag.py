"""Pictures of metal luggage tags, made by numbers: the same seed gives the same picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgehost.camera.canvas import HEIGHT, WIDTH, Layer, coverage
from edgehost.camera.marks import Stroke, box_of, random_scratches, random_wear
from edgehost.camera.plate import Picture, Plate, plate_coverage, random_plate, surface
from edgehost.camera.surroundings import surroundings
from edgehost.camera.truth import Box

SCRATCHED = 0.6
JPEG_QUALITY = 95
SCRATCHES = (0.28, 0.46, 0.18, 0.08)
"""How often a scratched tag has one, two, three or four."""


@dataclass(frozen=True, slots=True)
class TagPicture:
    """A picture as a camera writes it, and the truth about it."""

    name: str
    tag: str
    jpeg: bytes
    boxes: tuple[Box, ...]


def generate(count: int, seed: int = 0, scratched: float = SCRATCHED) -> Iterator[TagPicture]:
    """Make `count` pictures, the share `scratched` (0 to 1) of them, by chance, with scratches.

    Picture n is the same for every count. Each shows another tag.
    """
    for number in range(1, count + 1):
        rng = np.random.default_rng((seed, number))
        image, boxes = render_tag(rng, scratched=bool(rng.random() < scratched))
        yield TagPicture(f"tag-{number:04d}.jpg", f"sim-{seed}-{number:04d}", encode(image), tuple(boxes))


def encode(image: NDArray[np.uint8]) -> bytes:
    """JPEG, as the cameras on the line write it."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"cv2 could not encode a picture of shape {image.shape} as JPEG")
    return bytes(data)


def render_tag(rng: np.random.Generator, scratched: bool) -> tuple[NDArray[np.uint8], list[Box]]:
    """A tag, photographed: BGR uint8 (300, 450, 3) with equal channels, and a box for each scratch."""
    plate = random_plate(rng)
    scratches = random_scratches(rng, plate, _how_many(rng, scratched))
    metal = surface(rng, plate) + _worn(rng, plate) + _shine(scratches, plate)
    share = plate_coverage(rng, plate)
    scene = share * metal + (1 - share) * surroundings(rng, plate) * np.float32(rng.uniform(1.15, 1.4))
    image = photograph(rng, scene)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), [box_of(stroke, plate) for stroke in scratches]


def _how_many(rng: np.random.Generator, scratched: bool) -> int:
    return 1 + int(rng.choice(len(SCRATCHES), p=SCRATCHES)) if scratched else 0


def _worn(rng: np.random.Generator, plate: Plate) -> Picture:
    """Wear is shallow: its edges are soft."""
    return np.asarray(cv2.GaussianBlur(_shine(random_wear(rng, plate), plate), (0, 0), rng.uniform(0.4, 0.9)))


def _shine(strokes: Sequence[Stroke], plate: Plate) -> Picture:
    """The light that strokes add to the metal."""
    layer = Layer()
    for stroke in sorted(strokes, key=lambda stroke: float(stroke.light.max())):
        layer.discs(plate.to_image(stroke.points), stroke.width, stroke.light)
    return coverage(layer)


def photograph(rng: np.random.Generator, scene: Picture) -> NDArray[np.uint8]:
    """Lens and sensor: blur, glare around what is bright, exposure, noise, saturation."""
    sharp = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.45, 0.8))
    glare = cv2.GaussianBlur(sharp, (0, 0), rng.uniform(4, 8))
    exposed = (sharp + rng.uniform(0.02, 0.06) * (glare - sharp)) * rng.uniform(0.92, 1.1)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 0.5)
    noisy = exposed + rng.uniform(2, 3.6) * grain
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)
