"""The camera: files arriving in every way in which cameras write them, and a record of each that was finished.

It writes in bursts that the machine can't keep up with, as many as it can on the whole.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

from torture.account import Written
from torture.pictures import Deck, Picture

CAMERAS = ("top", "side", "end")
# How often each way of writing is chosen, in percent.
WAYS = {"rename": 56, "in place": 16, "slow writer": 4, "overwritten": 8, "unreadable": 12, "old time": 4}
BURST = (20, 60)
LOW, HIGH = 5, 150
"""The next burst begins when fewer files wait than LOW, or after a while, as long as fewer wait than HIGH."""
_IMPATIENCE_S = 3.0
_STEP_S = 0.01

Steps = Generator[float, None, None]
"""Writes on at each step; yields how long to pause before the next, in seconds."""


class Camera:
    """Writes below ``images`` from ``run``'s thread; ``load`` and ``fire`` may be called from another."""

    def __init__(
        self, images: Path, deck: Deck, generator: random.Random, settle_s: float, per_second: float
    ) -> None:
        self.written: list[Written] = []
        self.refused = 0
        """Writes that failed for want of room: those images were never in."""
        self.clock_offset_s = 0.0
        self._images = images
        self._deck = deck
        self._random = generator
        self._settle_s = settle_s
        self._per_second = per_second
        self._names = itertools.count(1)
        self._under_way: list[tuple[float, int, Steps]] = []
        self._order = itertools.count()
        self._loaded: list[tuple[Path, Path, Picture]] = []
        for camera in CAMERAS:
            (images / camera).mkdir(parents=True, exist_ok=True)

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop; what was begun is finished."""
        started_s = last_burst_s = time.monotonic()
        begun = 0
        while not stop.wait(_STEP_S):
            self._advance()
            now_s = time.monotonic()
            if begun <= (now_s - started_s) * self._per_second and self._may_begin(now_s - last_burst_s):
                size = self._random.randint(*BURST)
                for _ in range(size):
                    self._begin()
                begun, last_burst_s = begun + size, now_s
        while self._under_way:
            time.sleep(_STEP_S)
            self._advance()

    def backlog(self) -> int:
        """Files that wait to be inspected, claimed ones included."""
        return sum(len(names) for _, _, names in os.walk(self._images))

    def load(self, count: int) -> None:
        """Write files that nobody sees yet: a full disk still lets them be renamed into place."""
        for _ in range(count):
            path, picture = self._next()
            hidden = path.with_name(f".{path.name}.tmp")
            hidden.write_bytes(picture.data)
            self._loaded.append((hidden, path, picture))

    def fire(self) -> None:
        """Rename into place what was loaded."""
        while self._loaded:
            hidden, path, picture = self._loaded.pop()
            hidden.rename(path)
            self._record(path, picture, "disk full")

    def _may_begin(self, since_last_s: float) -> bool:
        waiting = self.backlog()
        return waiting < LOW or (waiting < HIGH and since_last_s > _IMPATIENCE_S)

    def _begin(self) -> None:
        (way,) = self._random.choices(list(WAYS), list(WAYS.values()))
        self._push(0.0, self._ways()[way](way))

    def _ways(self) -> dict[str, Callable[[str], Steps]]:
        return {
            "rename": self._rename,
            "in place": self._in_place,
            "slow writer": self._slowly,
            "overwritten": self._overwrite,
            "unreadable": self._unreadable,
            "old time": self._rename,
        }

    def _push(self, pause_s: float, steps: Steps) -> None:
        heapq.heappush(self._under_way, (time.monotonic() + pause_s, next(self._order), steps))

    def _advance(self) -> None:
        """Take every step that is due."""
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, _, steps = heapq.heappop(self._under_way)
            try:
                self._push(next(steps), steps)
            except StopIteration:
                continue
            except OSError:
                self.refused += 1

    def _next(self) -> tuple[Path, Picture]:
        camera = self._random.choice(CAMERAS)
        return self._images / camera / f"part-{next(self._names):06}.jpg", self._deck.draw(camera)

    def _rename(self, way: str) -> Steps:
        path, picture = self._next()
        self._rename_into_place(path, picture, way)
        yield from ()

    def _rename_into_place(self, path: Path, picture: Picture, way: str) -> None:
        hidden = path.with_name(f".{path.name}.tmp")
        try:
            hidden.write_bytes(picture.data)
            if offset_s := self.clock_offset_s or (-3600.0 if way == "old time" else 0.0):
                moment_s = time.time() + offset_s
                os.utime(hidden, (moment_s, moment_s))
            hidden.rename(path)
        except OSError:
            hidden.unlink(missing_ok=True)
            raise
        self._record(path, picture, way)

    def _in_place(self, way: str) -> Steps:
        path, picture = self._next()
        yield from self._write(path, picture, way, self._settle_s * 0.4)

    def _slowly(self, way: str) -> Steps:
        path, picture = self._next()
        yield from self._write(path, picture, way, self._settle_s * self._random.uniform(2, 8))

    def _unreadable(self, way: str) -> Steps:
        camera = self._random.choice(CAMERAS)
        picture = self._deck.draw_unreadable(camera)
        path = self._images / camera / f"part-{next(self._names):06}.jpg"
        if self._random.random() < 0.7:
            self._rename_into_place(path, picture, way)
        else:
            yield from self._write(path, picture, way, self._settle_s * 0.4)

    def _overwrite(self, way: str) -> Steps:
        """Some versions of one name, one soon after the other: only the last is sure to be seen."""
        path, picture = self._next()
        earlier: Written | None = None
        for version in range(self._random.randint(2, 4)):
            if version:
                yield self._settle_s * self._random.uniform(0, 1.5)
                picture = self._deck.draw(path.parent.name)
            if earlier:
                earlier.is_superseded = True
            earlier = yield from self._write(path, picture, way, self._settle_s * 0.1)

    def _write(
        self, path: Path, picture: Picture, way: str, pause_s: float
    ) -> Generator[float, None, Written]:
        """Half of it, a pause, the rest."""
        middle = len(picture.data) // 2
        try:
            with path.open("wb", buffering=0) as file:
                _write_all(file.fileno(), picture.data[:middle])
                yield pause_s
                _write_all(file.fileno(), picture.data[middle:])
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return self._record(path, picture, way)

    def _record(self, path: Path, picture: Picture, way: str) -> Written:
        relative = path.relative_to(self._images).as_posix()
        sha256 = hashlib.sha256(picture.data).hexdigest()
        written = Written(relative, sha256, way, time.monotonic(), picture.expected)
        self.written.append(written)
        return written


def _write_all(descriptor: int, data: bytes) -> None:
    """A disk that fills up takes a part and says so; the rest is then refused."""
    while data:
        data = data[os.write(descriptor, data) :]
