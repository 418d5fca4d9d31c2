"""What the inspector's tests share: fakes of its ports, pictures, and ways to wait without sleeping."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path

import cv2
import numpy as np

from inspector.core.detections import Detections
from inspector.core.frame import Identity, Pixels
from inspector.core.message import Latency, ModelInfo
from inspector.core.package import KnownImages, Thresholds
from inspector.ports import Busy, Candidate, Claimed, Decision, Entry, Target

DEADLINE_S = 20.0


class FakeDetector:
    """Finds one scratch of ``confidence`` in every picture, or what ``before`` raises; ``before`` runs first."""

    def __init__(self, confidence: float = 0.9, before: Callable[[], object] = lambda: None) -> None:
        self.info = ModelInfo("fake", "1.0.0", "fp32", "0" * 64)
        self.labels = ("scratch",)
        self.thresholds: Thresholds | None = None
        self.known_images: KnownImages | None = KnownImages(1, {}, (0.0,) * 54)
        self.confidence = confidence
        self.before = before

    def detect(
        self, pixels: Pixels, *, iou: float = 0.7, max_detections: int = 300
    ) -> tuple[Detections, Latency]:
        self.before()
        box = np.array([[1, 2, 11, 22]], np.float32)
        found = Detections(box, np.array([self.confidence], np.float32), np.array([0], np.int64))
        return found, Latency(preprocess=1.0, inference=2.0, postprocess=3.0)


class FakePublish:
    """Remembers what was published; at most ten at a time.

    A publish ends at once: with the next of ``errors``, None for a success; when there are no more, with what
    ``judge`` returns for its payload. While ``is_held`` it stays under way, until ``answer``.
    """

    def __init__(
        self,
        errors: Iterable[Exception | None] = (),
        judge: Callable[[bytes], Exception | None] = lambda _: None,
    ) -> None:
        self.published: list[bytes] = []
        self.tried: list[bytes] = []
        self.errors = list(errors)
        self.judge = judge
        self.is_held = False
        self.under_way: list[tuple[bytes, Future[None]]] = []

    @property
    def tries(self) -> int:
        return len(self.tried)

    def __call__(self, topic: str, payload: bytes) -> Future[None]:
        self.under_way = [each for each in self.under_way if not each[1].done()]
        if len(self.under_way) >= 10:
            raise Busy
        self.tried.append(payload)
        reply: Future[None] = Future()
        self.under_way.append((payload, reply))
        if not self.is_held:
            self.answer(payload, reply)
        return reply

    def answer(self, payload: bytes, reply: Future[None]) -> None:
        error = self.errors.pop(0) if self.errors else self.judge(payload)
        if error:
            reply.set_exception(error)
        else:
            self.published.append(payload)
            reply.set_result(None)

    def answer_all(self) -> None:
        """Answer what is under way, in order."""
        for payload, reply in self.under_way:
            if not reply.done():
                self.answer(payload, reply)
        self.under_way = []


class Killed(BaseException):
    """Stands for the death of the process: nothing in the product catches it."""


def eventually(predicate: Callable[[], object], what: str = "the condition") -> None:
    """Return once ``predicate`` holds; fail after a deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not predicate():
        assert time.monotonic() < deadline_s, f"{what} did not come about within {DEADLINE_S:g} s"
        pause.wait(0.002)


def picture(seed: int = 0, suffix: str = ".jpg") -> bytes:
    """A small picture, encoded; another for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def drop(path: Path, data: bytes) -> Path:
    """Rename a file into place, as a well-behaved camera does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".dropping")
    temporary.write_bytes(data)
    return temporary.rename(path)


def candidate(root: Path, path: str) -> Candidate:
    """The candidate that a watcher of ``root`` would make of a file."""
    status = (root / path).lstat()
    return Candidate(path, root / path, status.st_mtime_ns, status.st_size, status.st_mtime)


def decision(
    number: int,
    *,
    path: str = "x.jpg",
    source: Path = Path("/images/x.jpg"),
    keep: tuple[str, ...] = (),
    targets: tuple[Target, ...] = ("iot_core",),
    compose: Callable[[int], bytes] = lambda seq: b'{"seq":%d}' % seq,
) -> Decision:
    """A decision about one made-up file; its id is made of ``number``."""
    claimed = Claimed(Identity(path, number, 10, "ab"), source, 0.0, b"")
    return Decision(inspection_id(number), claimed, "pass", keep, b"[]", compose, targets)


def inspection_id(number: int) -> str:
    """An id as inspections have."""
    return f"{number:032x}"


def entry(number: int, source: Path, *, keep: tuple[str, ...] = (), message: bytes = b"{}") -> Entry:
    """The entry of a file that lies at ``source``."""
    status = source.lstat()
    return Entry(
        number,
        inspection_id(number),
        source.name,
        source,
        status.st_mtime_ns,
        status.st_size,
        keep,
        message,
        is_stored=not keep,
        is_settled=False,
    )


def rows(ledger: Path, query: str) -> list[tuple[object, ...]]:
    """What a query finds in a ledger file, read beside whoever has it open."""
    db = sqlite3.connect(ledger)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()
