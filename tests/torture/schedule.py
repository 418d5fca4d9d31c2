"""When which fault comes: two lanes at once, one that kills, one for everything around the component.

Each begins with a tour, so that the shortest run meets every fault, and goes on at random.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping

from torture.account import Injected
from torture.faults import KILLS, OWN, PASSING, SURROUNDINGS, Fault, Scene

# Of ten kills so many come between two effects, at a random moment, and to the host.
_KILLS = ("cut", "cut", "cut", "random", "cut", "cut", "cut", "host", "cut", "cut")
_PAUSE_S = (1.0, 3.0)
_KILL_PAUSE_S = (1.5, 3.5)


class Schedule:
    """Injects the faults of one nucleus from ``start`` until ``stop``; what it did is in ``injected``."""

    def __init__(self, scene: Scene, seed: int, profile: str) -> None:
        self.injected: list[Injected] = []
        self.under_way: dict[str, str] = {}
        self.failure: Exception | None = None
        self._scene = scene
        around = {**SURROUNDINGS, **OWN[profile]}
        self._lanes = [
            self._lane("surroundings", around, _tour(list(around), random.Random(seed)), _PAUSE_S),
            self._lane("kills", KILLS, _kills(), _KILL_PAUSE_S),
        ]

    def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    def stop(self) -> None:
        """End what is under way, and mend it."""
        self._scene.stop.set()
        for lane in self._lanes:
            lane.join()
        self._scene.device.fault("clear")

    def _lane(
        self, lane: str, faults: Mapping[str, Fault], names: Iterator[str], pause_s: tuple[float, float]
    ) -> threading.Thread:
        return threading.Thread(target=self._run, args=(lane, faults, names, pause_s), name=lane, daemon=True)

    def _run(
        self, lane: str, faults: Mapping[str, Fault], names: Iterator[str], pause_s: tuple[float, float]
    ) -> None:
        try:
            while not self._scene.stop.wait(self._scene.random.uniform(*pause_s)):
                name = next(names)
                self.under_way[lane] = name
                self._inject(name, faults[name])
                self.under_way.pop(lane)
        except Exception as error:  # noqa: BLE001  # the main thread must know that faults no longer come
            self.failure = error

    def _inject(self, name: str, fault: Fault) -> None:
        start_s = time.monotonic()
        try:
            kills = fault(self._scene)
        except PASSING:
            return
        if kills or name not in KILLS:
            # A kill is over at once; what follows is the recovery.
            end_s = _kill_s(name, start_s) if name in KILLS else time.monotonic()
            self.injected.append(Injected(name, start_s, end_s, kills))


def _kill_s(name: str, start_s: float) -> float:
    return start_s if name == "kill -9 of the host" else time.monotonic()


def _tour(names: list[str], generator: random.Random) -> Iterator[str]:
    """Each once, in another order every time."""
    while True:
        yield from generator.sample(names, len(names))


def _kills() -> Iterator[str]:
    cut, component, host = KILLS
    names = {"cut": cut, "random": component, "host": host}
    while True:
        yield from (names[each] for each in _KILLS)
