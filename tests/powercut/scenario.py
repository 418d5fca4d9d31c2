"""What is recorded: two runs of the inspector over a few images, the first of which is killed.

``python -m powercut.scenario ROOT ARCHIVE SAID AFTER_INSPECTION RUN PIPELINE`` is one run. It is single-threaded, so
that each recording is the same: the effects of a frame come in the pipeline's order, the next frame is taken before
one is concluded, and the courier has its turn after each.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inspector.core.detections import Detections
from inspector.core.frame import Pixels
from inspector.core.message import Latency
from inspector.courier import Courier
from inspector.examiner import Judged
from inspector.pipeline import Pipeline
from inspector.ports import Candidate, Claimed, Entry
from inspector_bench import Bench
from inspector_fakes import FakeDetector

FAIL, UNCERTAIN, PASS = 40, 120, 200
"""Mean brightness of pictures about which the detector is sure, unsure, sure."""
CONFIDENCES = {FAIL: 0.9, UNCERTAIN: 0.4, PASS: 0.1}
GROUP = 2
"""Verdicts that are decided together."""
Say = Callable[[str, Any], None]
"""Tells the world of something of a kind."""


class BrightnessDetector(FakeDetector):
    """Finds a scratch of a confidence that depends on the brightness."""

    def detect(
        self, pixels: Pixels, *, iou: float = 0.7, max_detections: int = 300
    ) -> tuple[Detections, Latency]:
        brightness = float(pixels.mean())
        self.confidence = CONFIDENCES[min(CONFIDENCES, key=lambda each: abs(each - brightness))]
        return super().detect(pixels, iou=iou, max_detections=max_detections)


class Turns(threading.Event):
    """A stop event that lets a loop turn so many times."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    def is_set(self) -> bool:
        self.turns -= 1
        return self.turns < 0


class Outlet:
    """A broker that ``hear``s each message; the courier has its turn until nothing waits."""

    def __init__(self, bench: Bench, hear: Callable[[bytes], object]) -> None:
        self._ledger = bench.ledger
        self._hear = hear
        self._stop = threading.Event()
        self._due = 0
        self._courier = Courier("iot_core", "results", self._publish, bench.ledger, 1e9)

    def drain(self) -> None:
        """Publish what waits."""
        self._due = self._ledger.count("waiting")
        if self._due:
            self._stop.clear()
            self._courier.run(self._stop)

    def _publish(self, topic: str, payload: bytes) -> Future[None]:
        self._hear(payload)
        self._due -= 1
        if not self._due:
            self._stop.set()
        reply: Future[None] = Future()
        reply.set_result(None)
        return reply


def bench(root: Path, archive: Path, after_inspection: str) -> Bench:
    """The inspector on the recorded directories."""
    made = Bench(
        root,
        after_inspection=after_inspection,
        archive_directory=str(archive),
        audit_share=0.0,
        rescan_seconds=1e-6,
    )
    made.detector = BrightnessDetector()
    return made


def run(made: Bench, hear: Callable[[bytes], object]) -> Outlet:
    """What a new run does with what it finds; then it is idle."""
    pipeline = made.open()
    outlet = Outlet(made, hear)
    for entry in made.ledger.unsettled():
        pipeline.resume(entry, threading.Event())
    inspect(pipeline, made.watcher.candidates(Turns(1)), outlet)
    outlet.drain()
    return outlet


def inspect(pipeline: Pipeline, candidates: Iterable[Candidate], outlet: Outlet) -> None:
    """Inspect each, two verdicts at a time and one frame ahead, as the line does; publish as it goes."""
    judged: list[Judged] = []
    for candidate in candidates:
        taken = pipeline.take(candidate, threading.Event())
        if len(judged) == GROUP:
            pipeline.record(judged)
            outlet.drain()
            judged = []
        if taken:
            judged.append(pipeline.judge(taken))
    if judged:
        pipeline.record(judged)
        outlet.drain()


def picture(brightness: int) -> bytes:
    """A small picture of this brightness, another each time."""
    noise = np.random.default_rng(brightness).integers(-30, 30, (24, 32, 3))
    return cv2.imencode(".jpg", (noise + brightness).clip(0, 255).astype(np.uint8))[1].tobytes()


class Camera:
    """Delivers images durably, as files renamed into place, and tells the world of each."""

    def __init__(self, images: Path, say: Say, begun_s: int = 1_700_000_000) -> None:
        self._images = images
        self._say = say
        self._time_ns = begun_s * 10**9

    def deliver(self, name: str, data: bytes) -> None:
        """Return when the image is there for good."""
        self._time_ns += 1_000_000_000
        path = self._images / name
        temporary = path.with_name(".delivering")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.utime(file.fileno(), ns=(self._time_ns, self._time_ns))
            os.fsync(file.fileno())
        temporary.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        self._say("delivered", {"path": name, "mtime_ns": self._time_ns, "data": data.hex()})


class SettlesFirst(Pipeline):
    """As it must not be: verdicts are put on record after their files were settled."""

    def record(self, judged: Sequence[Judged]) -> None:
        for each in judged:
            self._claims.settle(_settled_too_early(each.taken.claimed))
        super().record(judged)


PIPELINES = {"as it is": Pipeline, "settles first": SettlesFirst}


def _settled_too_early(claimed: Claimed) -> Entry:
    identity = claimed.identity
    version = identity.mtime_ns, identity.size_bytes
    return Entry(
        0, "0" * 32, identity.path, claimed.source, *version, (), b"", is_stored=True, is_settled=False
    )


def first_run(made: Bench, say: Say) -> None:
    """Some images, one after the other; then one is decided and no more, one begun, and the process killed."""
    camera = Camera(made.images, say)
    camera.deliver("a.jpg", picture(UNCERTAIN))
    camera.deliver("b.jpg", b"\xff\xd8\xff no picture at all")
    outlet = run(made, lambda message: say("published", message.decode()))
    camera.deliver("top/c.jpg", picture(PASS))
    camera.deliver("top/d.jpg", picture(UNCERTAIN + 1))
    camera.deliver("e.jpg", picture(FAIL))
    candidates = made.watch().candidates(Turns(1))
    inspect(made.pipeline, itertools.islice(candidates, 1), outlet)
    taken = made.pipeline.take(next(candidates), threading.Event())
    assert taken
    made.pipeline.decide([made.pipeline.judge(taken)])
    made.pipeline.take(next(candidates), threading.Event())
    say("killed", "top/d.jpg e.jpg")
    os._exit(0)


def second_run(made: Bench, say: Say) -> None:
    """The process comes again, and finds what the first left and newer images, one of a name that was there."""
    camera = Camera(made.images, say, begun_s=1_700_001_000)
    camera.deliver("a.jpg", picture(PASS + 1))
    camera.deliver("top/f.jpg", picture(UNCERTAIN + 2))
    run(made, lambda message: say("published", message.decode()))
    made.watcher._inotify.close()
    made.ledger.close()


def main(root: str, archive: str, said: str, after_inspection: str, number: str, pipeline: str) -> None:
    """Make one of the runs."""
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(kind: str, what: Any) -> None:
        os.write(descriptor, json.dumps({"kind": kind, "what": what}).encode())

    made = bench(Path(root), Path(archive), after_inspection)
    made.pipeline_type = PIPELINES[pipeline]
    (first_run if number == "1" else second_run)(made, say)


if __name__ == "__main__":
    main(*sys.argv[1:])
