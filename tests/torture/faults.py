"""The faults, each a function that injects one, waits until it is over and tells whether it took place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event

from edgehost.faults import DAEMON_AWAY_S
from edgehost.profile import LITE
from edgehost.running_host import ControlError
from mosquitto_broker import Mosquitto
from torture.camera import Camera
from torture.cuts import CUTS, Control
from torture.device import Device
from torture.enclosure import SmallDisk, set_writable

HOUR_S = 3600.0
_OPERATIONS = ("PublishToIoTCore", "PublishToTopic")
_MAGAZINE = 20
_CUT_PATIENCE_S = 6.0
_REFILL_S = 0.1
_ERROR_PATIENCE_S = 10.0


@dataclass
class Scene:
    """All that faults act on. ``scale`` shortens outages in a short run; ``stop`` ends whatever is under way."""

    device: Device
    broker: Mosquitto
    camera: Camera
    disk: SmallDisk
    control: Control
    random: random.Random
    scale: float
    stop: Event
    cuts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CUTS, 0))
    """How often the component died at each."""
    overdue: list[str] = field(default_factory=list)
    """Cuts of this round that are still to come."""
    patience: dict[str, int] = field(default_factory=dict)

    def outage(self, shortest_s: float, longest_s: float) -> None:
        """Wait for the length of an outage."""
        self.stop.wait(self.outage_s(shortest_s, longest_s))

    def outage_s(self, shortest_s: float, longest_s: float) -> float:
        """The length of an outage."""
        return max(2.0, self.random.uniform(shortest_s, longest_s) * self.scale)


Fault = Callable[[Scene], int]
"""Injects a fault and waits until it is over; returns how many processes it killed."""


def broker_killed(scene: Scene) -> int:
    scene.broker.kill()
    scene.outage(10, 40)
    scene.broker.start()
    return 0


def broker_stopped(scene: Scene) -> int:
    scene.broker.stop()
    scene.outage(10, 40)
    scene.broker.start()
    return 0


def broker_unreachable(scene: Scene) -> int:
    seconds = scene.outage_s(10, 40)
    scene.device.fault("broker-down", seconds=seconds)
    scene.stop.wait(seconds)
    return 0


def ipc_cut(scene: Scene) -> int:
    scene.device.fault("ipc-cut")
    return 0


def ipc_slow(scene: Scene) -> int:
    seconds = scene.outage_s(8, 20)
    scene.device.fault("ipc-slow", delay_s=scene.random.choice([0.5, 2.0, 12.0]), seconds=seconds)
    scene.stop.wait(seconds)
    return 0


def spool_full(scene: Scene) -> int:
    seconds = scene.outage_s(5, 20)
    scene.device.fault("spool-full", seconds=seconds)
    scene.stop.wait(seconds)
    return 0


def daemon_restart(name: str) -> Fault:
    """One of the processes that the nucleus is made of is away for a second; what depends on it dies in silence."""

    def inject(scene: Scene) -> int:
        scene.device.fault("daemon-restart", name=name)
        scene.stop.wait(DAEMON_AWAY_S)
        return 0

    return inject


def error(answer: str) -> Fault:
    """A few requests are answered so; what is withheld is carried out or not, at random."""

    def inject(scene: Scene) -> int:
        withheld = answer in ("NoAnswer", "ConnectionClosed") and scene.random.random() < 0.5
        count = scene.random.randint(1, 7 if answer == "InvalidArgumentsError" else 3)
        operation = scene.random.choice(_OPERATIONS)
        given = {"answer": answer, "operation": operation, "count": count, "carried_out": withheld}
        scene.device.fault("error", **given)
        deadline_s = time.monotonic() + _ERROR_PATIENCE_S
        while scene.device.fault("list") and time.monotonic() < deadline_s and not scene.stop.wait(0.2):
            pass
        scene.device.fault("clear")  # where nobody asked
        return 0

    return inject


def disk_full(scene: Scene) -> int:
    """Images go on arriving: they were written before and are renamed into place."""
    scene.camera.load(_MAGAZINE)
    scene.disk.fill()
    try:
        scene.camera.fire()
        deadline_s = time.monotonic() + scene.outage_s(6, 15)
        while time.monotonic() < deadline_s and not scene.stop.wait(_REFILL_S):
            scene.disk.fill()
    finally:
        scene.disk.empty()
    return 0


def read_only(scene: Scene) -> int:
    set_writable(scene.device.images, writable=False)
    try:
        scene.outage(5, 15)
    finally:
        set_writable(scene.device.images, writable=True)
    return 0


def clock(offset_s: float) -> Fault:
    """The component's wall clock jumps, and with it that of the camera; afterwards both jump back."""

    def inject(scene: Scene) -> int:
        scene.control.set_clock(offset_s)
        scene.camera.clock_offset_s = offset_s
        try:
            scene.outage(5, 15)
        finally:
            scene.control.set_clock(0)
            scene.camera.clock_offset_s = 0
        return 0

    return inject


def component_killed(scene: Scene) -> int:
    scene.device.kill_component()
    return 1


def host_killed(scene: Scene) -> int:
    scene.device.kill_host()
    return 1


def component_cut(scene: Scene) -> int:
    """The next cut of the round; one that did not come, because nothing got so far, stays due."""
    if not scene.overdue:
        scene.overdue = list(CUTS)
    where = scene.overdue.pop(0)
    if scene.control.cut(where, _CUT_PATIENCE_S):
        scene.cuts[where] += 1
        return 1
    scene.patience[where] = scene.patience.get(where, 0) + 1
    if scene.patience[where] % 3:
        scene.overdue.insert(min(4, len(scene.overdue)), where)
    return 0


SURROUNDINGS: Mapping[str, Fault] = {
    "broker killed": broker_killed,
    "broker stopped": broker_stopped,
    "broker unreachable": broker_unreachable,
    "IPC cut": ipc_cut,
    "IPC slow": ipc_slow,
    **{
        f"error {answer}": error(answer)
        for answer in (
            "ServiceError",
            "UnauthorizedError",
            "InvalidArgumentsError",
            "ResourceNotFoundError",
            "NoAnswer",
            "ConnectionClosed",
        )
    },
    "disk full": disk_full,
    "read-only directory": read_only,
    "clock an hour ahead": clock(HOUR_S),
    "clock an hour back": clock(-HOUR_S),
}
"""What every nucleus suffers from."""
OWN: Mapping[str, Mapping[str, Fault]] = {
    "classic": {"spool full": spool_full},
    "lite": {f"restart of {name}": daemon_restart(name) for name in LITE.daemons},
}
"""What only one nucleus suffers from."""
KILLS: Mapping[str, Fault] = {
    "kill -9 between effects": component_cut,
    "kill -9 of the component": component_killed,
    "kill -9 of the host": host_killed,
}
PASSING = (ControlError,)
"""What a fault may end with where another is under way: the host is just being replaced."""
