"""Each fault of labelled pictures, planted alone, is found by its name; what is sound has none."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import made_up_parts
from modelkit import faults
from modelkit.faults import FIX, Fault, find
from modelkit.labels import LabelledPicture, read_csv
from modelkit.twins import Twins

LABELS = made_up_parts.CLASSES
SAMPLES = Path(__file__).parents[2] / "sample_images"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of three parts."""
    return made_up_parts.make(tmp_path_factory.mktemp("made"), 12, seed=1)


@pytest.fixture
def pictures(made: Path, tmp_path: Path) -> list[LabelledPicture]:
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return read_csv(tmp_path / "labels.csv", tmp_path / "images")


def box_added(picture: LabelledPicture, *box: float, class_id: int = 0) -> LabelledPicture:
    boxes = np.vstack([picture.boxes, np.array([box], np.float32)])
    return replace(picture, boxes=boxes, class_ids=np.append(picture.class_ids, class_id))


def planted(pictures: list[LabelledPicture], picture: LabelledPicture) -> Fault:
    """The one fault that is found when ``picture`` stands in place of the first one."""
    (fault,) = find([picture, *pictures[1:]], LABELS)
    assert fault.picture == str(picture.path)
    assert fault.fix == FIX[fault.code]
    return fault


def test_sound_labels_have_no_fault(pictures: list[LabelledPicture]) -> None:
    """Also those that have pictures of a part next to one another, and the simulated camera's."""
    assert find(pictures, LABELS) == []
    assert find(read_csv(SAMPLES / "labels.csv", SAMPLES), ["scratch"]) == []


BOXES = {
    "without width": ((30, 30, 30, 60), "empty", "error", "has no area"),
    "inside out": ((60, 30, 30, 60), "empty", "error", "has no area"),
    "right of the picture": ((240, 30, 260, 60), "outside", "error", "lies outside the picture of 240x320"),
    "above it": ((30, -20, 60, 0), "outside", "error", "lies outside"),
    "over the left edge": ((-9, 100, 60, 160), "outside", "warning", "is 9 px beyond the picture"),
    "over the lower edge": ((30, 290, 60, 322), "outside", "warning", "is 2 px beyond the picture"),
    "narrow": ((30, 30, 33, 60), "tiny", "warning", "is 3.0x30.0 px"),
    "all but outside": ((237, 30, 241, 60), "tiny", "warning", "is 3.0x30.0 px"),
}


@pytest.mark.parametrize(("box", "code", "severity", "detail"), BOXES.values(), ids=BOXES.keys())
def test_a_box_that_cannot_be_right_is_found(
    pictures: list[LabelledPicture], box: tuple[float, ...], code: str, severity: str, detail: str
) -> None:
    """By the number that it has in the labels."""
    picture = box_added(pictures[0], *box)
    fault = planted(pictures, picture)
    assert (fault.code, fault.severity) == (code, severity)
    assert f"box {len(picture.boxes)} {detail}" in fault.detail


@pytest.mark.parametrize("box", [(-1, 0, 60, 160), (180, 290, 241, 321), (30, 30, 34, 34)])
def test_rounding_and_small_defects_are_no_fault(pictures: list[LabelledPicture], box: tuple[float]) -> None:
    """Up to a pixel beyond the picture, and 4 px wide and high."""
    assert find([box_added(pictures[0], *box), *pictures[1:]], LABELS) == []


def test_a_class_without_a_name_is_found(pictures: list[LabelledPicture]) -> None:
    fault = planted(pictures, box_added(pictures[0], 5, 5, 20, 20, class_id=6))
    assert (fault.code, fault.severity) == ("class", "error")
    assert "is of class 6, but there are 6 classes" in fault.detail


def test_a_box_that_is_there_twice_is_found(pictures: list[LabelledPicture]) -> None:
    """Whatever its class, and also where the hand was not steady."""
    left, top, right, bottom = pictures[0].boxes[0]
    fault = planted(pictures, box_added(pictures[0], left, top + 1, right, bottom, class_id=3))
    assert (fault.code, fault.severity) == ("repeated", "warning")
    assert f"box {len(pictures[0].boxes) + 1} is box 1 again" in fault.detail


