import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgehost import camera
from edgehost.__main__ import main
from edgehost.camera.drop import paced, pictures_in, write
from edgehost.camera.plate import random_plate

SAMPLES = Path(__file__).parents[2] / "sample_images"


def run(*arguments: object) -> int:
    return main(["camera", *map(str, arguments)])


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def decode(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)


class TestPictures:
    def test_same_seed_same_bytes(self):
        """A seed fixes the pictures and their truth, whatever the count."""
        assert list(camera.generate(3, seed=5)) == list(camera.generate(4, seed=5))[:3]
        assert next(camera.generate(1, seed=5)).jpeg != next(camera.generate(1, seed=6)).jpeg

    def test_size_and_format(self):
        """Pictures are grey in three equal channels, 450x300, like the line's own."""
        image = decode(next(camera.generate(1)).jpeg)
        assert image.shape == (300, 450, 3)
        assert image.dtype == np.uint8
        assert (image[..., 0] == image[..., 1]).all()
        assert (image[..., 0] == image[..., 2]).all()

    def test_share_of_scratched(self):
        """The share is by chance, and exact at its ends."""
        assert all(picture.boxes for picture in camera.generate(10, scratched=1))
        assert not any(picture.boxes for picture in camera.generate(10, scratched=0))
        assert {bool(picture.boxes) for picture in camera.generate(10, scratched=0.5)} == {True, False}

    def test_scratches_are_in_their_boxes(self):
        """Every box is inside the image and holds something much brighter than the plate around it."""
        for picture in camera.generate(25, seed=3, scratched=1):
            image = decode(picture.jpeg)[..., 0]
            for box in picture.boxes:
                assert box.class_id == 0
                assert 0 <= box.left < box.left + box.width <= 450
                assert 0 <= box.top < box.top + box.height <= 300
                inside = image[box.top : box.top + box.height, box.left : box.left + box.width]
                assert inside.max() > np.median(inside) + 20

    def test_boxes_are_tight(self):
        """What lies outside the boxes of a scratched tag looks like the plate of a good one."""
        for number in range(12):
            bare, _ = camera.render_tag(np.random.default_rng(number), scratched=False)
            assert scratch_pixels(bare, number, ()) == 0
            image, boxes = camera.render_tag(np.random.default_rng(number), scratched=True)
            assert scratch_pixels(image, number, ()) > 0
            assert scratch_pixels(image, number, boxes) == 0

    def test_looks_like_a_tag(self):
        """Bright surroundings, a dark plate in the middle, a bright hole."""
        for number in range(6):
            image, _ = camera.render_tag(np.random.default_rng(number), scratched=False)
            plate = random_plate(np.random.default_rng(number))
            x, y = np.rint(plate.to_image(np.array([plate.hole]))[0]).astype(int)
            assert 60 < np.median(image[100:200, 100:350]) < 130
            assert image[150, 2, 0] > 240
            assert image[y, x, 0] > 240


def scratch_pixels(image: np.ndarray, seed: int, boxes) -> int:
    """How many pixels are as bright as only a scratch can be, away from edges, hole and `boxes`."""
    plate = random_plate(np.random.default_rng(seed))
    corners = plate.to_image(np.array([[14, 14], [plate.width - 14, plate.height - 14]]))
    (left, top), (right, bottom) = np.rint(corners).astype(int)
    seen = image[..., 0].copy()
    x, y = np.rint(plate.to_image(np.array([plate.hole]))[0]).astype(int)
    cv2.circle(seen, (int(x), int(y)), 40, 0, -1)
    for box in boxes:
        seen[box.top : box.top + box.height, box.left : box.left + box.width] = 0
    return int((seen[top:bottom, left:right] > 190).sum())


