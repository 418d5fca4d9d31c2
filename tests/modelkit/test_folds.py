"""No part is on both sides of a split."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from modelkit.folds import folds, random_folds

PARTS = [f"tag-{number}" for number in range(16) for _ in range(1 + 2 * number)]
"""Of some parts there are many pictures, of others few."""


def shuffled(seed: int) -> list[str]:
    parts = PARTS.copy()
    random.Random(seed).shuffle(parts)
    return parts


def shared(parts: list[str], fold_of: list[int], tested: int) -> set[str]:
    """Parts that are trained on and tested on."""
    inside = {part for part, fold in zip(parts, fold_of, strict=True) if fold == tested}
    outside = {part for part, fold in zip(parts, fold_of, strict=True) if fold != tested}
    return inside & outside


@pytest.mark.parametrize("seed", range(5))
def test_no_part_is_trained_on_and_tested_on(seed: int) -> None:
    """In whichever order the pictures come; where pictures are drawn at random nearly every part is."""
    parts = shuffled(seed)
    fold_of = folds(parts, 5)
    assert all(shared(parts, fold_of, fold) == set() for fold in range(5))
    at_random = [number % 5 for number in range(len(parts))]
    assert len(shared(parts, at_random, 0)) > 10


def test_each_picture_is_tested_once_and_folds_are_alike() -> None:
    """The largest fold is not much larger than the smallest."""
    sizes = Counter(folds(PARTS, 5))
    assert set(sizes) == set(range(5))
    assert max(sizes.values()) - min(sizes.values()) <= 31


def test_the_same_parts_give_the_same_folds() -> None:
    """A figure can be had again, in whichever order the pictures come."""
    first, second = (dict(zip(parts, folds(parts, 5), strict=True)) for parts in (shuffled(1), shuffled(2)))
    assert first == second


def test_too_few_parts() -> None:
    """Of three parts there are no five folds."""
    with pytest.raises(ValueError, match="of 3 parts there are no 5 folds"):
        folds(["a", "b", "c", "a", "b"], 5)


def test_random_folds_go_through_parts() -> None:
    """Each picture is tested once; the seed says which when."""
    fold_of = random_folds(len(PARTS), 5, seed=1)
    sizes = Counter(fold_of)
    assert sorted(sizes) == [0, 1, 2, 3, 4] and max(sizes.values()) - min(sizes.values()) <= 1
    assert len(shared(PARTS, fold_of, 0)) > 10
    assert fold_of == random_folds(len(PARTS), 5, seed=1) != random_folds(len(PARTS), 5, seed=2)
