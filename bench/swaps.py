"""What it takes to exchange the model while images flow: memory after each swap, and the delay of every image.

    python bench/swaps.py [--swaps 25] [--per-second 20] [--package models] [--precision auto]

A camera renames pictures into place at a steady rate; the inspector's own composition inspects them, all but
Greengrass itself, while one version of the package after the other is installed by the model component's own
installer, tried, and taken on probation. Every image must have one result, judged by a model that was in use between
its arrival and its verdict. Prints one JSON object; exit status 1 where an image is lost, delayed by more than a
second, or named after another model, or where memory (resident set size) at the end is more than 5 % above that after
the fifth swap.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from soak import Agreeable, begin, rss_bytes

from inspector.core.settings import Settings
from inspector.examiner import Judged
from inspector.shell.memory import give_back, share_arena
from inspector.works import Works

ROOT = Path(__file__).resolve().parents[1]
SETTLED = 5
"""Swaps after which memory is compared."""
MAX_GROWTH, MAX_DELAY_S, PATIENCE_S = 0.05, 1.0, 120.0
FRAMES = 20
"""Probation: a second's images."""


class Flow:
    """A camera, and what became of its images."""

    def __init__(self, images: Path, per_second: float) -> None:
        images.mkdir(parents=True)
        self._images = images
        self._pause_s = 1 / per_second
        self._over = threading.Event()
        self.arrived: dict[str, float] = {}
        self.judged: dict[str, list[tuple[float, str]]] = {}
        self.failure: Exception | None = None

    def feed(self) -> None:
        """Until ``end``, at a steady rate."""
        pictures = [path.read_bytes() for path in sorted((ROOT / "sample_images").glob("*.jpg"))]
        next_s = time.monotonic()
        while not self._over.wait(max(0.0, next_s - time.monotonic())):
            name = f"part-{len(self.arrived):07d}.jpg"
            (self._images / ".next").write_bytes(pictures[len(self.arrived) % len(pictures)])
            self.arrived[name] = time.monotonic()
            (self._images / ".next").rename(self._images / name)
            next_s += self._pause_s

    def end(self) -> None:
        """No more images."""
        self._over.set()

    def reported(self, judged: Judged) -> None:
        """One inspection has ended."""
        name = judged.taken.claimed.identity.name
        self.judged.setdefault(name, []).append((time.monotonic(), judged.model.version))

    def failed(self, error: Exception) -> None:
        """A thread of the inspector has ended."""
        self.failure = error


class Deployments:
    """Versions of a package, and the installer that makes one current."""

    def __init__(self, package: Path, directory: Path) -> None:
        self._package, self._artifact = package, directory / "artifact"
        self.work = directory / "com.edgeinspector.Model"
        self.work.mkdir()

    def install(self, version: str) -> None:
        """Let ``current`` lead to the package under another version."""
        shutil.copytree(self._package, self._artifact)
        manifest = json.loads((self._package / "manifest.json").read_bytes()) | {"version": version}
        (self._artifact / "manifest.json").write_text(json.dumps(manifest))
        installer = shutil.copy(ROOT / "models" / "install.py", self._artifact)
        command = [sys.executable, "-B", str(installer), "--work", str(self.work)]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(self._artifact)


