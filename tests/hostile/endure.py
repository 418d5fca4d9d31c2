"""A process that inspects the same files again and again, with little memory to spare, and tells how that went.

    python endure.py FILES WORK [--model DIR] [--rounds N]

Prints one JSON object. Everything is the inspector's own, from the watcher to the ledger; without a model the
detector is a fake that finds nothing, so that whatever decodes passes.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # as the component's command line does
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import inspector_fakes  # noqa: E402
from inspector.examiner import Judged  # noqa: E402
from inspector.shell.detector import load  # noqa: E402
from inspector_bench import Bench  # noqa: E402
from inspector_fakes import eventually  # noqa: E402

SPARE_BYTES = 1_500_000_000
"""Of address space, beyond what is in use before the first file: for stacks, the allocator's arenas and pixels."""
inspector_fakes.DEADLINE_S = 540.0


def rss_bytes() -> int:
    """The resident set size of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def limit_address_space() -> None:
    """From here on whoever asks for gigabytes is refused."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (in_use + SPARE_BYTES, resource.RLIM_INFINITY))


class Endurance:
    """Rounds of inspection of the same files, each under another directory, by one line."""

    def __init__(self, files: Path, work: Path, model: Path | None) -> None:
        unlike_the_model = {"review_unusual_images": False, "review_repeated_frames": False}
        self._bench = Bench(work, audit_share=0, after_inspection="delete", **unlike_the_model)
        self._bench.detector.confidence = 0.0
        if model:
            self._bench.detector = load(model)  # type: ignore[assignment]
        self._bench.report = self._reported
        self._files = files
        self._delivered = self._inspected = 0
        self._busy_s = 0.0
        self.slowest: tuple[float, str] = (0.0, "")

    def run(self, rounds: int) -> list[int]:
        """Inspect every file so many times; how much memory is in use before and after each round."""
        line = self._bench.line()
        limit_address_space()
        line.start()
        used = [rss_bytes(), *map(self._round, range(rounds))]
        line.stop()
        self._bench.ledger.close()
        assert self._bench.failures == []
        return used

    def _round(self, number: int) -> int:
        """Deliver every file, all at once; return when the last one is inspected."""
        aside = self._bench.work / str(number)
        aside.mkdir()
        for file in self._files.iterdir():
            (aside / file.name).hardlink_to(file)
            self._delivered += 1
        self._busy_s = time.process_time()
        aside.rename(self._bench.images / aside.name)
        eventually(lambda: self._inspected == self._delivered or self._bench.failures)
        return rss_bytes()

    def _reported(self, judged: Judged) -> None:
        """The time is the processor's, which others on the machine do not lengthen."""
        now_s = time.process_time()
        self.slowest = max(self.slowest, (now_s - self._busy_s, judged.taken.claimed.identity.path))
        self._busy_s = now_s
        self._inspected += 1


def main() -> int:
    """Work through it."""
    faulthandler.enable()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    endurance = Endurance(arguments.files, arguments.work, arguments.model)
    outcome: dict[str, Any] = {"rss": endurance.run(arguments.rounds)}
    outcome["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    outcome["slowest"] = endurance.slowest
    print(json.dumps(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
