"""YOLO datasets are read as Ultralytics reads them, and what cannot be read is named."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from modelkit.labels import LabelledPicture, LabelsError
from modelkit.yolo import read_yolo


def put(directory: Path, name: str, label: str | None, size: tuple[int, int] = (100, 200)) -> Path:
    """A picture, (height, width), in ``images`` and its label in ``labels``."""
    path = directory / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))
    if label is not None:
        text = (directory / "labels" / name).with_suffix(".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(label)
    return path


def described(directory: Path, text: str) -> Path:
    (directory / "data.yaml").write_text(text)
    return directory / "data.yaml"


def names_of(pictures: list[LabelledPicture]) -> list[str]:
    return [picture.path.name for picture in pictures]


def test_boxes_are_pixels_of_the_picture(tmp_path: Path) -> None:
    """Shares of width and height about a centre become corners; no label means no defect."""
    put(tmp_path, "a.png", "1 0.5 0.5 0.2 0.4\n0 0.05 0.1 0.1 0.2\n\n")
    put(tmp_path, "b.png", None)
    put(tmp_path, "c.png", "")
    pictures, names = read_yolo(tmp_path, names=["dent", "hole"])
    assert names == ("dent", "hole")
    assert pictures[0].boxes == pytest.approx(np.array([[80, 30, 120, 70], [0, 0, 20, 20]]))
    assert pictures[0].class_ids.tolist() == [1, 0]
    assert [picture.is_defective for picture in pictures] == [True, False, False]


@pytest.mark.parametrize("names", ["[dent, hole]", "{0: dent, 1: hole}", "{1: hole, 0: dent}"])
@pytest.mark.parametrize("path", ["", "path: .\n", "path: ..\n"])
def test_a_data_yaml_names_directories_and_classes(tmp_path: Path, names: str, path: str) -> None:
    """Each form that Ultralytics knows, and relative to the file; a picture in two splits is one."""
    directory = tmp_path / "data"
    put(directory, "train/a.png", "0 0.5 0.5 0.2 0.2")
    put(directory, "val/b.png", "1 0.5 0.5 0.2 0.2")
    under = "data/" if ".." in path else ""
    text = f"{path}train: [{under}images/train]\nval: {under}images/val\ntest: {under}images/val\nnames: {names}\n"
    file = described(directory, text)
    for source in (file, directory):
        pictures, found = read_yolo(source)
        assert (names_of(pictures), found) == (["a.png", "b.png"], ("dent", "hole"))
        assert [len(picture.boxes) for picture in pictures] == [1, 1]


def test_the_ways_of_roboflow_and_of_lists_are_read(tmp_path: Path) -> None:
    """``../train/images`` that is beside the file, and a text file that lists pictures."""
    (tmp_path / "train").mkdir()
    put(tmp_path / "train", "a.png", "0 0.5 0.5 0.2 0.2")
    put(tmp_path, "b.png", "0 0.5 0.5 0.2 0.2")
    (tmp_path / "val.txt").write_text("./images/b.png\n")
    pictures, _ = read_yolo(described(tmp_path, "train: ../train/images\nval: val.txt\nnames: [dent]\n"))
    assert names_of(pictures) == ["a.png", "b.png"]
    assert [len(picture.boxes) for picture in pictures] == [1, 1]


def test_class_names_can_be_given_or_lie_beside(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "")
    with pytest.raises(LabelsError, match=r"name them, in order, with --classes or in .*classes\.txt"):
        read_yolo(tmp_path)
    (tmp_path / "classes.txt").write_text("dent\n hole \n\n")
    assert read_yolo(tmp_path)[1] == ("dent", "hole")
    described(tmp_path, "train: images\nnames: [other]\n")
    assert read_yolo(tmp_path)[1] == ("other",)
    assert read_yolo(tmp_path, names=["mine"])[1] == ("mine",)


def test_the_part_is_found_in_the_name(tmp_path: Path) -> None:
    """Without a pattern each picture is a part of its own; one whose name has none is named."""
    put(tmp_path, "part7-1.png", "")
    put(tmp_path, "part7-2.png", "")
    assert [picture.part for picture in read_yolo(tmp_path, names=["dent"])[0]] == ["part7-1", "part7-2"]
    found, _ = read_yolo(tmp_path, "part(?P<part>[0-9]+)", ["dent"])
    assert [picture.part for picture in found] == ["7", "7"]
    with pytest.raises(LabelsError, match=r"2 rows.*\n.*part7-1\.png: the part pattern x finds no part"):
        read_yolo(tmp_path, "x", ["dent"])


@pytest.mark.parametrize(
    "line",
    ["0 0.5 0.5 0.2", "0 0.1 0.1 0.2 0.1 0.2 0.2", "0 0.5 nan 0.2 0.2", "-1 0.5 0.5 0.2 0.2", "dent 0 0 1 1"],
)
def test_a_label_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    """Outlines too: they are of another task."""
    put(tmp_path, "good.png", "0 0.5 0.5 0.2 0.2")
    put(tmp_path, "bad.png", f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(LabelsError, match=r"1 rows cannot be used; .*\n.*bad\.png: "):
        read_yolo(tmp_path, names=["dent"])


def test_pictures_that_are_not_there_or_broken_are_named_or_left_to_a_check(tmp_path: Path) -> None:
    put(tmp_path, "good.png", "0 0.5 0.5 0.2 0.2")
    put(tmp_path, "gone.png", "0 0.5 0.5 0.2 0.2").unlink()
    put(tmp_path, "torn.png", "0 0.5 0.5 0.2 0.2").write_bytes(b"torn, but not short")
    (tmp_path / "labels" / "classes.txt").write_text("dent\n")
    with pytest.raises(LabelsError, match="2 rows") as raised:
        read_yolo(tmp_path, names=["dent"])
    assert "gone: " in str(raised.value) and "torn.png: " in str(raised.value)
    pictures, _ = read_yolo(tmp_path, names=["dent"], must_exist=False)
    assert {picture.path.stem: len(picture.boxes) for picture in pictures} == {
        "good": 1,
        "torn": 0,
        "gone": 0,
    }


@pytest.mark.parametrize("text", ["", "a: [", "train: images\n", "names: 3\ntrain: images\n", "[1]"])
def test_a_yaml_that_is_no_dataset_is_named(tmp_path: Path, text: str) -> None:
    put(tmp_path, "a.png", "")
    with pytest.raises(LabelsError, match=r"data\.yaml: no data\.yaml of a YOLO dataset"):
        read_yolo(described(tmp_path, text))


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"there is no directory .*nowhere/images"):
        read_yolo(tmp_path / "nowhere", names=["dent"])
    with pytest.raises(LabelsError, match=r"there is no directory .*images/train"):
        read_yolo(described(tmp_path, "train: images/train\nnames: [dent]\n"))
    (tmp_path / "images").mkdir()
    with pytest.raises(LabelsError, match="lists no picture"):
        read_yolo(described(tmp_path, "train: images\nnames: [dent]\n"))
