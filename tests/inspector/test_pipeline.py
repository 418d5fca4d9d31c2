"""Every image becomes exactly one verdict, wherever the process dies and whatever the image is."""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from inspector.core.settings import Settings
from inspector.pipeline import Pipeline
from inspector.ports import Blocked
from inspector.shell.claims import claimed_before
from inspector_bench import Bench
from inspector_fakes import Killed, candidate, drop, picture, rows

EFFECTS = ("claim", "attempt", "decode", "judge", "decide", "keep", "settle")
UNCERTAIN = 0.4


@pytest.fixture(autouse=True)
def stops_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a watcher may take to see that it is to stop."""
    monkeypatch.setattr("inspector.shell.watcher._WAKE_S", 0.02)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, audit_share=0)


def cut_after(effect: str) -> type[Pipeline]:
    """A pipeline whose process is killed when an effect has been carried out."""

    def run_and_die(self: Pipeline, *arguments: Any) -> None:
        getattr(Pipeline, effect)(self, *arguments)
        raise Killed

    return type("Cut", (Pipeline,), {effect: run_and_die})


def assert_accounted_for(bench: Bench, name: str, content: bytes, reasons: list[str]) -> None:
    """One entry, one message waiting, the file where it belongs, one kept image if it is due."""
    (result,) = bench.results()
    assert (result["seq"], result["image"]["name"], result["kept"]) == (1, name, reasons)
    assert bench.outbox() == 1
    assert rows(bench.work / "ledger.sqlite", "SELECT count(*) FROM attempts") == [(0,)]
    after = bench.settings.after_inspection
    assert bench.names("images") == ([name] if after == "leave" else [])
    if after == "archive":
        assert bench.archived() == [f"000000000001-{name}"]
    assert bench.names("kept") == ([result["id"] + ".jpg", result["id"] + ".json"] if reasons else [])
    if reasons:
        assert (bench.work / "kept" / (result["id"] + ".jpg")).read_bytes() == content
        sidecar = json.loads((bench.work / "kept" / (result["id"] + ".json")).read_bytes())
        assert sidecar["result"] == result
        assert len(sidecar["raw_detections"]) == 1


@pytest.mark.parametrize("confidence", [0.9, UNCERTAIN], ids=["fail", "kept"])
@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
@pytest.mark.parametrize("effect", EFFECTS)
def test_cut_between_two_effects(tmp_path: Path, effect: str, after: str, confidence: float) -> None:
    """Killed after any effect, the next run finishes: nothing is lost, nothing happens twice."""
    bench = Bench(tmp_path, audit_share=0, after_inspection=after)
    bench.detector.confidence = confidence
    reasons = ["uncertain"] if confidence == UNCERTAIN else []
    drop(bench.images / "a.jpg", picture())
    if effect != "keep" or reasons:
        bench.pipeline_type = cut_after(effect)
        with pytest.raises(Killed):
            bench.take_by_hand()
        bench.kill()
    bench.pipeline_type = Pipeline
    bench.run(inspections=1)
    assert_accounted_for(bench, "a.jpg", picture(), reasons)
    drop(bench.images / "b.jpg", picture(1))
    bench.run(inspections=2)
    assert [result["image"]["name"] for result in bench.results()] == ["a.jpg", "b.jpg"]


def test_cut_again_and_again(bench: Bench) -> None:
    """Killed at every start, each time one effect further, an image is still accounted for, once."""
    bench.detector.confidence = UNCERTAIN
    drop(bench.images / "a.jpg", picture())
    for effect in ("claim", "decide", "keep", "settle"):
        bench.pipeline_type = cut_after(effect)
        with pytest.raises(Killed):
            bench.take_by_hand()
        bench.kill()
    bench.pipeline_type = Pipeline
    bench.run(inspections=1)
    assert_accounted_for(bench, "a.jpg", picture(), ["uncertain"])


def test_order_of_effects(bench: Bench) -> None:
    """The effects of one frame follow each other in the written order."""
    called: list[str] = []

    def spy(name: str) -> Callable[..., Any]:
        def effect(self: Pipeline, *arguments: Any) -> Any:
            called.append(name)
            return getattr(Pipeline, name)(self, *arguments)

        return effect

    bench.detector.confidence = UNCERTAIN
    bench.pipeline_type = type("Spied", (Pipeline,), {name: spy(name) for name in EFFECTS})
    drop(bench.images / "a.jpg", picture())
    bench.run(inspections=1)
    assert called == list(EFFECTS)


def test_the_source_stays_until_the_image_is_kept(bench: Bench) -> None:
    """While an image is being kept its file is still there; the sidecar comes before the file goes."""
    bench.detector.confidence = UNCERTAIN
    drop(bench.images / "a.jpg", picture())
    bench.pipeline_type = cut_after("keep")
    with pytest.raises(Killed):
        bench.take_by_hand()
    bench.kill()
    assert [path.read_bytes() for path in bench.claimed()] == [picture()]
    assert len(bench.names("kept")) == 2


def test_claim_that_a_power_cut_undid(bench: Bench) -> None:
    """A verdict outlives the claim of its file: it is claimed again, its image kept, and it is settled."""
    bench.detector.confidence = UNCERTAIN
    drop(bench.images / "a.jpg", picture())
    bench.pipeline_type = cut_after("decide")
    with pytest.raises(Killed):
        bench.take_by_hand()
    bench.kill()
    bench.claimed()[0].rename(bench.images / "a.jpg")
    bench.pipeline_type = Pipeline
    bench.run(inspections=1)
    assert_accounted_for(bench, "a.jpg", picture(), ["uncertain"])


def test_another_image_that_looks_like_the_one_before(tmp_path: Path) -> None:
    """A new image is inspected also if it has the name, time and size of one that was not marked as settled."""
    bench = Bench(tmp_path, audit_share=0, after_inspection="delete")
    content, other = picture(), picture()[:-30] + bytes(28) + b"\xff\xd9"
    assert len(content) == len(other)
    drop(bench.images / "a.jpg", content)
    status = (bench.images / "a.jpg").stat()
    bench.pipeline_type = cut_after("decide")
    with pytest.raises(Killed):
        bench.take_by_hand()
    bench.kill()
    bench.claimed()[0].unlink()
    drop(bench.images / "a.jpg", other)
    os.utime(bench.images / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    bench.pipeline_type = Pipeline
    bench.run(inspections=2)
    assert [result["image"]["sha256"] for result in bench.results()] == [
        sha256(each).hexdigest() for each in (content, other)
    ]


@pytest.mark.parametrize("effect", ["decode", "judge"])
@pytest.mark.parametrize("after", ["archive", "leave"])
def test_image_that_kills_the_process(tmp_path: Path, effect: str, after: str) -> None:
    """An image over which two runs died is a review, crashed, in the third: it is not decoded again."""
    bench = Bench(tmp_path, after_inspection=after)
    drop(bench.images / "poison.jpg", picture())
    bench.pipeline_type = cut_after(effect)
    for _ in range(2):
        with pytest.raises(Killed):
            bench.take_by_hand()
        bench.kill()
    if effect == "judge":  # which every frame goes through, also those that are not decoded
        bench.pipeline_type = Pipeline
    bench.run(inspections=1)
    (result,) = bench.results()
    assert (result["verdict"], result["reasons"], result["kept"]) == ("review", ["crashed"], ["error"])
    assert bench.names("quarantine") == [result["id"] + ".jpg", result["id"] + ".json"]


def test_runs_that_end_in_order_are_no_attempts(bench: Bench) -> None:
    """An image that was begun in runs which ended in order is inspected like any other."""
    drop(bench.images / "a.jpg", picture())
    for _ in range(5):
        bench.pipeline_type = cut_after("attempt")
        with pytest.raises(Killed):
            bench.take_by_hand()
        bench.ledger.close()
        bench.kill()
    bench.pipeline_type = Pipeline
    bench.run(inspections=1)
    assert bench.results()[0]["verdict"] == "fail"


def test_suspect(bench: Bench) -> None:
    """A frame that an earlier, killed run began is marked as such; a new one is not."""
    drop(bench.images / "a.jpg", picture())
    bench.pipeline_type = cut_after("decode")
    with pytest.raises(Killed):
        bench.take_by_hand()
    bench.kill()
    bench.pipeline_type = Pipeline
    pipeline, stop = bench.open(), threading.Event()
    (begun,) = claimed_before(bench.images, Settings())
    drop(bench.images / "b.jpg", picture())
    taken = [pipeline.take(found, stop) for found in (begun, candidate(bench.images, "b.jpg"))]
    assert [each and each.is_suspect for each in taken] == [True, False]
    bench.ledger.close()
    bench.kill()


def test_dropped_in_twice(bench: Bench) -> None:
    """The same version of a file, dropped in again while it is inspected, is one inspection, and both files go."""
    pipeline, stop, taken = bench.open(), threading.Event(), []
    for _ in range(2):
        drop(bench.images / "a.jpg", picture())
        os.utime(bench.images / "a.jpg", (1_000, 1_000))
        taken.append(pipeline.take(candidate(bench.images, "a.jpg"), stop))
    for each in taken:
        assert each
        pipeline.record([pipeline.judge(each)])
    drop(bench.images / "a.jpg", picture())
    os.utime(bench.images / "a.jpg", (1_000, 1_000))
    assert pipeline.take(candidate(bench.images, "a.jpg"), stop) is None
    bench.ledger.close()
    bench.kill()
    assert len(bench.results()) == 1
    assert bench.outbox() == 1
    assert bench.names("images") == []


def test_left_in_place(tmp_path: Path) -> None:
    """With AfterInspection leave a version is inspected once, whatever happens, and a new version again."""
    bench = Bench(tmp_path, after_inspection="leave")
    drop(bench.images / "latest.jpg", picture())
    for _ in range(3):
        bench.run(inspections=1)
    assert len(bench.results()) == 1
    drop(bench.images / "latest.jpg", picture(1))
    bench.run(inspections=2)
    first, second = bench.results()
    assert first["id"] != second["id"]
    assert first["image"]["sha256"] != second["image"]["sha256"]


def test_each_version(bench: Bench) -> None:
    """Each version of a file that is overwritten is archived and inspected by itself."""
    for seed in range(3):
        (bench.images / "latest.jpg").write_bytes(picture(seed))
        bench.run(inspections=seed + 1)
    archived = [(bench.work / "archive" / name).read_bytes() for name in bench.names("archive")]
    assert archived == [picture(seed) for seed in range(3)]


def test_vanishes_after_it_was_read(tmp_path: Path) -> None:
    """A file that is removed while it is inspected has its verdict and is kept: its content is at hand."""
    bench = Bench(tmp_path, after_inspection="leave")
    bench.detector.confidence = UNCERTAIN
    bench.detector.before = lambda: (bench.images / "a.jpg").unlink()
    drop(bench.images / "a.jpg", picture())
    bench.run(inspections=1)
    (result,) = bench.results()
    assert (bench.work / "kept" / (result["id"] + ".jpg")).read_bytes() == picture()


def test_overwritten_before_a_restart_could_keep_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An image that was overwritten before a restart could keep it is not kept; that is said, and work goes on."""
    bench = Bench(tmp_path, after_inspection="leave")
    bench.detector.confidence = UNCERTAIN
    drop(bench.images / "a.jpg", picture())
    bench.pipeline_type = cut_after("decide")
    with pytest.raises(Killed):
        bench.take_by_hand()
    bench.kill()
    drop(bench.images / "a.jpg", picture(1))
    bench.pipeline_type = Pipeline
    bench.run(inspections=2)
    images = rows(bench.work / "ledger.sqlite", "SELECT image FROM inspections ORDER BY seq")
    assert images == [("evicted",), ("stored",)]
    assert "image not kept" in [record.getMessage() for record in caplog.records]


