"""One run: sets the scene, lets faults come, waits until everything has drained, adds up."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from mosquitto_broker import Mosquitto, until
from torture import device as devices
from torture import pictures, report
from torture.account import add_up
from torture.camera import Camera
from torture.consumer import Consumer
from torture.cuts import Control
from torture.device import CHECKOUT, SETTLE_MS, THING, Device
from torture.enclosure import SmallDisk, check_read_only
from torture.faults import Scene
from torture.schedule import Schedule

DISK_MB = 448
IMAGES_PER_SECOND = 8.0
BASES = {"short": 96, "long": 320}
INTERRUPTED = 130
DRAIN_S = 180
QUIET_S = 100
"""When nothing new has come for so long, nothing will. Longer than Greengrass Lite's loss of a subscription keeps the
component from hearing what it is asked for."""
_LONG_MINUTES = 10
_TELL_S = {True: 0.5, False: 5.0}
_BROKER = "allow_anonymous true\npersistence true\npersistence_location {}/"


class Run:
    """A run of so many minutes; what it leaves is in ``results``."""

    def __init__(self, results: Path, profile: str, minutes: float, seed: int, terminal: Console) -> None:
        self._results = results
        self._profile = profile
        self._minutes = minutes
        self._seed = seed
        self._terminal = terminal
        self._exit = ExitStack()
        self._started_s = 0.0
        self._progress = terminal.status("")
        self._tell_s = 0.0
        self._is_interrupted = False

    def carry_out(self) -> int:
        """All of it; the exit code."""
        with self._exit:
            self._set_scene()
            is_drained = self._torture()
            return self._conclude(is_drained)

    def _set_scene(self) -> None:
        """Everything that runs is started here, and the faults that need rights are shown to be real."""
        self._exit.callback(self._progress.stop)
        say = self._terminal.print
        say(f"torture: {self._minutes:g} minutes on {self._profile}, seed {self._seed}", highlight=False)
        shutil.rmtree(self._results, ignore_errors=True)
        self._results.mkdir(parents=True)
        disk = SmallDisk(self._results / "device", DISK_MB)
        disk.check_full()
        environment = devices.make_environment(self._results)
        build = devices.build(self._results / "build")
        say("judging the pictures undisturbed", style="dim")
        deck = pictures.Deck(self._bases(environment), random.Random(self._seed))
        control = Control(self._results / "control")
        control.prepare()
        broker = self._new_broker()
        log = self._results / "host.log"
        self._device = Device(disk.path, self._profile, build, broker.url, control, log)
        (self._results / "logs").mkdir()
        (disk.path / "logs").symlink_to(
            self._results / "logs"
        )  # what is said of a full disk must not be lost
        devices.lend_environment(self._device, environment)
        check_read_only(self._device.images)
        self._consumer = Consumer(broker.url, THING)
        self._exit.callback(self._consumer.close)
        self._camera = Camera(
            self._device.images, deck, random.Random(self._seed), SETTLE_MS / 1000, IMAGES_PER_SECOND
        )
        self._exit.callback(self._device.stop)
        self._device.start()
        until(lambda: any(each["state"] == "running" for each in self._consumer.statuses), "it runs", 60)
        control.check()
        stop, scale = threading.Event(), min(1.0, max(0.2, self._minutes / 15))
        self._scene = Scene(
            self._device, broker, self._camera, disk, control, random.Random(self._seed), scale, stop
        )

    def _bases(self, environment: Path) -> list[pictures.Picture]:
        count = BASES["long" if self._minutes >= _LONG_MINUTES else "short"]
        contents = pictures.variants(sorted((CHECKOUT / "sample_images").glob("*.jpg")), count)
        return pictures.judged(contents, devices.once(environment), self._results / "undisturbed")

    def _new_broker(self) -> Mosquitto:
        directory = self._results / "broker"
        directory.mkdir()
        broker = Mosquitto(directory, _BROKER.format(directory))
        broker.start()
        self._exit.callback(broker.stop)
        return broker

    def _torture(self) -> bool:
        """Camera, consumer and faults until the time is up, then the drain; whether everything has drained."""
        self._schedule = Schedule(self._scene, self._seed, self._profile)
        over = threading.Event()
        camera = threading.Thread(target=self._camera.run, args=(over,), daemon=True)
        self._started_s = time.monotonic()
        camera.start()
        self._schedule.start()
        with self._interruptible():
            while time.monotonic() < self._started_s + self._minutes * 60 and not self._schedule.failure:
                self._turn(camera)
        over.set()
        self._schedule.stop()
        camera.join()
        if self._schedule.failure:
            self._terminal.print(f"torture: faults ended early: {self._schedule.failure!r}", style="red")
        self._seconds = time.monotonic() - self._started_s
        return self._drain()

    def _turn(self, camera: threading.Thread) -> None:
        """A moment of watching."""
        assert camera.is_alive(), "the camera stopped"
        self._consumer.look_after()
        self._tell()
        time.sleep(0.1)

    def _drain(self) -> bool:
        """Wait for what is still on its way, unless for long nothing new came."""
        latest, quiet_s = -1, time.monotonic() + QUIET_S
        deadline_s = time.monotonic() + DRAIN_S
        with self._interruptible():
            while time.monotonic() < min(deadline_s, quiet_s):
                if self._is_drained():
                    return True
                if self._consumer.seen() > latest:
                    latest, quiet_s = self._consumer.seen(), time.monotonic() + QUIET_S
                self._consumer.ask_status()
                for _ in range(20):
                    self._consumer.look_after()
                    self._tell("draining")
                    time.sleep(0.1)
        return False

    def _is_drained(self) -> bool:
        """Every image has its verdict, none is missing in between, nothing waits."""
        seen = self._consumer.images()
        due = [each for each in self._camera.written if not each.is_superseded]
        waiting = [each for each in due if not {(each.path, each.sha256), (each.path, None)} & seen]
        return not waiting and not self._consumer.missing() and self._camera.backlog() == 0

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C ends this part, and no more than this."""
        try:
            yield
        except KeyboardInterrupt:
            self._is_interrupted = True
            self._terminal.print("interrupted")

    def _tell(self, what: str = "") -> None:
        """One line that changes on a terminal, a line every few seconds elsewhere."""
        now_s = time.monotonic()
        if now_s < self._tell_s:
            return
        self._tell_s = now_s + _TELL_S[self._terminal.is_terminal]
        under_way = what or ", ".join(self._schedule.under_way.values())
        line = (
            f"{now_s - self._started_s:5.0f} s  {len(self._camera.written)} images, "
            f"{self._consumer.seen()} verdicts, {self._camera.backlog()} waiting, "
            f"{self._kills()} kills  {under_way}"
        )
        if self._terminal.is_terminal:
            self._progress.start()
            self._progress.update(line)
        else:
            self._terminal.print(line, highlight=False)

    def _kills(self) -> int:
        return sum(each.kills for each in self._schedule.injected)

    def _conclude(self, is_drained: bool) -> int:
        self._progress.stop()
        self._device.stop()
        account = add_up(
            self._camera.written,
            self._consumer.deliveries,
            self._schedule.injected,
            self._consumer.last_seqs,
        )
        for file in self._device.work.glob("ledger.sqlite*"):
            shutil.copy2(file, self._results)
        problems = account.problems()
        if not is_drained:
            problems.append("not everything had drained")
        if self._schedule.failure:
            problems.append(f"faults ended early: {self._schedule.failure!r}")
        problems += self._reconcile()
        about = self._about(is_drained, problems)
        report.show(account, about, self._terminal)
        report.write(account, about, self._results / "results.json")
        verdict = "; ".join(problems) or "nothing lost, nothing conflicting"
        self._terminal.print(verdict, style="bold red" if problems else "bold green", soft_wrap=True)
        return 1 if problems else INTERRUPTED if self._is_interrupted else 0

    def _about(self, is_drained: bool, problems: list[str]) -> dict[str, Any]:
        cuts = self._scene.cuts
        return {
            "kills": self._kills(),
            "profile": self._profile,
            "seconds": round(self._seconds),
            "seed": self._seed,
            "machine": report.machine(),
            "drained": is_drained,
            "interrupted": self._is_interrupted,
            "requests": self._consumer.requests,
            "refused_for_want_of_room": self._camera.refused,
            "cuts_reached": sum(map(bool, cuts.values())),
            "cuts": cuts,
            "answers": sorted(set(self._consumer.errors)),
            "problems": problems,
        }

    def _reconcile(self) -> list[str]:
        """What the inspector itself has to say of its ledger."""
        ledger = self._device.work / "ledger.sqlite"
        done = subprocess.run(
            [*devices.inspector(self._device), "reconcile", ledger, "--directory", self._device.images],
            capture_output=True,
            text=True,
            check=False,
        )
        (self._results / "reconcile.txt").write_text(done.stdout + done.stderr)
        return [f"inspector reconcile: see {self._results}/reconcile.txt"] if done.returncode else []
