"""Two pictures of one part are told from pictures of two parts."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from modelkit.fingerprint import HEIGHT, WIDTH, Structure, take
from modelkit.twins import twins

SAMPLES = sorted((Path(__file__).parents[2] / "sample_images").glob("*.jpg"))


@pytest.fixture(scope="module")
def samples() -> list[Structure]:
    """Of sixteen tags, no two alike."""
    return [take(path).structure for path in SAMPLES]


def again(path: Path, directory: Path, *, shift: tuple[int, int] = (0, 0), light: float = 1.0) -> Structure:
    """The tag of a picture, photographed again: it lies elsewhere, the light is another, and there is noise."""
    pixels = cv2.imread(str(path))
    moved = cv2.warpAffine(
        pixels, np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]), (450, 300), borderMode=cv2.BORDER_REPLICATE
    )
    noise = np.random.default_rng(0).normal(0, 3, moved.shape)
    cv2.imwrite(str(directory / "again.png"), np.clip(moved * light + noise, 0, 255).astype(np.uint8))
    return take(directory / "again.png").structure


def test_different_parts_are_no_twins(samples: list[Structure]) -> None:
    assert twins(samples, [str(number) for number in range(16)]) == []


@pytest.mark.parametrize(
    "changes", [{}, {"shift": (20, -14)}, {"shift": (-12, 9), "light": 0.7}, {"light": 1.3}]
)
def test_a_part_is_known_again(samples: list[Structure], tmp_path: Path, changes: dict) -> None:
    """Where it lies a little to the side, and in other light."""
    found = twins([*samples, again(SAMPLES[5], tmp_path, **changes)], [str(number) for number in range(17)])
    assert [(each.first, each.second) for each in found] == [(5, 16)]
    assert 0.3 <= found[0].correlation <= 1


def test_the_least_correlation_is_what_counts(samples: list[Structure], tmp_path: Path) -> None:
    structures, parts = [*samples, again(SAMPLES[5], tmp_path)], [str(number) for number in range(17)]
    (found,) = twins(structures, parts)
    assert twins(structures, parts, least=found.correlation) == [found]
    assert twins(structures, parts, least=found.correlation + 0.001) == []
    assert len(twins(structures, parts, least=0.01)) > 1


def test_pictures_of_one_part_are_no_twins(samples: list[Structure], tmp_path: Path) -> None:
    """They are what a part's name says: the same."""
    parts = [str(number) for number in range(16)]
    assert twins([*samples, again(SAMPLES[5], tmp_path)], [*parts, "5"]) == []


def test_a_part_too_far_to_the_side_is_not_known(samples: list[Structure], tmp_path: Path) -> None:
    """Documented: up to a sixteenth of the width."""
    moved = again(SAMPLES[5], tmp_path, shift=(45, 0))
    assert twins([*samples, moved], [str(number) for number in range(17)]) == []


def test_a_part_is_found_among_many(samples: list[Structure], tmp_path: Path) -> None:
    """Though it is compared with a few of them only."""
    others = [
        structure[::y, ::x] for structure in samples for y in (1, -1) for x in (1, -1) if (y, x) != (1, 1)
    ]
    structures = [*samples, *others, again(SAMPLES[5], tmp_path, shift=(9, 5))]
    found = twins(structures, [str(number) for number in range(len(structures))])
    assert (5, len(structures) - 1) in [(each.first, each.second) for each in found]


def test_pictures_without_structure_are_no_twins() -> None:
    """Nothing says that two empty conveyors are one part."""
    flat = np.zeros((HEIGHT, WIDTH), np.int8)
    assert twins([flat, flat], ["a", "b"]) == []


def test_progress_is_told(samples: list[Structure]) -> None:
    """Every picture that is compared with others, once."""
    told: list[int] = []
    twins(samples[:4], list("abcd"), progress=lambda numbers, words: told.extend(numbers) or numbers)
    assert told == [0, 1, 2]