def test_a_picture_that_is_not_there_is_found(pictures: list[LabelledPicture]) -> None:
    pictures[0].path.unlink()
    fault = planted(pictures, pictures[0])
    assert (fault.code, fault.severity) == ("missing", "error")


@pytest.mark.parametrize("content", [b"", b"no picture at all", None], ids=["empty", "text", "cut off"])
def test_a_picture_that_cannot_be_read_is_found(
    pictures: list[LabelledPicture], content: bytes | None
) -> None:
    path = pictures[0].path
    path.write_bytes(path.read_bytes()[:2_000] if content is None else content)
    fault = planted(pictures, pictures[0])
    assert (fault.code, fault.severity) == ("unreadable", "error")


def copied(picture: LabelledPicture, name: str) -> LabelledPicture:
    """The same pixels in a file of another format."""
    path = picture.path.with_name(name)
    cv2.imwrite(str(path), cv2.imread(str(picture.path)))
    return replace(picture, path=path)


@pytest.mark.parametrize(
    ("changes", "severity", "detail"),
    [
        ({}, "warning", ""),
        ({"part": "other"}, "error", " and of another part"),
        (
            {"boxes": np.zeros((0, 4), np.float32), "class_ids": np.zeros(0, int)},
            "error",
            " and labelled otherwise",
        ),
    ],
)
def test_the_same_pixels_twice_are_found(
    pictures: list[LabelledPicture], changes: dict, severity: str, detail: str
) -> None:
    """Worse where their parts or labels differ; twins they are not as well."""
    copy = replace(copied(pictures[0], "copy.png"), **changes)
    (fault,) = find([pictures[0], copy], LABELS)
    assert (fault.code, fault.severity) == ("duplicate", severity)
    assert (fault.picture, fault.others) == (str(pictures[0].path), (str(copy.path),))
    assert fault.detail == f"has the pixels of {copy.path}{detail}"


def test_one_part_under_two_names_is_found(pictures: list[LabelledPicture]) -> None:
    """One fault for all its pictures, however many names; told by the two that are most alike."""
    renamed = [
        replace(picture, part=f"{picture.part}-{number}") for number, picture in enumerate(pictures[:4])
    ]
    (fault,) = find([*renamed, *pictures[4:]], LABELS)
    assert (fault.code, fault.severity) == ("twins", "warning")
    assert {fault.picture, *fault.others} == {str(picture.path) for picture in renamed}
    assert "4 pictures of 4 parts in all" in fault.detail


def test_parts_are_twins_of_their_own(pictures: list[LabelledPicture]) -> None:
    """Two parts that both have two names are two faults."""
    renamed = [replace(picture, part=f"part {number}") for number, picture in enumerate(pictures)]
    faults = find(renamed, LABELS)
    assert [fault.code for fault in faults] == ["twins"] * 3
    assert sorted(len(fault.others) for fault in faults) == [3, 3, 3]


def test_the_correlation_that_is_enough_can_be_told(pictures: list[LabelledPicture]) -> None:
    renamed = [replace(picture, part=f"part {number}") for number, picture in enumerate(pictures)]
    assert find(renamed, LABELS, least_correlation=1.0) == []


def test_no_pictures_have_no_fault() -> None:
    assert find([], LABELS) == []


def test_twins_of_twins_are_one_fault(
    pictures: list[LabelledPicture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whichever order the pairs come; what has nothing to do with them is a fault of its own."""
    pairs = [Twins(1, 3, 0.5), Twins(5, 6, 0.7), Twins(2, 3, 0.6), Twins(0, 1, 0.4)]
    monkeypatch.setattr(faults, "twins", lambda *_: pairs)
    renamed = [replace(picture, part=f"part {number}") for number, picture in enumerate(pictures)]
    found = sorted(find(renamed, LABELS), key=lambda fault: len(fault.others))
    paths = [str(picture.path) for picture in pictures]
    assert [(fault.picture, fault.others) for fault in found] == [
        (paths[5], (paths[6],)),
        (paths[2], (paths[0], paths[1], paths[3])),
    ]
