"""What a command line says of labelled pictures -> labelled pictures and the names of their classes."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from modelkit.labels import LabelledPicture, class_names, read_csv
from modelkit.yolo import read_yolo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What commands that read labelled pictures take."""
    add = parser.add_argument
    add(
        "--labels",
        type=Path,
        required=True,
        metavar="FILE",
        help="a labels.csv; or a YOLO dataset: its data.yaml, or the directory of images and labels",
    )
    add(
        "--images", type=Path, metavar="DIR", help="where the pictures of a labels.csv are (images beside it)"
    )
    add(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="names of classes 0, 1, 2 … (the lines of classes.txt beside the labels; names in data.yaml)",
    )
    add(
        "--part-pattern",
        type=_pattern,
        default="",
        metavar="REGEX",
        help="finds the part in the file name of a YOLO dataset's picture, as group part (each picture is a part)",
    )


def read(
    arguments: argparse.Namespace, *, must_exist: bool = True
) -> tuple[list[LabelledPicture], tuple[str, ...]]:
    """The pictures and class names that the arguments tell of. Raises LabelsError; see the readers."""
    labels: Path = arguments.labels
    if not _is_csv(labels):
        return read_yolo(labels, arguments.part_pattern, arguments.classes, must_exist=must_exist)
    names = class_names(labels.parent, arguments.classes)
    return read_csv(labels, root(arguments), must_exist=must_exist), names


def read_pictures(arguments: argparse.Namespace) -> list[LabelledPicture]:
    """The pictures alone: what the classes are called a model says. Raises LabelsError."""
    if _is_csv(arguments.labels):
        return read_csv(arguments.labels, root(arguments))
    return read(arguments)[0]


def root(arguments: argparse.Namespace) -> Path:
    """The directory that pictures are named from."""
    labels: Path = arguments.labels
    if _is_csv(labels):
        return Path(arguments.images or labels.parent / "images")
    return labels if labels.is_dir() else labels.parent


def is_every_picture_a_part(arguments: argparse.Namespace) -> bool:
    """Whether nothing says which pictures show the same part."""
    return not _is_csv(arguments.labels) and not arguments.part_pattern


def _is_csv(labels: Path) -> bool:
    return labels.suffix == ".csv"


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text} is no regular expression: {error}") from error
    return text
