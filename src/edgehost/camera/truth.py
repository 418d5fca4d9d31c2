"""What a picture really shows: boxes around its scratches, and the labels.csv that lists them."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

COLUMNS = ("image", "tag", "boxes")


@dataclass(frozen=True, slots=True)
class Box:
    """A defect's place in whole pixels of the image: `left` and `top` from its top left corner."""

    class_id: int
    left: int
    top: int
    width: int
    height: int


class Row(Protocol):
    """Whatever has a row in labels.csv: `name` of the file, `tag` that it shows, its boxes."""

    @property
    def name(self) -> str: ...
    @property
    def tag(self) -> str: ...
    @property
    def boxes(self) -> Sequence[Box]: ...


class Labels:
    """Rows of an open labels.csv, each on disk as soon as it is added."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def add(self, row: Row) -> None:
        boxes = json.dumps([asdict(box) for box in row.boxes])
        self._rows.writerow((row.name, row.tag, boxes))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


@contextmanager
def writing_labels(path: Path) -> Iterator[Labels]:
    """Write labels.csv anew: `image,tag,boxes`, where boxes is JSON in pixels (see `Box`)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = Labels(path)
    try:
        yield labels
    finally:
        labels.close()


def read_labels(path: Path) -> dict[str, tuple[Box, ...]]:
    """The boxes by image name."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["image"]: _boxes(row["boxes"]) for row in csv.DictReader(file)}


def _boxes(text: str) -> tuple[Box, ...]:
    return tuple(Box(**box) for box in json.loads(text))
