"""Labelled pictures -> a YOLO dataset with one split held out. The same inputs give the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from inspector.core.frame import FrameError
from modelkit import whole
from modelkit.labels import LabelledPicture, image_name
from modelkit.pixels import decoded
from modelkit.yolo import SUFFIXES

SCHEMA = "edge-inspector/dataset/1"
DESCRIPTION, UNFINISHED = "dataset.json", ".unfinished"
SPLITS = ("train", "val")
_SUFFIX_OF = {
    b"\xff\xd8": ".jpg",
    b"\x89P": ".png",
    b"BM": ".bmp",
    b"II": ".tif",
    b"MM": ".tif",
    b"RI": ".webp",
}
"""How the formats that are read begin."""


class DatasetError(Exception):
    """The dataset cannot be written; says which picture or directory is in the way, and what to do."""


class Split(msgspec.Struct, frozen=True):
    """One of the two splits."""

    parts: tuple[str, ...]
    """In alphabetical order."""
    pictures: dict[str, str]
    """Name, as the labels have it -> SHA-256 of the content, in hexadecimal."""
    labels_sha256: str
    """Of all its label files."""


class Dataset(msgspec.Struct, frozen=True):
    """``dataset.json``: what a model that is trained on the dataset has seen, and what it has not."""

    schema: str
    labels: tuple[str, ...]
    made_with: dict[str, str | int | bool | None]
    """How the split was chosen."""
    splits: dict[str, Split]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A picture as it stands in the dataset."""

    source: Path
    part: str
    split: str
    image: str
    """As the labels name it."""
    name: str
    """Of its file in the split."""
    sha256: str
    label: str
    """Text of the label file."""


def write(
    pictures: Sequence[LabelledPicture],
    labels: Sequence[str],
    held_out: Sequence[bool],
    directory: Path,
    *,
    images: Path | None = None,
    copy: bool = False,
    made_with: Mapping[str, str | int | bool | None] | None = None,
) -> Path:
    """Write ``images/{train,val}``, ``labels/{train,val}``, ``dataset.json`` and ``data.yaml``; return the last.

    ``labels`` are the class names; ``held_out`` says of each picture whether it goes into ``val``; pictures are named
    from the directory ``images``, or the one that all are in. Where nothing is held out, ``data.yaml`` names
    ``train`` in place of ``val``, since Ultralytics asks for one. Pictures are symbolic links, or copies. Boxes are
    clipped to their picture.

    An earlier dataset in ``directory`` is replaced; ``dataset.json`` goes first and comes last, so that a directory
    which has it is whole. Raises DatasetError, before anything is written, for a picture that cannot be read, a class
    id without a label, a box without area inside its picture, and a directory that holds something else.
    """
    splits = [SPLITS[bool(each)] for each in held_out]
    images = images or Path(os.path.commonpath([picture.path.parent for picture in pictures]))
    entries = _unique([_entry(*each, images, len(labels)) for each in zip(pictures, splits, strict=True)])
    _clear(directory, entries)
    for split in SPLITS:
        for kind in ("images", "labels"):
            (directory / kind / split).mkdir(parents=True)
    for entry in entries:
        _put(entry, directory, copy)
    described = {split: _describe([each for each in entries if each.split == split]) for split in SPLITS}
    dataset = Dataset(SCHEMA, tuple(labels), dict(made_with or {}), described)
    described_by = _data_yaml(directory, labels, "val" if any(held_out) else "train")
    document = msgspec.json.format(msgspec.json.encode(dataset), indent=2)
    whole.write({directory / DESCRIPTION: document + b"\n"})
    (directory / UNFINISHED).unlink()
    return described_by


def read(directory: Path) -> Dataset:
    """What is written of a dataset. Raises DatasetError."""
    try:
        dataset = msgspec.json.decode((directory / DESCRIPTION).read_bytes(), type=Dataset)
        if dataset.schema == SCHEMA:
            return dataset
        cause = f"its schema is {dataset.schema}, not {SCHEMA}"
    except (OSError, msgspec.DecodeError) as error:
        cause = str(error)
    raise DatasetError(f"{directory} is no dataset: {cause}; make one by modelkit dataset")


