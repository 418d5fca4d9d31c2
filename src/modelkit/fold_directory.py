"""A directory of folds -> the models of each, and the pictures that they have never seen.

DIR/fold0/recipe.json     "held_out": parts, or "held_out_images": names of pictures; "trained_on": parts
DIR/fold0/fp32.onnx       and int8.onnx, or files of other names
DIR/fold1/…
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inspector.core.package import Precision
from modelkit.labels import LabelledPicture, image_name

RECIPE = "recipe.json"
FILES: dict[Precision, str] = {"fp32": "fp32.onnx", "int8": "int8.onnx"}
_FOLD = re.compile(r"fold(\d+)")


class FoldsError(Exception):
    """The folds cannot be judged; says which, why and what to do."""


class Recipe(msgspec.Struct, frozen=True):
    """What is needed to know of how a model was made; the record of a training says more."""

    held_out: tuple[str, ...] = ()
    held_out_images: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fold:
    """The models of a fold, and which of the labelled pictures it held out."""

    number: int
    models: Mapping[Precision, Path]
    held_out: tuple[LabelledPicture, ...]
    known: tuple[LabelledPicture, ...]
    """The others."""
    is_grouped: bool
    """Whether it holds out whole parts."""


def read_folds(
    directory: Path, pictures: Sequence[LabelledPicture], images: Path, named: Mapping[Precision, str]
) -> list[Fold]:
    """Read ``fold0``, ``fold1`` … of a directory, by number; ``named`` names models in place of FILES.

    A precision of FILES of which no fold has a file is left out. Raises FoldsError where a fold has a file that
    another lacks, where a recipe does not fit the labels, or where a picture is held out by two; and OSError.
    """
    numbered = {int(match[1]): each for each in directory.iterdir() if (match := _FOLD.fullmatch(each.name))}
    if not numbered:
        raise FoldsError(f"{directory} holds no fold0, fold1 …; name a directory of folds")
    models = _models([numbered[number] for number in sorted(numbered)], named)
    folds = [_fold(number, numbered[number], models, pictures, images) for number in sorted(numbered)]
    _refuse_overlap(folds)
    return folds


def _models(folds: Sequence[Path], named: Mapping[Precision, str]) -> dict[Precision, str]:
    """The precisions that every fold has a file of."""
    files, present = {**FILES, **named}, {}
    for precision, name in files.items():
        lacking = [fold for fold in folds if not (fold / name).is_file()]
        if not lacking:
            present[precision] = name
        elif len(lacking) < len(folds) or precision in named:
            raise FoldsError(
                f"{lacking[0]} has no {name}; make it, or name other files by --file and --int8-file"
            )
    if not present:
        raise FoldsError(
            f"{folds[0]} has no {' and no '.join(files.values())}; name its models by --file and --int8-file"
        )
    return present


def _fold(
    number: int,
    directory: Path,
    models: Mapping[Precision, str],
    pictures: Sequence[LabelledPicture],
    images: Path,
) -> Fold:
    recipe = read_recipe(directory / RECIPE)
    if not recipe.held_out and not recipe.held_out_images:
        raise FoldsError(
            f'{directory / RECIPE} says neither "held_out" nor "held_out_images"; so nothing is known to be unseen'
        )
    if both := set(recipe.held_out) & set(recipe.trained_on):
        raise FoldsError(f"{directory / RECIPE}: {', '.join(sorted(both))} is held out and trained on")
    if recipe.held_out_images:
        wanted, named = set(recipe.held_out_images), [image_name(each, images) for each in pictures]
    else:
        wanted, named = set(recipe.held_out), [each.part for each in pictures]
    if unknown := wanted - set(named):
        raise FoldsError(
            f"{directory / RECIPE} holds out {', '.join(sorted(unknown)[:5])}, not in the labels; "
            "give the labels that the folds were made of"
        )
    held_out = [name in wanted for name in named]
    return Fold(
        number,
        {precision: directory / name for precision, name in models.items()},
        tuple(each for each, is_out in zip(pictures, held_out, strict=True) if is_out),
        tuple(each for each, is_out in zip(pictures, held_out, strict=True) if not is_out),
        is_grouped=not recipe.held_out_images,
    )


def read_recipe(path: Path) -> Recipe:
    """A training's ``recipe.json``. Raises FoldsError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Recipe)
    except FileNotFoundError as error:
        raise FoldsError(f"there is no {path}, which says what was held out; train again") from error
    except msgspec.DecodeError as error:
        raise FoldsError(f"{path} is no recipe: {error}; give the recipe.json of a training") from error


def _refuse_overlap(folds: Sequence[Fold]) -> None:
    seen: dict[Path, int] = {}
    for fold in folds:
        for picture in fold.held_out:
            other = seen.setdefault(picture.path, fold.number)
            if other != fold.number:
                raise FoldsError(
                    f"{picture.path.name} is held out by fold{other} and fold{fold.number}; judge these apart"
                )
