"""What a model's files find in labelled pictures, written down, so that thresholds can be tried on it.

A file of predictions is one JSON object, ``Predictions``. ``modelkit evaluate --output`` writes it; where the models
were those of folds, each picture was judged by the model that never saw its part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from inspector.core.detections import Detections
from inspector.core.package import Precision
from modelkit.labels import LabelledBox

SCHEMA: Literal["edge-inspector/predictions/1"] = "edge-inspector/predictions/1"
MATCH_IOU = 0.5


class PredictionsError(Exception):
    """The file of predictions cannot be used; says which, why and what to do."""


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

    @property
    def is_defective(self) -> bool:
        """Whether it has a defect at all."""
        return len(self.labels) > 0

    def raw(self, precision: Precision) -> Detections:
        """As the detector returned them."""
        found = self.detections[precision]
        corners = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in found]
        return Detections(
            np.array(corners, np.float32).reshape(-1, 4),
            np.array([box.confidence for box in found], np.float32),
            np.array([box.class_id for box in found], np.int64),
        )


class Predictions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a file of predictions. ``class_names[class_id]`` names a class."""

    schema: Literal["edge-inspector/predictions/1"]
    class_names: tuple[str, ...]
    precisions: tuple[Precision, ...]
    pictures: Annotated[tuple[Prediction, ...], msgspec.Meta(min_length=1)]


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
