"""Whether memory stays where it is: image after image through the whole inspector, all but Greengrass itself.

    python bench/soak.py [--inferences 100000] [--warm-up 10000]

Pictures are renamed into an image directory; the inspector's own composition watches, claims, decodes, infers (with
the small model beside this file), decides, keeps, archives and publishes, to a stand-in that says yes to everything.
Budgets are so small that all of them are full before the warm-up ends. Prints one JSON object; exit status 1 where
memory (resident set size) at the end is more than 5 % above that after the warm-up.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cv2

from inspector.core.settings import Settings
from inspector.shell.greengrass import Greengrass
from inspector.shell.memory import share_arena
from inspector.works import Works

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "bench" / "small.onnx"
MAX_GROWTH = 0.05
AHEAD = 100
"""Pictures that lie in the directory at once, at most."""
SETTINGS: dict[str, Any] = {
    "model_directory": str(MODEL),
    "inference_threads": 1,
    "confidence_threshold": 0.2,
    "low_confidence_threshold": 0.17,
    "archive_max_megabytes": 2,
    "keep_max_megabytes": 2,
    "ledger_max_megabytes": 4,
    "disk_low_megabytes": 0,
    "disk_full_megabytes": 0,
}


class Agreeable(Greengrass):
    """Takes everything that is published, and counts it."""

    def __init__(self) -> None:
        self.published = 0

    def publish_to_topic(self, topic: str, payload: bytes) -> Future[None]:
        self.published += 1
        reply: Future[None] = Future()
        reply.set_result(None)
        return reply

    publish_to_iot_core = publish_to_topic


def pictures() -> list[bytes]:
    """The sample pictures in five exposures, small, so that decoding does not take most of the time."""
    made = []
    for path in sorted((ROOT / "sample_images").glob("*.jpg")):
        pixels = cv2.resize(cv2.imread(str(path)), (160, 120))
        for exposure in (0.6, 0.8, 1.0, 1.2, 1.4):
            brighter = cv2.convertScaleAbs(pixels, alpha=exposure)
            made.append(bytes(cv2.imencode(".jpg", brighter)[1]))
    return made


def begin(works: Works, settings: Settings) -> None:
    """Return once it inspects."""
    works.complete(settings)
    while not works.is_inspecting:
        time.sleep(0.02)
        works.complete(settings)


def rss_bytes() -> int:
    """The resident set size of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Soak:
    """One run: ``feed`` delivers, ``reported`` counts, ``memory`` is what was measured after how many."""

    def __init__(self, work: Path, inferences: int, step: int) -> None:
        self._images = work / "images"
        self._images.mkdir()
        self._inferences = inferences
        self._step = step
        self._room = threading.Semaphore(AHEAD)
        self._done = threading.Event()
        self._count = 0
        self._started = time.monotonic()
        self.verdicts: dict[str, int] = {}
        self.memory: dict[int, int] = {0: rss_bytes()}
        self.failure: Exception | None = None

    def feed(self) -> None:
        """Deliver every picture as a camera should, a few ahead of the inspector."""
        made = pictures()
        for number in range(self._inferences):
            while not self._room.acquire(timeout=1):
                if self.failure:
                    return
            temporary = self._images / ".next"
            temporary.write_bytes(made[number % len(made)])
            temporary.rename(self._images / f"part-{number:07d}.jpg")

    def wait(self, turn: Callable[[], object]) -> None:
        """Until the last one is inspected; about once a second a ``turn`` of what the component's thread does."""
        while not self._done.wait(1) and not self.failure:
            while turn():
                pass

    def reported(self, judged: Any) -> None:
        """One inspection has ended."""
        self._count += 1
        name = judged.verdict.name
        self.verdicts[name] = self.verdicts.get(name, 0) + 1
        if self._count % self._step == 0:
            self._measure()
        if self._count == self._inferences:
            self._done.set()
        self._room.release()

    def _measure(self) -> None:
        gc.collect()
        self.memory[self._count] = rss_bytes()
        rate = self._count / (time.monotonic() - self._started)
        megabytes = self.memory[self._count] / 1e6
        sys.stderr.write(f"{self._count:>8} of {self._inferences}  {rate:6.0f}/s  {megabytes:7.1f} MB\n")

    def failed(self, error: Exception) -> None:
        """A thread of the inspector has ended."""
        self.failure = error


def run(work: Path, inferences: int, warm_up: int) -> dict[str, Any]:
    """Carry it out in a directory; what came of it."""
    soak = Soak(work, inferences, max(warm_up // 10, 1))
    greengrass, started = Agreeable(), time.monotonic()
    works = Works(work, "line-3", greengrass, soak.reported, soak.failed)
    begin(works, Settings(**SETTINGS))
    feeder = threading.Thread(target=soak.feed)
    feeder.start()
    soak.wait(works.keep_house)
    feeder.join()
    works.end()
    if soak.failure:
        raise soak.failure
    before, after = soak.memory[warm_up], soak.memory[max(soak.memory)]
    return {
        "inferences": sum(soak.verdicts.values()),
        "warm_up": warm_up,
        "seconds": round(time.monotonic() - started),
        "verdicts": soak.verdicts,
        "published": greengrass.published,
        "rss_megabytes": {count: round(size / 1e6, 1) for count, size in soak.memory.items()},
        "growth_percent": round(100 * (after / before - 1), 2),
    }


def main() -> int:
    """Run it in a directory of its own, which is removed afterwards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inferences", type=int, default=100_000, metavar="N")
    parser.add_argument(
        "--warm-up", type=int, default=10_000, metavar="N", help="after which memory is compared"
    )
    arguments = parser.parse_args()
    share_arena()  # as ``inspector run`` does
    with tempfile.TemporaryDirectory() as work:
        outcome = run(Path(work), arguments.inferences, arguments.warm_up)
    print(json.dumps(outcome))
    return 0 if outcome["growth_percent"] <= 100 * MAX_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
