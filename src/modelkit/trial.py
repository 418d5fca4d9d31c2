"""Models and labelled pictures -> a trial: what they find in them, ready to be scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inspector.core.appearance import Appearance, look
from inspector.core.package import KnownImages, Precision, Thresholds, parse_manifest
from inspector.shell.detector import Detector, load
from inspector.shell.package import MANIFEST
from modelkit.fold_directory import Fold, FoldsError, read_folds
from modelkit.images import LEAST_COUNT, know
from modelkit.labels import LabelledPicture
from modelkit.predictions import SCHEMA, Prediction, Predictions, predict, read_pixels


@dataclass(frozen=True, slots=True)
class Trial:
    """What was tried, and what came of it."""

    title: str
    predictions: Predictions
    thresholds: Thresholds | None
    """Those of the package, if there is one."""
    left_out: int
    """So many labelled pictures no model was tried on: no fold holds them out."""


def try_package(
    package: Path, pictures: Sequence[LabelledPicture], images: Path, advance: Callable[[], object]
) -> Trial:
    """Try every file of a package, or a single ONNX file, on every picture. Raises PackageError and PredictionsError.

    Whether a picture is unusual the package tells, as on the device.
    """
    models = {precision: load(package, precision=precision) for precision in _precisions(package)}
    first = next(iter(models.values()))
    found = predict(pictures, models, images=images, known=first.known_images, advance=advance)
    title = f"{first.info.name} {first.info.version}"
    return Trial(title, _predictions(first.labels, models, found), first.thresholds, 0)


def try_folds(
    directory: Path,
    pictures: Sequence[LabelledPicture],
    images: Path,
    named: Mapping[Precision, str],
    advance: Callable[[], object],
) -> Trial:
    """Try each fold's models on the pictures that it held out. Raises FoldsError, PackageError, PredictionsError.

    Whether a picture is unusual is told by the fold's other pictures.
    """
    folds = read_folds(directory, pictures, images, named)
    models = [{precision: load(path) for precision, path in fold.models.items()} for fold in folds]
    first = next(iter(models[0].values()))
    _refuse_other_classes(folds, models, first.labels)
    seen = {picture.path: look(read_pixels(picture.path)) for picture in pictures}
    found = [
        prediction
        for fold, its_models in zip(folds, models, strict=True)
        for prediction in predict(
            fold.held_out,
            its_models,
            images=images,
            known=_known([seen[picture.path] for picture in fold.known]),
            fold=fold.number,
            is_part_unseen=fold.is_grouped,
            advance=advance,
        )
    ]
    title = f"{directory.resolve().name}: cross-validation, {len(folds)} folds"
    return Trial(title, _predictions(first.labels, models[0], found), None, len(pictures) - len(found))


def _precisions(package: Path) -> tuple[Precision, ...]:
    """Those of which a package has a file; a single ONNX file passes for FP32."""
    if not package.is_dir():
        return ("fp32",)
    try:
        manifest = parse_manifest((package / MANIFEST).read_bytes())
    except (OSError, msgspec.DecodeError):
        return ("fp32",)  # loading it tells what is wrong
    return tuple(sorted(file.precision for file in manifest.files))


def _refuse_other_classes(
    folds: Sequence[Fold], models: Sequence[Mapping[Precision, Detector]], labels: tuple[str, ...]
) -> None:
    for fold, its_models in zip(folds, models, strict=True):
        for precision, model in its_models.items():
            if model.labels != labels:
                raise FoldsError(
                    f"{fold.models[precision]} has the classes {', '.join(model.labels)}, the first fold's model "
                    f"{', '.join(labels)}; folds are of one recipe"
                )


def _known(appearances: Sequence[Appearance]) -> KnownImages | None:
    """What a package of that fold would know; too few pictures tell nothing."""
    return know(appearances) if len(appearances) >= LEAST_COUNT else None


def _predictions(
    labels: tuple[str, ...], models: Mapping[Precision, Detector], found: Sequence[Prediction]
) -> Predictions:
    return Predictions(SCHEMA, labels, tuple(models), tuple(found))
