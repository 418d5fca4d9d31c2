"""Images that end or hang the process, in native code: they become reviews, and the line goes on."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import INSPECTOR, SAMPLES, VERSION, Edge, edge_host
from edgehost.profile import Profile
from mosquitto_broker import until

# Python imports this before anything else; the component is started as its recipe says, and nothing of it ships.
POISON = """
import ctypes
import threading

import cv2

_decode = cv2.imdecode


def _poisoned(data, flags):
    content = bytes(data)
    if b"segmentation fault" in content:
        ctypes.string_at(0)
    if b"endless loop" in content:
        threading.Event().wait()
    return _decode(data, flags)


cv2.imdecode = _poisoned
"""


@pytest.fixture(scope="session")
def poisoned(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build, with a decoder that does what the image says."""
    copy = tmp_path_factory.mktemp("poisoned") / "build"
    shutil.copytree(build, copy)
    with zipfile.ZipFile(copy / "artifacts" / INSPECTOR / VERSION / "inspector.zip", "a") as artifact:
        artifact.writestr("sitecustomize.py", POISON)
    return copy


@pytest.fixture
def edge(tmp_path: Path, poisoned: Path, device_venv: Path, profile: Profile) -> Iterator[Edge]:
    with edge_host(tmp_path / "root", poisoned, device_venv, profile) as host:
        yield host


def with_comment(sample: Path, text: bytes) -> bytes:
    """The picture with a comment segment (ITU-T T.81, B.2.4.5) behind its beginning."""
    data = sample.read_bytes()
    return data[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + data[2:]


def samples() -> list[Path]:
    return sorted(SAMPLES.glob("*.jpg"))[:4]


def test_an_image_that_crashes_the_process(edge: Edge) -> None:
    """A segmentation fault in the decoder, twice: a review, crashed; every other image has its verdict."""
    edge.start()
    good = samples()
    edge.drop(good[0], "before.jpg")
    edge.drop(with_comment(good[1], b"segmentation fault"), "poison.jpg")
    for number, sample in enumerate(good):
        edge.drop(sample, f"{number}.jpg", camera="side")
    until(lambda: len(edge.verdicts()) == 6, "each has its verdict", 60)
    edge.wait_until_settled()
    verdicts = edge.verdicts()
    assert verdicts.pop("poison.jpg") == ("review", ("crashed",))
    assert len(verdicts) == 5
    assert not any("crashed" in reasons for _, reasons in verdicts.values())
    assert "Segmentation fault" in edge.log


def test_an_image_that_hangs_the_process(edge: Edge) -> None:
    """It is cut off, a review, timeout, and is not tried again; Greengrass has seen no failure, and no file, socket
    or pipe is left open by what was cut off."""
    edge.start(FrameTimeoutSeconds=2)
    good = samples()
    edge.drop(good[0], "before.jpg")
    edge.wait_for_results(1)
    pid, open_before = edge.pid, len(os.listdir(f"/proc/{edge.pid}/fd"))
    edge.drop(with_comment(good[1], b"endless loop"), "poison.jpg")
    edge.drop(good[2], "after.jpg")
    until(lambda: len(edge.verdicts()) == 3, "each has its verdict", 30)
    edge.wait_until_settled()
    verdicts = edge.verdicts()
    assert verdicts["poison.jpg"] == ("review", ("timeout",))
    assert verdicts["after.jpg"][1] != ("crashed",)
    assert edge.pid == pid
    assert edge.log.count("starting anew") == 1
    until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= open_before + 2, "nothing stays open")
    assert max(each["seq"] for each in edge.results) == 3
