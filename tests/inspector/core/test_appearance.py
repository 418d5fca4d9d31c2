"""What a picture looks like as a whole; the sample pictures are usual, and are not once they are altered."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from altered_pictures import ALTERATIONS
from edgehost.camera import generate
from inspector.core.appearance import Appearance, checksum, likeness, look, unusual
from inspector.core.frame import Pixels
from inspector.core.package import KnownImages, parse_manifest

ROOT = Path(__file__).parents[3]
SAMPLES = sorted((ROOT / "sample_images").glob("*.jpg"))
KNOWN = parse_manifest((ROOT / "models" / "manifest.json").read_bytes()).images

TOLD_BY = {
    "black": "brightness",
    "lens cap": "brightness",
    "white": "brightness",
    "overexposed": "contrast",
    "moved along x": "sharpness",
    "moved along y": "sharpness",
    "moved aslant": "sharpness",
    "defocused": "sharpness",
    "out of focus": "sharpness",
    "half the size": "megapixels",
    "twice the size": "megapixels",
    "on its side": "aspect",
    "another aspect": "aspect",
    "empty conveyor": "likeness",
    "nothing but background": "likeness",
    "12 bits in 16": "brightness",
    "a decoder's grey": "flatness",
    "lower half grey": "flatness",
    "lower half black": "flatness",
    "upper half grey": "flatness",
    "blue light": "blue",
    "yellow light": "blue",
}


def read(path: Path) -> Pixels:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8)


def grey(level: int, *size: int) -> Pixels:
    return np.full((*size, 3), level, np.uint8)


def measured(seen: Appearance) -> tuple[float, ...]:
    return tuple(seen.measures.values())


def test_no_sample_and_no_golden_picture_is_unusual() -> None:
    """The golden picture under red light excepted: it is altered, to be told from others."""
    golden = sorted((ROOT / "models" / "golden").glob("*.jpg"))
    assert len(SAMPLES) == 16 and len(golden) == 4
    assert {path.name: unusual(look(read(path)), KNOWN) for path in [*SAMPLES, *golden]} == {
        path.name: () for path in [*SAMPLES, *golden]
    }
    assert unusual(look(read(ROOT / "models" / "golden" / "red-light.png")), KNOWN)


def test_what_the_simulated_camera_takes_is_not_unusual() -> None:
    """Whatever the seed: none of these is among the pictures that the model knows."""
    pictures = [np.frombuffer(each.jpeg, np.uint8) for each in generate(60, seed=4711)]
    assert [unusual(look(cv2.imdecode(each, cv2.IMREAD_COLOR)), KNOWN) for each in pictures] == [()] * 60


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_an_altered_sample_is_unusual(alteration) -> None:
    """Every sample, and by the measure that is there for it."""
    for path in SAMPLES:
        words = unusual(look(ALTERATIONS[alteration](read(path))), KNOWN)
        assert TOLD_BY[alteration] in {each.split()[0] for each in words}, path.name


def test_the_words_tell_measure_value_and_bounds() -> None:
    """In three digits, for a person who sets up a camera."""
    known = KnownImages(1, {"brightness": (0.12345, 99.0), "contrast": (0.0, 1.0)}, (0.0,) * 54)
    assert unusual(look(grey(100, 20, 30)), known) == ("brightness 100, known 0.123 to 99",)


@pytest.mark.parametrize(("level", "is_unusual"), [(49, True), (50, False), (60, False), (61, True)])
def test_a_bound_is_usual_itself(level, is_unusual) -> None:
    """What lies beyond it is not."""
    known = KnownImages(1, {"brightness": (50.0, 60.0)}, (0.0,) * 54)
    assert bool(unusual(look(grey(level, 20, 30)), known)) == is_unusual


def test_without_bounds_nothing_is_unusual() -> None:
    """A measure that a package leaves out is not looked at."""
    assert unusual(look(grey(0, 1, 1)), KnownImages(1, {}, (0.0,) * 54)) == ()


def test_the_measures_of_an_even_picture() -> None:
    """Orange, 200 by 100 pixels: no contrast, nothing sharp, everything flat."""
    seen = look(np.full((100, 200, 3), (0, 100, 250), np.uint8))
    assert seen.measures == {
        "aspect": 2.0,
        "megapixels": 0.02,
        "brightness": pytest.approx(133, abs=1),
        "contrast": 0.0,
        "blue": -100.0,
        "red": 150.0,
        "sharpness": 0.0,
        "flatness": 1.0,
    }
    assert seen.layout == (seen.measures["brightness"],) * 54


def test_the_layout_is_row_by_row() -> None:
    """A picture that is white in its upper left ninth and third."""
    pixels = grey(0, 180, 270)
    pixels[:30, :60] = 255
    white = [index for index, level in enumerate(look(pixels).layout) if level > 200]
    assert white == [0, 1]


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (2, 3)])
def test_a_picture_of_any_size_is_measured(size) -> None:
    """However odd; that it is odd is told by its aspect."""
    assert np.isfinite(measured(look(grey(128, *size)))).all()
    assert unusual(look(grey(128, *size)), KNOWN)


@pytest.mark.parametrize("scale", [2, 3, 9])
def test_a_higher_resolution_of_the_same_looks_the_same(scale) -> None:
    """But for its size: brightness and contrast to one grey level, sharpness and flatness to a fifth."""
    pixels = read(SAMPLES[0])
    one, other = (
        look(pixels),
        look(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)),
    )
    for measure in ("aspect", "brightness", "contrast", "blue", "red"):
        assert one.measures[measure] == pytest.approx(other.measures[measure], abs=1)
    for measure in ("sharpness", "flatness"):
        assert one.measures[measure] == pytest.approx(other.measures[measure], rel=0.2)
    assert likeness(one.layout, other.layout) > 0.999


def test_likeness_asks_for_neither_brightness_nor_contrast() -> None:
    """1 of the same layout in another light, -1 of its negative, 0 of an even one."""
    layout = [float(value) for value in np.random.default_rng(1).integers(0, 255, 54)]
    assert likeness(layout, [20 + value / 3 for value in layout]) == pytest.approx(1)
    assert likeness(layout, [255 - value for value in layout]) == pytest.approx(-1)
    assert likeness(layout, [7.0] * 54) == likeness([7.0] * 54, layout) == 0


def test_a_picture_is_not_changed_by_looking_at_it() -> None:
    """Neither by the measures nor by the checksum."""
    pixels = read(SAMPLES[0])
    before = pixels.copy()
    look(pixels), checksum(pixels)
    assert (pixels == before).all()


def test_the_checksum_is_of_every_pixel_and_of_the_size() -> None:
    """One level in one channel of one pixel makes another picture, as do the same bytes in another shape."""
    pixels = read(SAMPLES[0])
    changed = pixels.copy()
    changed[-1, -1, 2] ^= 1
    assert checksum(pixels) == checksum(pixels.copy()) != checksum(changed)
    assert checksum(grey(9, 4, 6)) != checksum(grey(9, 6, 4))
    assert checksum(pixels[:, ::-1]) == checksum(np.ascontiguousarray(pixels[:, ::-1]))
