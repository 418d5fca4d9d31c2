"""Files of labels -> labelled pictures, checked."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspector.core.geometry import Boxes

COLUMNS = ("image", "tag", "boxes")


class LabelsError(Exception):
    """The labels cannot be used; says which, why and what to do."""


class LabelledBox(msgspec.Struct, frozen=True):
    """A defect as labels.csv has it: pixels of the image, left, top is the upper corner."""

    class_id: Annotated[int, msgspec.Meta(ge=0)]
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    """A picture, the part that it shows, and its N defects."""

    path: Path
    part: str
    boxes: Boxes
    """(N, 4) float32: left, top, right, bottom in image pixels."""
    class_ids: NDArray[np.int64]
    """(N,) int64."""

    @property
    def is_defective(self) -> bool:
        """Whether it has a defect at all."""
        return len(self.boxes) > 0


def read_csv(labels: Path, images: Path) -> list[LabelledPicture]:
    """Read ``labels.csv`` (``image,tag,boxes``, where boxes is JSON), the pictures being in ``images``.

    Raises LabelsError naming every row that cannot be read and every picture that is missing.
    """
    pictures: list[LabelledPicture] = []
    faults: list[str] = []
    with labels.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise LabelsError(f"{labels}: its first line should name the columns {', '.join(COLUMNS)}")
        for row in rows:
            try:
                pictures.append(_picture(row, images))
            except (LabelsError, msgspec.DecodeError) as error:
                faults.append(f"line {rows.line_num}, {row['image']}: {error}")
    if faults:
        raise LabelsError(
            "\n".join([f"{labels}: {len(faults)} rows cannot be used; mend them or take them out", *faults])
        )
    if not pictures:
        raise LabelsError(f"{labels} lists no picture")
    return pictures


def _picture(row: dict[str, str], images: Path) -> LabelledPicture:
    boxes = msgspec.json.decode(row["boxes"] or "[]", type=list[LabelledBox])
    path = images / row["image"]
    if not path.is_file():
        raise LabelsError(f"there is no picture {path}")
    corners = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in boxes]
    class_ids = np.array([box.class_id for box in boxes], np.int64)
    return LabelledPicture(path, row["tag"], np.array(corners, np.float32).reshape(-1, 4), class_ids)
