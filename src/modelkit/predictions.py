"""What a model's files find in labelled pictures, written down, so that thresholds can be tried on it.

A file of predictions is one JSON object, ``Predictions``. ``modelkit evaluate --output`` writes it; where the models
were those of folds, each picture was judged by the model that never saw its part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspector.core.appearance import look, unusual
from inspector.core.detections import Detections
from inspector.core.frame import FrameError, Pixels
from inspector.core.package import KnownImages, Precision
from inspector.core.settings import Settings
from inspector.shell.detector import Detector
from modelkit.average_precision import Coco
from modelkit.labels import LabelledBox, LabelledPicture, corners, image_name
from modelkit.pixels import decoded

SCHEMA: Literal["edge-inspector/predictions/1"] = "edge-inspector/predictions/1"
MATCH_IOU = 0.5


class PredictionsError(Exception):
    """Predictions cannot be made of these pictures, or read; says why and what to do."""


class PredictedBox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A detection, in pixels of the picture; left, top is the upper corner."""

    class_id: Annotated[int, msgspec.Meta(ge=0)]
    confidence: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    left: float
    top: float
    width: float
    height: float
    is_true: bool
    """Whether it overlaps a labelled box of its class by an IoU of 0.5 or more that no stronger one has taken."""


class Prediction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One labelled picture, and what each precision finds in it, down to a confidence of 0.05."""

    image: str
    """As labels.csv names it."""
    part: str
    width: int
    height: int
    """Pixels."""
    is_unusual: bool
    """Whether it is unlike the pictures that the model knows: where it would pass, the device reviews it."""
    labels: tuple[LabelledBox, ...]
    detections: dict[Precision, tuple[PredictedBox, ...]]
    """The most confident first; each picture of a file has the same precisions."""
    fold: int | None = None
    """Of which fold the model is; null where one model judged every picture."""
    is_part_unseen: bool = False
    """Whether the fold held out all pictures of the part, and not just this one."""

    @property
    def is_defective(self) -> bool:
        """Whether it has a defect at all."""
        return len(self.labels) > 0

    def raw(self, precision: Precision) -> Detections:
        """As the detector returned them."""
        found = self.detections[precision]
        return Detections(
            corners(found),
            np.array([box.confidence for box in found], np.float32),
            np.array([box.class_id for box in found], np.int64),
        )


class Predictions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file of predictions. ``class_names[class_id]`` names a class."""

    schema: Literal["edge-inspector/predictions/1"]
    class_names: tuple[str, ...]
    precisions: tuple[Precision, ...]
    pictures: Annotated[tuple[Prediction, ...], msgspec.Meta(min_length=1)]


def predict(
    pictures: Sequence[LabelledPicture],
    models: Mapping[Precision, Detector],
    *,
    images: Path,
    known: KnownImages | None,
    fold: int | None = None,
    is_part_unseen: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> list[Prediction]:
    """Run the detector that ships, with the device's default settings, on each picture, in order.

    ``images`` is the directory that pictures are named from, ``known`` tells the unusual ones, and ``advance`` is
    called after each picture. Raises PredictionsError for a picture that cannot be read, and for labels of a class
    that a model does not have; ONNX Runtime's own exceptions pass through.
    """
    for model in models.values():
        _check_classes(pictures, model)
    seen = [_see(picture, models, known, advance) for picture in pictures]
    labels = [picture.labelled_boxes for picture in pictures]
    true = {
        precision: Coco(labels, [each.found[precision] for each in seen], len(model.labels)).true()
        for precision, model in models.items()
    }
    return [
        Prediction(
            image=image_name(picture, images),
            part=picture.part,
            width=each.width,
            height=each.height,
            is_unusual=each.is_unusual,
            labels=labels[number],
            detections={
                precision: _predicted(found, true[precision][number])
                for precision, found in each.found.items()
            },
            fold=fold,
            is_part_unseen=is_part_unseen,
        )
        for number, (picture, each) in enumerate(zip(pictures, seen, strict=True))
    ]


def read_pixels(path: Path) -> Pixels:
    """Read and decode a picture as the device does. Raises PredictionsError."""
    try:
        return decoded(path.read_bytes())
    except (FrameError, OSError) as error:
        raise PredictionsError(
            f"{path} cannot be read: {error}; mend it, or take it out of the labels"
        ) from error


@dataclass(frozen=True, slots=True)
class _Seen:
    width: int
    height: int
    is_unusual: bool
    found: dict[Precision, Detections]


def _see(
    picture: LabelledPicture,
    models: Mapping[Precision, Detector],
    known: KnownImages | None,
    advance: Callable[[], object],
) -> _Seen:
    settings, pixels = Settings(), read_pixels(picture.path)
    found = {
        precision: model.detect(pixels, iou=settings.iou_threshold, max_detections=settings.max_detections)[0]
        for precision, model in models.items()
    }
    advance()
    height, width = pixels.shape[:2]
    return _Seen(width, height, bool(known and unusual(look(pixels), known)), found)


def _check_classes(pictures: Sequence[LabelledPicture], model: Detector) -> None:
    count = len(model.labels)
    wrong = [each for each in pictures if (each.class_ids >= count).any()]
    if wrong:
        classes = sorted({int(each) for picture in wrong for each in picture.class_ids if each >= count})
        raise PredictionsError(
            f"{len(wrong)} pictures, {wrong[0].path.name} first, have labels of class "
            f"{', '.join(map(str, classes))}, and {model.info.name} {model.info.version} has only "
            f"{', '.join(f'{number} ({label})' for number, label in enumerate(model.labels))}; mend the labels, or "
            "take a model that was trained on them"
        )


def _predicted(found: Detections, true: NDArray[np.bool_]) -> tuple[PredictedBox, ...]:
    columns = (found.class_ids, found.confidences, found.boxes, true)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(
        PredictedBox(class_id, confidence, left, top, right - left, bottom - top, is_true)
        for class_id, confidence, (left, top, right, bottom), is_true in rows
    )


def write(predictions: Predictions, path: Path) -> None:
    """Write a file of predictions; the same predictions give the same bytes."""
    path.write_bytes(msgspec.json.encode(predictions) + b"\n")


def read(path: Path) -> Predictions:
    """Read a file of predictions. Raises PredictionsError, and OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Predictions)
    except msgspec.DecodeError as error:
        raise PredictionsError(
            f"{path} is no file of predictions: {error}; make one with modelkit evaluate"
        ) from error