def test_detector_that_raises(bench: Bench) -> None:
    """A detector that fails over one image makes it a review, in quarantine; the next is inspected."""

    def fail_once() -> None:
        bench.detector.before = lambda: None
        raise RuntimeError("out of luck")

    bench.detector.before = fail_once
    drop(bench.images / "a.jpg", picture())
    bench.run(inspections=1)
    drop(bench.images / "b.jpg", picture())
    bench.run(inspections=2)
    first, second = bench.results()
    assert (first["verdict"], first["reasons"]) == ("review", ["inference_error"])
    assert second["verdict"] == "fail"
    assert bench.names("quarantine") == [first["id"] + ".jpg", first["id"] + ".json"]


def huge_png() -> bytes:
    """The header of 30,000 x 30,000 pixels, and as much of them as it takes."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(90_001))), (b"IEND", b"")]
    written = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (picture()[:-500], "unreadable"),
        (b"", "unreadable"),
        (b"Dear Sir or Madam, this is a text.", "unsupported"),
        (huge_png(), "too_large"),
        (picture() + bytes(2_000_001), "too_large"),
        (picture()[:20], "unreadable"),
        (bytes(1_000), "unsupported"),
    ],
    ids=["truncated", "empty", "text", "30,000 pixels wide", "megabytes", "header only", "zeros"],
)
def test_bad_content(tmp_path: Path, content: bytes, code: str) -> None:
    """What cannot be inspected is a review with its code, its file in quarantine; the line goes on."""
    bench = Bench(tmp_path, max_image_megabytes=2)
    drop(bench.images / "x.jpg", content)
    bench.run(inspections=1)
    drop(bench.images / "good.jpg", picture())
    bench.run(inspections=2)
    bad, good = bench.results()
    assert (bad["verdict"], bad["reasons"], bad["kept"]) == ("review", [code], ["error"])
    assert (bad["detections"], bad["image"]["width"]) == ([], None)
    assert good["verdict"] == "fail"
    assert bench.names("quarantine") == [bad["id"] + ".jpg", bad["id"] + ".json"]
    assert (bench.work / "quarantine" / (bad["id"] + ".jpg")).read_bytes() == content
    assert bench.archived() == ["000000000001-x.jpg", "000000000002-good.jpg"]


def test_file_that_may_not_be_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without the right to read it is a review, unreadable; it is archived, and the line goes on."""
    opened = os.open

    def denied(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(os.fsdecode(path)).name == "secret.jpg":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return opened(path, *arguments, **options)

    drop(bench.images / "secret.jpg", picture())
    monkeypatch.setattr(os, "open", denied)
    bench.run(inspections=1)
    drop(bench.images / "good.jpg", picture())
    bench.run(inspections=2)
    bad, good = bench.results()
    assert (bad["verdict"], bad["reasons"], bad["image"]["sha256"]) == ("review", ["unreadable"], None)
    assert good["verdict"] == "fail"
    assert bench.archived() == ["000000000001-secret.jpg", "000000000002-good.jpg"]


NAMES = ["a b.jpg", "標籤-ä.jpg", "two\nlines.jpg", "x" * 251 + ".jpg", os.fsdecode(b"\xff\xfe.jpg")]


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name[:20]) for name in NAMES])
def test_strange_names(tmp_path: Path, name: str) -> None:
    """An image is inspected whatever its name, and its message is JSON that everybody can read."""
    bench = Bench(tmp_path, part_pattern="^.{1,3}", audit_share=1)
    drop(bench.images / "top" / name, picture())
    bench.run(inspections=1)
    (result,) = bench.results()
    expected = os.fsencode(name).decode("utf-8", "backslashreplace")
    assert (result["verdict"], result["camera"], result["image"]["name"]) == ("fail", "top", expected)
    assert expected.startswith(result["part"])
    assert bench.names("kept") == [result["id"] + ".jpg", result["id"] + ".json"]