class TestSamples:
    def test_regenerate(self, tmp_path):
        """The documented command makes sample_images again, pixel by pixel but for the JPEG encoder."""
        assert run("--output", tmp_path, "--seed", 19) == 0
        assert names(tmp_path) == names(SAMPLES)
        assert (tmp_path / "labels.csv").read_bytes() == (SAMPLES / "labels.csv").read_bytes()
        for path in SAMPLES.glob("*.jpg"):
            ours, theirs = (cv2.imread(str(p)).astype(int) for p in (tmp_path / path.name, path))
            assert np.abs(ours - theirs).mean() < 0.5
            assert np.abs(ours - theirs).max() <= 24

    def test_documented(self):
        """The command in docs/camera.md is the one tested here."""
        page = (SAMPLES.parent / "docs" / "camera.md").read_text()
        assert "edgehost camera --output sample_images --seed 19\n" in page

    def test_mixed(self):
        """Some are good, some are scratched; the labels name exactly the pictures that are there."""
        truth = camera.read_labels(SAMPLES / "labels.csv")
        assert sorted([*truth, "labels.csv"]) == names(SAMPLES)
        assert {bool(boxes) for boxes in truth.values()} == {True, False}


class TestLabels:
    def test_format(self, tmp_path):
        """labels.csv: image, tag, and boxes as JSON of whole pixels."""
        assert run("--output", tmp_path, "--count", 6, "--scratched", 1) == 0
        with (tmp_path / "labels.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["image", "tag", "boxes"]
        assert [row["image"] for row in rows] == [f"tag-000{n}.jpg" for n in range(1, 7)]
        assert len({row["tag"] for row in rows}) == 6
        boxes = [box for row in rows for box in json.loads(row["boxes"])]
        assert all(list(box) == ["class_id", "left", "top", "width", "height"] for box in boxes)
        assert all(isinstance(value, int) for box in boxes for value in box.values())

    def test_read_back(self, tmp_path):
        """What is written is read back unchanged."""
        pictures = list(camera.generate(4, seed=1))
        with camera.writing_labels(tmp_path / "deep" / "labels.csv") as labels:
            for picture in pictures:
                labels.add(picture)
        truth = camera.read_labels(tmp_path / "deep" / "labels.csv")
        assert truth == {picture.name: picture.boxes for picture in pictures}


class TestDropping:
    def test_copies_in_order(self, tmp_path):
        """Each picture lands whole before the next; hidden and other files stay behind."""
        source = tmp_path / "source"
        source.mkdir()
        for name in ("b.png", "a.JPG", ".hidden.jpg", "labels.csv"):
            (source / name).write_bytes(name.encode())
        landed = []
        for path in camera.drop(pictures_in(source), tmp_path / "new" / "images"):
            assert path.read_bytes() == path.name.encode()
            landed.append(path.name)
            assert names(path.parent) == sorted(landed)
        assert landed == ["a.JPG", "b.png"]

    def test_renamed_into_place(self, tmp_path, monkeypatch):
        """Until a file is whole there is none under its name, only a hidden temporary one."""
        seen = []
        rename = Path.replace

        def replace(path: Path, target: Path) -> Path:
            seen.append((names(tmp_path), path.read_bytes()))
            return rename(path, target)

        monkeypatch.setattr(Path, "replace", replace)
        write(tmp_path / "a.jpg", b"whole")
        assert seen == [([".a.jpg.tmp"], b"whole")]
        assert names(tmp_path) == ["a.jpg"]

    def test_nothing_left_when_it_fails(self, tmp_path):
        """A write that fails leaves no temporary file behind."""
        (tmp_path / "a.jpg").mkdir()
        with pytest.raises(OSError, match=r"a\.jpg"):
            write(tmp_path / "a.jpg", b"whole")
        assert names(tmp_path) == ["a.jpg"]

    def test_in_place(self, tmp_path, monkeypatch):
        """In place, half a file can be seen under its own name."""
        halves = []
        monkeypatch.setattr(time, "sleep", lambda _: halves.append((tmp_path / "a.jpg").read_bytes()))
        write(tmp_path / "a.jpg", b"1234", in_place=True)
        assert halves == [b"12"]
        assert (tmp_path / "a.jpg").read_bytes() == b"1234"

    def test_pace(self):
        """At 4 a second the nth comes n / 4 s after the first; one that is late does not wait."""
        now, waits = [0.0], []

        def sleep(seconds: float) -> None:
            waits.append(round(seconds, 6))
            now[0] += seconds

        for item in paced(range(5), 4, clock=lambda: now[0], sleep=sleep):
            now[0] += 0.6 if item == 1 else 0.05
        assert waits == [0.2, 0.05]

    def test_no_rate_no_wait(self):
        def sleep(seconds: float) -> None:
            raise AssertionError(seconds)

        assert list(paced("abc", None, sleep=sleep)) == ["a", "b", "c"]


class TestCommand:
    def test_camera_subdirectory(self, tmp_path, capsys):
        """--camera puts pictures and labels one level down; the summary says where."""
        assert run("--output", tmp_path, "--camera", "top", "--count", 2) == 0
        assert names(tmp_path / "top") == ["labels.csv", "tag-0001.jpg", "tag-0002.jpg"]
        assert f"2 pictures dropped into {tmp_path / 'top'}" in capsys.readouterr().err

    def test_labels_elsewhere(self, tmp_path):
        """--labels keeps the truth out of the watched directory."""
        assert run("--output", tmp_path / "images", "--count", 1, "--labels", tmp_path / "truth.csv") == 0
        assert names(tmp_path / "images") == ["tag-0001.jpg"]
        assert list(camera.read_labels(tmp_path / "truth.csv")) == ["tag-0001.jpg"]

    def test_existing(self, tmp_path):
        """--existing drops the same bytes, as many as --count says, and writes no labels."""
        assert run("--output", tmp_path, "--existing", SAMPLES, "--count", 3, "--in-place") == 0
        assert names(tmp_path) == ["tag-0001.jpg", "tag-0002.jpg", "tag-0003.jpg"]
        assert (tmp_path / "tag-0002.jpg").read_bytes() == (SAMPLES / "tag-0002.jpg").read_bytes()

    def test_existing_is_not_there(self, tmp_path, capsys):
        assert run("--output", tmp_path, "--existing", tmp_path / "none") == 1
        assert "none" in capsys.readouterr().err

    def test_existing_is_empty(self, tmp_path, capsys):
        assert run("--output", tmp_path / "new", "--existing", tmp_path) == 1
        assert "holds no pictures" in capsys.readouterr().err

    def test_output_is_a_file(self, tmp_path, capsys):
        (tmp_path / "file").touch()
        assert run("--output", tmp_path / "file", "--count", 1) == 1
        assert "file" in capsys.readouterr().err

    def test_existing_is_not_made(self, tmp_path, capsys):
        """Options of made-up pictures are refused with --existing rather than ignored."""
        assert run("--output", tmp_path, "--existing", SAMPLES, "--seed", 1) == 2
        assert "--seed" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ".."])
    def test_camera_is_a_plain_name(self, tmp_path, name):
        assert run("--output", tmp_path / "images", "--camera", name) == 2
        assert names(tmp_path) == []

    @pytest.mark.parametrize(
        ("option", "value"),
        [("--rate", "0"), ("--rate", "nan"), ("--count", "0"), ("--scratched", "2"), ("--seed", "-1")],
    )
    def test_numbers_out_of_range(self, tmp_path, capsys, option, value):
        with pytest.raises(SystemExit, match="2"):
            run("--output", tmp_path, f"{option}={value}")
        assert f"argument {option}: {value} is not" in capsys.readouterr().err

    def test_ctrl_c(self, tmp_path):
        """Ctrl-C ends it with a summary and exit 130; the labels name the pictures that landed."""
        arguments = ["--output", str(tmp_path / "images"), "--count", "1000", "--rate", "0.5"]
        process = subprocess.Popen(
            [sys.executable, "-m", "edgehost", "camera", *arguments], stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while not (tmp_path / "images" / "tag-0001.jpg").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in errors
        assert "stopped: " in errors
        landed = [name for name in names(tmp_path / "images") if name.endswith(".jpg")]
        assert sorted(camera.read_labels(tmp_path / "images" / "labels.csv")) == landed
        assert names(tmp_path / "images") == ["labels.csv", *landed]