def _entry(picture: LabelledPicture, split: str, images: Path, classes: int) -> _Entry:
    try:
        content = picture.path.read_bytes()
        height, width = decoded(content).shape[:2]
    except (OSError, FrameError) as error:
        raise DatasetError(f"{picture.path}: {error}; replace it or take it out") from error
    name = picture.path.name
    if picture.path.suffix.lower() not in SUFFIXES:  # Ultralytics would pass it over
        name += _SUFFIX_OF[content[:2]]
    label = _label(picture, width, height, classes)
    sha256 = hashlib.sha256(content).hexdigest()
    return _Entry(picture.path, picture.part, split, image_name(picture, images), name, sha256, label)


def _label(picture: LabelledPicture, width: int, height: int, classes: int) -> str:
    """A line a box: class id, then centre x and y, width, height as shares of the picture's."""
    size = np.array([width, height] * 2, np.float64)
    corners = np.clip(picture.boxes / size, 0, 1)
    lines = []
    for class_id, (left, top, right, bottom) in zip(
        picture.class_ids.tolist(), corners.tolist(), strict=True
    ):
        if class_id >= classes:
            raise DatasetError(
                f"{picture.path}: class id {class_id}, but there are {classes} labels; name them all"
            )
        if right <= left or bottom <= top:
            raise DatasetError(
                f"{picture.path}: a box has no area inside the picture; see modelkit dataset --check"
            )
        box = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
        lines.append(f"{class_id} " + " ".join(f"{each:.6f}" for each in box) + "\n")
    return "".join(lines)


def _unique(entries: Sequence[_Entry]) -> list[_Entry]:
    """The entries, renamed where two have the same stem: the label file is found by it."""
    taken: set[str] = set()
    unique = []
    for entry in entries:
        path, number = Path(entry.name), 1
        while path.stem in taken:
            number += 1
            path = path.with_stem(f"{Path(entry.name).stem}-{number}")
        taken.add(path.stem)
        unique.append(replace(entry, name=path.name))
    return unique


def _clear(directory: Path, entries: Sequence[_Entry]) -> None:
    """Remove an earlier dataset. Raises DatasetError where that would take anything else with it."""
    for entry in entries:
        if directory.resolve() in entry.source.resolve().parents:
            raise DatasetError(
                f"{entry.source} is in {directory} itself; write the dataset to another directory"
            )
    if directory.is_dir() and any(directory.iterdir()) and not (directory / UNFINISHED).exists():
        try:
            read(directory)
        except DatasetError as error:
            fix = "write to another directory"
            raise DatasetError(f"{directory} holds something other than a dataset of ours; {fix}") from error
    directory.mkdir(parents=True, exist_ok=True)
    (directory / UNFINISHED).touch()
    (directory / DESCRIPTION).unlink(missing_ok=True)
    for kind in ("images", "labels"):
        shutil.rmtree(directory / kind, ignore_errors=True)


def _put(entry: _Entry, directory: Path, copy: bool) -> None:
    image = directory / "images" / entry.split / entry.name
    if copy:
        shutil.copyfile(entry.source, image)
    else:
        image.symlink_to(entry.source.resolve())
    label = directory / "labels" / entry.split / entry.name
    label.with_suffix(".txt").write_text(entry.label, "utf-8")


def _describe(entries: Sequence[_Entry]) -> Split:
    parts = tuple(sorted({entry.part for entry in entries}))
    in_order = sorted(entries, key=lambda each: each.image)
    labels = hashlib.sha256(msgspec.json.encode([(each.image, each.label) for each in in_order])).hexdigest()
    return Split(parts, {each.image: each.sha256 for each in in_order}, labels)


def _data_yaml(directory: Path, labels: Sequence[str], val: str) -> Path:
    """Paths are relative to the file, so that the dataset can be moved."""
    names = "".join(
        f"  {number}: {json.dumps(label, ensure_ascii=False)}\n" for number, label in enumerate(labels)
    )
    path = directory / "data.yaml"
    path.write_text(f"train: images/train\nval: images/{val}\nnames:\n{names}", "utf-8")
    return path