def run(directory: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Carry it out in a directory; what came of it."""
    deployments, work = Deployments(arguments.package, directory), directory / "inspector"
    flow = Flow(work / "images", arguments.per_second)
    settings = Settings(
        model_directory=str(deployments.work / "current"),
        precision=arguments.precision,
        inference_threads=arguments.threads,
        review_repeated_frames=False,
        archive_max_megabytes=2,
        keep_max_megabytes=2,
        disk_low_megabytes=0,
        disk_full_megabytes=0,
        probation_frames=FRAMES,
    )
    deployments.install("1.0.0")
    works = Works(work, "line-3", Agreeable(), flow.reported, flow.failed)
    begin(works, settings)
    camera = threading.Thread(target=flow.feed)
    camera.start()
    memory, in_use = [rss_bytes()], [(time.monotonic(), "1.0.0")]
    try:
        for number in range(arguments.swaps):
            version = f"1.0.{number + 1}"
            deployments.install(version)
            in_use.append((swap(works, settings, version), version))
            memory.append(rss_bytes())
            sys.stderr.write(f"swap {number + 1:>3}: {memory[-1] / 1e6:7.1f} MB\n")
    finally:
        flow.end()
        camera.join()
    wait(works, settings, lambda: len(flow.judged) == len(flow.arrived))
    precision = works.models.in_use.info.precision if works.models and works.models.in_use else None
    works.end()
    return account(flow, memory, in_use) | {"precision": precision}


def swap(works: Works, settings: Settings, version: str) -> float:
    """Return once the version is in use and has proved itself; when it came into use."""
    models = works.models
    assert models
    wait(works, settings, lambda: models.in_use is not None and models.in_use.info.version == version)
    swapped_s = time.monotonic()
    wait(works, settings, lambda: models.predecessor is None)
    gc.collect()
    give_back()  # as housekeeping does every five seconds
    return swapped_s


def wait(works: Works, settings: Settings, condition: Any) -> None:
    """Do what the component's thread does until the condition holds."""
    deadline_s, chores_s = time.monotonic() + PATIENCE_S, 0.0
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("it did not come about")
        works.follow_model(settings)
        if time.monotonic() >= chores_s:
            works.keep_house()
            chores_s = time.monotonic() + 1
        time.sleep(0.05)


def account(flow: Flow, memory: list[int], in_use: list[tuple[float, str]]) -> dict[str, Any]:
    """The figures."""
    if flow.failure:
        raise flow.failure
    delays = sorted(ends[0][0] - flow.arrived[name] for name, ends in flow.judged.items())
    before = memory[min(SETTLED, len(memory) - 1)]
    return {
        "images": len(flow.arrived),
        "lost": len(flow.arrived.keys() - flow.judged.keys()),
        "judged_twice": sum(len(ends) > 1 for ends in flow.judged.values()),
        "misnamed": sum(
            not may_be(flow.arrived[name], *ends[0], in_use) for name, ends in flow.judged.items()
        ),
        "delay_ms": {
            "median": ms(delays[len(delays) // 2]),
            "p99": ms(delays[int(len(delays) * 0.99)]),
            "most": ms(delays[-1]),
        },
        "swaps": len(memory) - 1,
        "rss_megabytes": [round(size / 1e6, 1) for size in memory],
        "growth_percent": round(100 * (memory[-1] / before - 1), 2),
    }


def may_be(arrived_s: float, judged_s: float, version: str, in_use: list[tuple[float, str]]) -> bool:
    """Whether a model was in use at some moment from an image's arrival to its verdict; to a tenth of a second."""
    ends = [*(since_s for since_s, _ in in_use[1:]), float("inf")]
    return any(
        version == each and since_s - 0.1 <= judged_s and arrived_s <= until_s + 0.1
        for (since_s, each), until_s in zip(in_use, ends, strict=True)
    )


def ms(seconds: float) -> float:
    """Milliseconds, to a tenth."""
    return round(seconds * 1e3, 1)


def main() -> int:
    """Run it in a directory of its own, which is removed afterwards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--swaps", type=int, default=25, metavar="N")
    parser.add_argument("--per-second", type=float, default=20.0, metavar="N")
    parser.add_argument("--package", type=Path, default=ROOT / "models", metavar="DIR")
    parser.add_argument("--precision", choices=("auto", "fp32", "int8"), default="auto")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    share_arena()  # as ``inspector run`` does
    with tempfile.TemporaryDirectory() as directory:
        outcome = run(Path(directory), arguments)
    print(json.dumps(outcome))
    is_well = not outcome["lost"] and not outcome["judged_twice"] and not outcome["misnamed"]
    is_well = is_well and outcome["delay_ms"]["most"] <= 1e3 * MAX_DELAY_S
    return 0 if is_well and outcome["growth_percent"] <= 100 * MAX_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
