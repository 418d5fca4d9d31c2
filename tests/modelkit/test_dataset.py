"""A dataset holds parts out whole, can be made again to the byte, and takes the place of nothing else."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import made_up_parts
from modelkit.__main__ import main
from modelkit.dataset import DatasetError, read, write
from modelkit.labels import LabelledPicture, LabelsError, class_names, read_csv
from modelkit.yolo import read_yolo

LABELS = made_up_parts.CLASSES


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """labels.csv of twenty pictures of five parts."""
    return made_up_parts.make(tmp_path_factory.mktemp("made"), 20, seed=1)


@pytest.fixture(scope="module")
def pictures(made: Path) -> list[LabelledPicture]:
    return read_csv(made, made.parent / "images")


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def described(directory: Path) -> dict:
    return json.loads((directory / "dataset.json").read_bytes())


def held_out(pictures: list[LabelledPicture], part: str = "part-003") -> list[bool]:
    return [picture.part == part for picture in pictures]


def test_what_was_written_is_read_again(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    """Pictures, boxes, class ids and class names, through the reader of YOLO datasets."""
    data = write(pictures, LABELS, held_out(pictures), tmp_path / "data")
    read, labels = read_yolo(data)
    assert labels == LABELS
    given = {picture.path.name: picture for picture in pictures}
    assert {picture.path.name for picture in read} == set(given)
    for picture in read:
        assert picture.boxes == pytest.approx(given[picture.path.name].boxes, abs=0.01)
        assert picture.class_ids.tolist() == given[picture.path.name].class_ids.tolist()


def test_the_record_says_what_is_in_which_split(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    """By part and by hash, and how it was chosen."""
    write(pictures, LABELS, held_out(pictures), tmp_path / "data", made_with={"fold": 3})
    record = described(tmp_path / "data")
    assert record["schema"] == "edge-inspector/dataset/1"
    assert (record["labels"], record["made_with"]) == (list(LABELS), {"fold": 3})
    assert record["splits"]["val"]["parts"] == ["part-003"]
    assert record["splits"]["train"]["parts"] == ["part-000", "part-001", "part-002", "part-004"]
    for split, count in (("train", 16), ("val", 4)):
        images = {path.name for path in (tmp_path / "data" / "images" / split).iterdir()}
        assert images == set(record["splits"][split]["pictures"])
        assert len(images) == count


def test_pictures_are_links_or_copies(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    """The same dataset either way, and a copy can go to another machine."""
    one, other = tmp_path / "one", tmp_path / "other"
    write(pictures, LABELS, held_out(pictures), one)
    write(pictures, LABELS, held_out(pictures), other, copy=True)
    assert contents(one) == contents(other)
    assert (one / "images/val/part-003-0.jpg").readlink() == pictures[12].path.resolve()
    assert not (other / "images/val/part-003-0.jpg").is_symlink()


def test_where_nothing_is_held_out_ultralytics_still_has_something_to_validate_on(
    pictures: list[LabelledPicture], tmp_path: Path
) -> None:
    data = write(pictures, LABELS, [False] * 20, tmp_path / "data")
    assert "\nval: images/train\n" in data.read_text()
    val = described(tmp_path / "data")["splits"]["val"]
    assert (val["parts"], val["pictures"]) == ([], {})


def test_an_earlier_dataset_is_replaced(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    """Whole: nothing of another fold stays behind."""
    once = write(pictures, LABELS, held_out(pictures, "part-001"), tmp_path / "once").parent
    write(pictures, LABELS, held_out(pictures), tmp_path / "twice")
    (tmp_path / "twice" / "labels" / "train.cache").write_text("Ultralytics' own")
    twice = write(pictures, LABELS, held_out(pictures, "part-001"), tmp_path / "twice").parent
    assert contents(once) == contents(twice)


@pytest.mark.parametrize(
    "theirs", [{}, {"dataset.json": b'{"name": "somebody else\'s"}'}], ids=["none", "another"]
)
def test_a_directory_of_something_else_is_left_alone(
    pictures: list[LabelledPicture], tmp_path: Path, theirs: dict[str, bytes]
) -> None:
    """Also one that has a dataset.json of another kind."""
    for name, content in (mine := {"images/mine.jpg": b"mine"} | theirs).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match="holds something other than a dataset"):
        write(pictures, LABELS, held_out(pictures), tmp_path)
    assert contents(tmp_path) == mine


def test_half_a_dataset_is_none_and_is_replaced(
    pictures: list[LabelledPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier one's record would say that other parts were held out."""
    write(pictures, LABELS, held_out(pictures), tmp_path / "data")
    link = Path.symlink_to
    links: list[Path] = []

    def full(self: Path, target: Path) -> None:
        links.append(self)
        if len(links) == 6:
            raise OSError(28, "No space left on device")
        link(self, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Path, "symlink_to", full)
        write(pictures, LABELS, held_out(pictures, "part-004"), tmp_path / "data")
    with pytest.raises(DatasetError, match="is no dataset"):
        read(tmp_path / "data")
    write(pictures, LABELS, held_out(pictures, "part-004"), tmp_path / "data")
    assert read(tmp_path / "data").splits["val"].parts == ("part-004",)


