"""A YOLO dataset -> labelled pictures and the names of their classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from inspector.core.frame import FrameError
from inspector.core.geometry import Boxes
from inspector.core.naming import part_of
from modelkit.labels import LabelledPicture, LabelsError, class_names, complete, distinct
from modelkit.pixels import decoded

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
"""Of the files in a YOLO dataset that are pictures."""


def read_yolo(
    source: Path, part_pattern: str = "", names: Sequence[str] | None = None, *, must_exist: bool = True
) -> tuple[list[LabelledPicture], tuple[str, ...]]:
    """Read every split of ``source``: a ``data.yaml``, or a directory that has one or else ``images`` and ``labels``.

    The part is what ``part_pattern`` finds in a file name, as the inspector's ``PartPattern`` does; without a pattern
    each picture counts as a part of its own. Class names are those given, those of ``data.yaml`` or the lines of
    ``classes.txt``. Raises LabelsError naming every label that cannot be read and, unless ``must_exist`` is false,
    every picture that is missing or cannot be read; then these have no boxes. Format:
    https://docs.ultralytics.com/datasets/detect
    """
    described = source / "data.yaml" if source.is_dir() else source
    if described.is_file():
        paths, found = _described(described)
        labels = distinct(names or found, "--classes" if names else described)
    else:
        paths, labels = _pictures_in(source / "images"), class_names(source, names)
    paths = list(dict.fromkeys(paths))
    return _read(source, paths, part_pattern, must_exist), labels


def _described(path: Path) -> tuple[list[Path], list[str]]:
    """The pictures and class names of a ``data.yaml``."""
    try:
        document = yaml.safe_load(path.read_text("utf-8-sig"))
        names, root = document["names"], path.parent / document.get("path", "")
        listed = [each for split in ("train", "val", "test") for each in _listed(document.get(split))]
        names = [names[number] for number in range(len(names))] if isinstance(names, dict) else names
        return [picture for each in listed for picture in _expand(root, each)], [str(name) for name in names]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise LabelsError(
            f"{path}: no data.yaml of a YOLO dataset, which has train, val and names: {error}"
        ) from error


def _listed(entry: Any) -> list[str]:
    return [] if entry is None else [entry] if isinstance(entry, str) else list(entry)


def _expand(root: Path, entry: str) -> list[Path]:
    """The pictures of a directory, of a text file that lists them, or one picture."""
    path = root / entry
    if not path.exists() and entry.startswith("../"):  # as Roboflow writes it
        path = root / entry[3:]
    if path.suffix != ".txt":
        return _pictures_in(path)
    return [path.parent / line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]


def _pictures_in(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise LabelsError(
            f"there is no directory {directory}; give a YOLO dataset: data.yaml, or images and labels"
        )
    return sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES)


def _read(source: Path, paths: Sequence[Path], part_pattern: str, must_exist: bool) -> list[LabelledPicture]:
    pictures: list[LabelledPicture] = []
    faults: list[str] = []
    for path in [*paths, *_missing(paths)]:
        try:
            pictures.append(_picture(path, part_pattern, must_exist))
        except (LabelsError, ValueError) as error:
            faults.append(f"{path}: {error}")
    return complete(source, pictures, faults)


def _missing(paths: Iterable[Path]) -> Iterator[Path]:
    """Pictures, without a suffix, of which there are labels only."""
    known = {_label_of(path) for path in paths}
    for directory in sorted({label.parent for label in known if "labels" in label.parent.parts}):
        for label in sorted(directory.glob("*.txt")):
            if label not in known and label.name != "classes.txt":
                yield _sibling(label, "labels", "images").with_suffix("")


def _label_of(path: Path) -> Path:
    """Where the label of a picture is: beside it, or in ``labels`` where the picture is in ``images``."""
    return _sibling(path, "images", "labels").with_suffix(".txt")


def _sibling(path: Path, directory: str, other: str) -> Path:
    """The path, with the last directory of the one name replaced by the other."""
    parts = list(path.parts)
    if directory in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index(directory)] = other
    return Path(*parts)


def _picture(path: Path, part_pattern: str, must_exist: bool) -> LabelledPicture:
    part = part_of(path.name, part_pattern) if part_pattern else path.stem
    if not part:
        raise LabelsError(f"the part pattern {part_pattern} finds no part in its name")
    label = _label_of(path)
    lines = label.read_text("utf-8-sig").splitlines() if label.is_file() else []
    rows = np.array([_row(line) for line in lines if line.strip()], np.float64).reshape(-1, 5)
    try:
        height, width = decoded(path.read_bytes()).shape[:2]
    except (OSError, FrameError) as error:
        if must_exist:
            raise LabelsError(str(error)) from error
        rows, width, height = rows[:0], 0, 0
    return LabelledPicture(path, part, _boxes(rows, width, height), rows[:, 0].astype(np.int64))


def _row(line: str) -> list[float]:
    values = [float(each) for each in line.split()]
    if len(values) != 5 or not all(map(math.isfinite, values)):
        raise LabelsError(f"its label says {line!r}; a line is: class id, centre x, centre y, width, height")
    if values[0] < 0 or values[0] % 1:
        raise LabelsError(f"its label says {line!r}, but a class id is a whole number from 0 on")
    return values


def _boxes(rows: np.ndarray[Any, np.dtype[np.float64]], width: int, height: int) -> Boxes:
    """Corners in pixels of rows of class id, centre and size as shares of the picture."""
    size = np.array([width, height])
    boxes: Boxes = np.hstack([rows[:, 1:3] - rows[:, 3:] / 2, rows[:, 1:3] + rows[:, 3:] / 2]).astype(
        np.float32
    )
    boxes *= np.tile(size, 2).astype(np.float32)
    return boxes
