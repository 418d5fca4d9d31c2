"""Labelled pictures -> folds for cross-validation, by the part that each picture shows."""

from __future__ import annotations

from collections.abc import Sequence


def folds(parts: Sequence[str], count: int) -> list[int]:
    """The fold (0 … ``count`` - 1) of each picture, of which ``parts`` names the part that it shows.

    All pictures of a part are in one fold: a model that is tested on one fold and trained on the others has never
    seen what it is tested on. Folds are about equally large, and the same for the same parts. Raises ValueError where
    there are fewer parts than folds.
    """
    if len(set(parts)) < count:
        raise ValueError(f"of {len(set(parts))} parts there are no {count} folds; take fewer folds")
    from sklearn.model_selection import GroupKFold  # a second to import, and not needed on a device

    fold_of = [0] * len(parts)
    for number, (_, tested) in enumerate(GroupKFold(count).split(parts, groups=parts)):
        for picture in tested:
            fold_of[picture] = number
    return fold_of


def random_folds(pictures: int, count: int, seed: int) -> list[int]:
    """The fold of each picture, whatever part it shows: a model is tested on parts that it was trained on.

    It is there to show what that is worth. Raises ValueError where there are fewer pictures than folds.
    """
    from sklearn.model_selection import KFold

    fold_of = [0] * pictures
    for number, (_, tested) in enumerate(KFold(count, shuffle=True, random_state=seed).split(fold_of)):
        for picture in tested:
            fold_of[picture] = number
    return fold_of
