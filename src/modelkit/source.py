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
    if labels.suffix != ".csv":
        return read_yolo(labels, arguments.part_pattern, arguments.classes, must_exist=must_exist)
    names = class_names(labels.parent, arguments.classes)
    images = arguments.images or labels.parent / "images"
    return read_csv(labels, images, must_exist=must_exist), names


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text} is no regular expression: {error}") from error
    return text
