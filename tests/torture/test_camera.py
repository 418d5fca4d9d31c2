"""The camera's record: what it says it wrote is there, and only the last of what it overwrote has to be seen."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import pytest

from mosquitto_broker import until
from torture import camera as cameras
from torture.camera import WAYS, Camera
from torture.pictures import Deck, Picture, judged, variants

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bases() -> list[Picture]:
    samples = sorted((ROOT / "sample_images").glob("*.jpg"))
    return [Picture(data, "pass") for data in variants(samples[:4], 12)]


@pytest.fixture
def camera(tmp_path: Path, bases: list[Picture]) -> Camera:
    return Camera(tmp_path, Deck(bases, random.Random(1)), random.Random(1), 0.02, 1_000)


def written(camera: Camera, count: int) -> None:
    """Let it write at least so many images."""
    over = threading.Event()
    thread = threading.Thread(target=camera.run, args=(over,))
    thread.start()
    until(lambda: len(camera.written) >= count, f"{count} images are written")
    over.set()
    thread.join()


def test_what_is_on_record_is_there(tmp_path: Path, camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written in every way, each with its content; no two alike, but for empty files; nothing half is left."""
    monkeypatch.setattr(cameras, "HIGH", 10_000)
    monkeypatch.setattr(cameras, "LOW", 10_000)
    written(camera, 300)
    assert {each.kind for each in camera.written} == set(WAYS)
    for each in camera.written:
        content = (tmp_path / each.path).read_bytes()
        assert (hashlib.sha256(content).hexdigest() == each.sha256) != each.is_superseded
    due = {each.path for each in camera.written if not each.is_superseded}
    assert due == {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    full = [each.sha256 for each in camera.written if each.sha256 != hashlib.sha256(b"").hexdigest()]
    assert len(set(full)) == len(full)
    assert {each.expected for each in camera.written if each.kind == "unreadable"} == {"review"}
    assert camera.refused == 0


def test_backlog_is_bounded(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes the images away: it stops by itself."""
    monkeypatch.setattr(cameras, "HIGH", 70)
    monkeypatch.setattr(cameras, "_IMPATIENCE_S", 0)
    written(camera, 60)
    assert 60 <= camera.backlog() < 70 + cameras.BURST[1]


def test_write_that_fails_is_not_on_record(tmp_path: Path, camera: Camera) -> None:
    """And leaves nothing behind."""
    (tmp_path / "top").rmdir()
    (tmp_path / "top").write_text("in the way")
    written(camera, 20)
    assert camera.refused > 0
    assert not any(each.path.startswith("top") for each in camera.written)


def test_image_that_can_not_be_renamed_leaves_nothing(tmp_path: Path, camera: Camera) -> None:
    """The hidden file goes too: on a full disk it would take the room of others."""
    for name in cameras.CAMERAS:
        for number in range(1, 200):
            (tmp_path / name / f"part-{number:06}.jpg").mkdir()
    until_refused = threading.Event()
    thread = threading.Thread(target=camera.run, args=(until_refused,))
    thread.start()
    until(lambda: camera.refused > 10, "writes are refused")
    until_refused.set()
    thread.join()
    assert not list(tmp_path.rglob(".*.tmp"))


def test_loaded_images_appear_when_fired(tmp_path: Path, camera: Camera) -> None:
    """Hidden until then."""
    camera.load(5)
    assert camera.written == []
    assert all(path.name.startswith(".") for path in tmp_path.rglob("*") if path.is_file())
    camera.fire()
    assert len(camera.written) == camera.backlog() == 5
    assert {each.kind for each in camera.written} == {"disk full"}


def test_cameras_repeat_no_frame_soon(bases: list[Picture]) -> None:
    """The pixels of a camera come again only when all the others have been."""
    deck = Deck(bases, random.Random(1))
    tails = [deck.draw("top").data[-2_000:] for _ in range(2 * len(bases))]
    assert len(set(tails[: len(bases)])) == len(bases)
    assert tails[: len(bases)] == tails[len(bases) :]


def test_verdicts_are_those_of_the_program(tmp_path: Path, bases: list[Picture]) -> None:
    """Each picture gets the verdict of its own line, in whatever order they come."""
    program = tmp_path / "once"
    program.write_text(
        '#!/bin/sh\nfor path; do n=$(basename "$path"); v=pass; test "$n" = 0001.jpg && v=fail\n'
        'echo "{\\"image\\": {\\"name\\": \\"$n\\"}, \\"verdict\\": \\"$v\\"}"; done | sort -r\n'
    )
    program.chmod(0o755)
    found = judged([base.data for base in bases[:3]], [program], tmp_path / "scratch")
    assert [each.expected for each in found] == ["pass", "fail", "pass"]
    assert [each.data for each in found] == [base.data for base in bases[:3]]