def test_the_record_tells_of_a_label_that_changed(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    """What is trained on it must be trained again."""
    moved = [replace(pictures[0], boxes=pictures[0].boxes + 1), *pictures[1:]]
    for name, given in (("one", pictures), ("two", moved)):
        write(given, LABELS, held_out(pictures), tmp_path / name)
    one, two = (read(tmp_path / name).splits for name in ("one", "two"))
    assert one["train"].pictures == two["train"].pictures
    assert one["train"].labels_sha256 != two["train"].labels_sha256
    assert one["val"] == two["val"]


def test_a_dataset_is_not_written_over_its_own_pictures(
    pictures: list[LabelledPicture], tmp_path: Path
) -> None:
    """They would be gone."""
    data = write(pictures, LABELS, held_out(pictures), tmp_path / "data", copy=True)
    before = contents(tmp_path)
    read, labels = read_yolo(data)
    with pytest.raises(
        DatasetError, match=r"part-000-0\.jpg is in .*data itself; write .* another directory"
    ):
        write(read, labels, held_out(read), tmp_path / "data")
    assert contents(tmp_path) == before


def test_boxes_are_cut_to_the_picture(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    """240x320: what sticks out would make Ultralytics drop the picture."""
    boxes, class_ids = np.array([[-24, 288, 24, 352]], np.float32), np.array([5])
    write([replace(pictures[0], boxes=boxes, class_ids=class_ids)], LABELS, [False], tmp_path / "data")
    label = (tmp_path / "data/labels/train/part-000-0.txt").read_text()
    assert label == "5 0.050000 0.950000 0.100000 0.100000\n"


def test_pictures_of_one_name_are_told_apart(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    """Also where only the suffix differs, since labels are found by the rest; and a suffix that says nothing
    is made good, or Ultralytics would pass the picture over."""
    for name in ("a/x.jpg", "b/x.jpg", "x.png", "x.jpg_3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(pictures[0].path, tmp_path / name)
    same = [replace(pictures[0], path=tmp_path / name) for name in ("a/x.jpg", "b/x.jpg", "x.png", "x.jpg_3")]
    write(same, LABELS, [False, False, True, False], tmp_path / "data")
    images = {path.name for path in (tmp_path / "data/images").rglob("*.*")}
    labels = {path.name for path in (tmp_path / "data/labels").rglob("*.*")}
    assert images == {"x.jpg", "x-2.jpg", "x-3.png", "x.jpg_3.jpg"}
    assert labels == {"x.txt", "x-2.txt", "x-3.txt", "x.jpg_3.txt"}


@pytest.mark.parametrize(
    ("boxes", "class_ids", "message"),
    [
        ([[10, 10, 30, 30]], [6], "class id 6, but there are 6 labels"),
        ([[10, 10, 10, 30]], [0], "a box has no area inside the picture"),
        ([[240, 10, 260, 30]], [0], "a box has no area inside the picture"),
    ],
)
def test_labels_that_cannot_be_written_are_named(
    pictures: list[LabelledPicture], tmp_path: Path, boxes: list, class_ids: list, message: str
) -> None:
    """Before anything is written."""
    wrong = replace(pictures[0], boxes=np.array(boxes, np.float32), class_ids=np.array(class_ids))
    with pytest.raises(DatasetError, match=rf"part-000-0\.jpg: {message}"):
        write([wrong, *pictures[1:]], LABELS, held_out(pictures), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_picture_that_cannot_be_read_is_named(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(pictures[0].path.read_bytes()[:900])
    for name in ("torn.jpg", "gone.jpg"):
        with pytest.raises(DatasetError, match=rf"{name}: .*replace it or take it out"):
            write([replace(pictures[0], path=tmp_path / name)], LABELS, [False], tmp_path / "data")


def test_class_names_stay_as_they_are(pictures: list[LabelledPicture], tmp_path: Path) -> None:
    """Whatever characters YAML would take for something else."""
    names = ("no", "a: b", 'the "big" one', "Kratzer ä", "🙂", "7", "- x")
    assert read_yolo(write(pictures, names, held_out(pictures), tmp_path / "data"))[1] == names


def test_class_names_are_those_given_or_lie_beside(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"--classes or in .*classes\.txt"):
        class_names(tmp_path)
    (tmp_path / "classes.txt").write_text("\ufeffdent\n\n hole\n", "utf-8")
    assert class_names(tmp_path) == ("dent", "hole")
    assert class_names(tmp_path, ["scratch"]) == ("scratch",)
    for names in ([], ["dent", "dent"]):
        with pytest.raises(LabelsError, match=r"--classes: .*; give each class a name of its own"):
            class_names(tmp_path, names)


def test_a_row_without_a_part_is_named(made: Path, tmp_path: Path) -> None:
    """It could be on both sides of a split."""
    (tmp_path / "labels.csv").write_text("image,tag,boxes\npart-000-0.jpg,,[]\npart-000-1.jpg\n")
    with pytest.raises(LabelsError, match=r"2 rows cannot be used(.|\n)*no tag says which part it shows"):
        read_csv(tmp_path / "labels.csv", made.parent / "images")


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (b"part-000-0.jpg,part-000,[]\npart-000-0.jpg,part-000,[]\n", "line 3, .*line 2 has it, too"),
        (b"part-000-0.jpg,part-000\n", "line 2, part-000-0.jpg: it ends before boxes"),
        (b"part-000-0.jpg,Stra\xdfe,[]\n", "is no CSV file in UTF-8"),
        (b'part-000-0.jpg,a,"[{""class_id"": 1e99, ""left"": 1}]"\n', "line 2"),
    ],
    ids=["a picture twice", "a torn row", "Latin-1", "a class beyond all bounds"],
)
def test_rows_that_cannot_be_meant_are_named(made: Path, tmp_path: Path, rows: bytes, fault: str) -> None:
    """A picture that counts twice, a defective one that counts as good."""
    (tmp_path / "labels.csv").write_bytes(b"image,tag,boxes\n" + rows)
    with pytest.raises(LabelsError, match=fault):
        read_csv(tmp_path / "labels.csv", made.parent / "images")


def test_the_command_writes_each_fold(made: Path, tmp_path: Path, capsys) -> None:
    """Five of them: each part is held out once, and never trained on at the same time."""
    parts = []
    for fold in range(5):
        output = tmp_path / f"fold{fold}"
        assert main(["dataset", "--labels", str(made), "--fold", str(fold), "--output", str(output)]) == 0
        splits = described(output)["splits"]
        assert set(splits["train"]["parts"]).isdisjoint(splits["val"]["parts"])
        parts += splits["val"]["parts"]
    assert sorted(parts) == [f"part-{number:03d}" for number in range(5)]
    assert "20 pictures of 5 parts" in capsys.readouterr().out


def test_the_command_makes_the_same_bytes_again(made: Path, tmp_path: Path) -> None:
    """A random split too, which goes through parts and depends on the seed."""
    command = ["dataset", "--labels", str(made), "--random", "--fold", "1", "--output"]
    for name, seed in (("one", "4"), ("two", "4"), ("other", "5")):
        assert main([*command, str(tmp_path / name), "--seed", seed]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one").keys() != contents(tmp_path / "other").keys()
    record = described(tmp_path / "one")
    assert record["made_with"] == {"split": "random", "folds": 5, "fold": 1, "seed": 4}
    assert set(record["splits"]["train"]["parts"]) & set(record["splits"]["val"]["parts"])


def test_the_command_can_hold_out_nothing(made: Path, tmp_path: Path, capsys) -> None:
    assert (
        main(["dataset", "--labels", str(made), "--all", "--output", str(tmp_path), "--json", "--copy"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert (report["train"], report["val"], report["faults"]) == (20, 0, [])
    assert report["data"] == str(tmp_path / "data.yaml")
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.fixture
def faulty(made: Path, tmp_path: Path) -> Path:
    """labels.csv with a picture that is missing, and a box that sticks out."""
    shutil.copytree(made.parent, tmp_path / "faulty")
    labels = tmp_path / "faulty" / "labels.csv"
    box = '"[{""class_id"": 0, ""left"": 200, ""top"": 9, ""width"": 60, ""height"": 40}]"'
    labels.write_text(f"image,tag,boxes\ngone.jpg,a,[]\npart-000-0.jpg,part-000,{box}\n")
    return labels


def test_a_check_reports_and_writes_nothing(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors are exit status 1."""
    before = contents(faulty.parent)
    assert main(["dataset", "--labels", str(faulty), "--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"error: {faulty.parent}/images/gone.jpg: there is no such picture; "
        "put it there, or take it out of the labels"
    )
    assert lines[1].startswith(f"warning: {faulty.parent}/images/part-000-0.jpg: box 1 is 20 px beyond")
    assert lines[2].endswith("; 1 error, 1 warning")
    assert main(["dataset", "--labels", str(faulty), "--check", "--json"]) == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert [(fault["severity"], fault["code"]) for fault in faults] == [
        ("error", "missing"),
        ("warning", "outside"),
    ]
    assert contents(faulty.parent) == before


def test_errors_keep_a_dataset_from_being_written(faulty: Path, tmp_path: Path, capsys) -> None:
    arguments = ["dataset", "--labels", str(faulty), "--all", "--output", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_warnings_do_not(faulty: Path, tmp_path: Path, capsys) -> None:
    cv2.imwrite(str(faulty.parent / "images" / "gone.jpg"), np.full((320, 240, 3), 90, np.uint8))
    arguments = ["dataset", "--labels", str(faulty), "--all", "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "0 errors, 1 warning" in capsys.readouterr().out
    assert main(["dataset", "--labels", str(faulty), "--check"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say where to write with --output, or --check"),
        (["--output", "x"], "say what to hold out: --fold K, or --all"),
        (["--output", "x", "--fold", "5"], "there is no fold 5 of 5; they count from 0"),
        (["--output", "x", "--fold", "0", "--folds", "6"], "of 5 parts there are no 6 folds; take fewer"),
        (["--output", "x", "--all", "--random"], "--all holds out nothing"),
        (["--check", "--classes", "a", "a"], "give each class a name of its own"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    made: Path, tmp_path: Path, arguments: list[str], message: str, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["dataset", "--labels", str(made), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_command_reads_yolo_datasets_by_part(made: Path, pictures, tmp_path: Path) -> None:
    """Found in the names of the pictures."""
    data = write(pictures, LABELS, held_out(pictures), tmp_path / "data")
    output = tmp_path / "fold0"
    assert main(["dataset", "--labels", str(data), "--fold", "0", "--output", str(output)]) == 1
    assert not output.exists()  # each picture would be a part, and parts on both sides
    by_part = ["--labels", str(data), "--part-pattern", "(part-[0-9]+)"]
    assert main(["dataset", *by_part, "--fold", "0", "--output", str(output)]) == 0
    parts = {part for split in described(output)["splits"].values() for part in split["parts"]}
    assert parts == {f"part-{number:03d}" for number in range(5)}


def test_made_up_parts_are_the_same_each_time(made: Path, tmp_path: Path) -> None:
    """Of one seed, and fewer are the first of more."""
    again = made_up_parts.make(tmp_path / "again", 20, seed=1)
    assert contents(again.parent) == contents(made.parent)
    fewer = contents(made_up_parts.make(tmp_path / "fewer", 8, seed=1).parent / "images")
    assert fewer == {name: contents(made.parent / "images")[name] for name in fewer}
    other = contents(made_up_parts.make(tmp_path / "other", 20, seed=2).parent / "images")
    assert all(other[name] != content for name, content in contents(made.parent / "images").items())


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["dataset", "--help"])
    assert stop.value.code == 0
    assert "examples:\n  modelkit dataset --labels" in capsys.readouterr().out


def test_a_pattern_that_is_none_is_refused(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dataset", "--labels", str(made), "--check", "--part-pattern", "("])
    assert "( is no regular expression: missing )" in capsys.readouterr().err