def make_symlink(path: Path) -> None:
    drop(path.parent.parent / "secret.jpg", picture())
    path.symlink_to(path.parent.parent / "secret.jpg")


@pytest.mark.parametrize(
    ("make", "event"),
    [
        (make_symlink, "file left alone"),
        (os.mkfifo, "file left alone"),
        (os.mkdir, "directory named like a picture, watched as a camera's"),
    ],
)
def test_left_alone(
    bench: Bench, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None], event: str
) -> None:
    """A symlink, a FIFO and a directory named like pictures stay where they are, with one log line."""
    make(bench.images / "x.jpg")
    drop(bench.images / "good.jpg", picture())
    bench.run(inspections=1)
    assert [result["image"]["name"] for result in bench.results()] == ["good.jpg"]
    assert bench.names("images") == ["x.jpg"]
    lines = [record for record in caplog.records if getattr(record, "path", "") == "x.jpg"]
    assert [line.getMessage() for line in lines] == [event]


def test_vanishes_before_it_is_claimed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A file that vanished before it could be claimed is no inspection, and one log line."""
    drop(bench.images / "a.jpg", picture())
    pipeline, found = bench.open(), candidate(bench.images, "a.jpg")
    (bench.images / "a.jpg").unlink()
    assert pipeline.take(found, threading.Event()) is None
    assert bench.ledger.last_seq() == 0
    assert [record.getMessage() for record in caplog.records] == ["file left alone"]
    bench.ledger.close()
    bench.kill()


def test_disk_full_while_keeping(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full while an image is kept blocks work; when there is room it is kept and settled."""
    bench.detector.confidence = UNCERTAIN
    drop(bench.images / "a.jpg", picture())
    with monkeypatch.context() as patch:

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("inspector.shell.files.os.fsync", full)
        with pytest.raises(Blocked, match="No space left on device"):
            bench.take_by_hand()
        bench.ledger.close()
        bench.kill()
    bench.run(inspections=1)
    assert_accounted_for(bench, "a.jpg", picture(), ["uncertain"])
