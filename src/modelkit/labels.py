"""Files of labels -> labelled pictures, checked."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspector.core.geometry import Boxes

COLUMNS = ("image", "tag", "boxes")
CLASSES = "classes.txt"


class LabelsError(Exception):
    """The labels cannot be used; says which, why and what to do."""


class Placed(Protocol):
    """A box as files have it: its upper left corner and its size, in pixels of the picture."""

    @property
    def left(self) -> float: ...
    @property
    def top(self) -> float: ...
    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...


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

    @property
    def labelled_boxes(self) -> tuple[LabelledBox, ...]:
        """The defects as labels.csv has them."""
        rows = zip(self.class_ids.tolist(), self.boxes.tolist(), strict=True)
        return tuple(
            LabelledBox(class_id, left, top, right - left, bottom - top)
            for class_id, (left, top, right, bottom) in rows
        )


def read_csv(labels: Path, images: Path, *, must_exist: bool = True) -> list[LabelledPicture]:
    """Read ``labels.csv`` (``image,tag,boxes``, where boxes is JSON), the pictures being in ``images``.

    Raises LabelsError naming every row that cannot be read or has a picture that an earlier one has, and every
    picture that is missing, these unless ``must_exist`` is false.
    """
    pictures: list[LabelledPicture] = []
    faults: list[str] = []
    lines: dict[Path, int] = {}
    for line, row in _rows(labels):
        try:
            picture = _picture(row, images, must_exist)
            if earlier := lines.get(picture.path):
                raise LabelsError(f"line {earlier} has it, too; put all its boxes into one line")
            lines[picture.path] = line
            pictures.append(picture)
        except (LabelsError, msgspec.DecodeError, OverflowError) as error:
            faults.append(f"line {line}, {row['image']}: {error}")
    return complete(labels, pictures, faults)


def _rows(labels: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with the number of its line. Raises LabelsError where the file has none."""
    with labels.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        try:
            if not set(COLUMNS) <= set(rows.fieldnames or ()):
                raise LabelsError(f"{labels}: its first line should name the columns {', '.join(COLUMNS)}")
            for row in rows:
                yield rows.line_num, row
        except (UnicodeDecodeError, csv.Error) as error:
            raise LabelsError(f"{labels} is no CSV file in UTF-8: {error}; save it as one") from error


def corners(boxes: Iterable[Placed]) -> Boxes:
    """(N, 4) float32: left, top, right, bottom of each box."""
    rows = [(box.left, box.top, box.left + box.width, box.top + box.height) for box in boxes]
    return np.array(rows, np.float32).reshape(-1, 4)


def complete(source: Path, pictures: list[LabelledPicture], faults: Sequence[str]) -> list[LabelledPicture]:
    """The pictures, if there is one at least and no fault. Raises LabelsError."""
    if faults:
        raise LabelsError(
            "\n".join([f"{source}: {len(faults)} rows cannot be used; mend them or take them out", *faults])
        )
    if not pictures:
        raise LabelsError(f"{source} lists no picture")
    return pictures


def image_name(picture: LabelledPicture, images: Path) -> str:
    """What labels.csv calls it, where pictures are named from the directory ``images``."""
    path = picture.path
    return path.relative_to(images).as_posix() if path.is_relative_to(images) else path.as_posix()


def class_names(directory: Path, given: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names of classes 0, 1, 2 …: those given, or else the lines of ``classes.txt`` beside the labels.

    Raises LabelsError where there are none, or two alike.
    """
    if given is not None:
        return distinct(given, "--classes")
    file = directory / CLASSES
    if not file.is_file():
        raise LabelsError(
            f"the labels have numbers for classes; name them, in order, with --classes or in {file}, a line each"
        )
    return distinct([line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip()], file)


def distinct(names: Sequence[str], source: object) -> tuple[str, ...]:
    """The class names, of which there is one at least and none twice. Raises LabelsError."""
    if not names or len(set(names)) < len(names):
        raise LabelsError(f"{source}: {', '.join(names) or 'no name'}; give each class a name of its own")
    return tuple(names)


def _picture(row: dict[str, str], images: Path, must_exist: bool) -> LabelledPicture:
    if missing := [column for column in COLUMNS if row[column] is None]:
        raise LabelsError(f"it ends before {', '.join(missing)}")
    boxes = msgspec.json.decode(row["boxes"] or "[]", type=list[LabelledBox])
    path = images / row["image"]
    if not row["tag"]:
        raise LabelsError("no tag says which part it shows")
    if must_exist and not path.is_file():
        raise LabelsError(f"there is no picture {path}")
    class_ids = np.array([box.class_id for box in boxes], np.int64)
    return LabelledPicture(path, row["tag"], corners(boxes), class_ids)
