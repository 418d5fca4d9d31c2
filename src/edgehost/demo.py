"""``make demo``: both components on a simulated core device, pictures in, verdicts out over MQTT, in a terminal.

The station that shows them is a subscriber like any other: it knows nothing but the broker's address.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from rich.console import Console

from edgehost.camera.drop import drop, pictures_in
from edgehost.deployment import DeploymentError
from edgehost.lifecycle import State
from edgehost.nucleus import EdgeHost
from edgehost.profile import CLASSIC, PROFILES
from station.broker import Inbox, Subscription, locate
from station.event import Event, Heard, Notice
from station.expectation import Expectation
from station.tally import Tally
from station.view import View, abandon_stdout, console, printable
from station.watch import watch

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "greengrass-build"
STATE = CHECKOUT / ".demo"
"""The host's root, another one for each nucleus but the first. It stays, and with it the component's virtual
environment: the next demo starts at once."""
RECORD = "results.jsonl"
DEFAULT = CLASSIC.name
INSPECTOR = "com.edgeinspector.Inspector"
CAMERA = "top"
PATIENCE_S = 60
"""How long after the last picture verdicts are waited for."""
HEAD_START_S = 10
LOG_LINES = 20
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 130


class DemoError(Exception):
    """What kept the demo from running, and what to do."""


class RecordingView(View):
    """A view that also writes each message to a file, as it came, and notes when the inspector is running."""

    def __init__(self, terminal: Console, record: TextIO) -> None:
        super().__init__(terminal)
        self._record = record
        self.running = threading.Event()

    def show(self, event: Event) -> None:
        """Show and record one event."""
        super().show(event)
        if not isinstance(event, Notice):
            self._record.write(event.line + "\n")
            self._record.flush()
        if isinstance(event, Heard) and event.status.state == "running":
            self.running.set()


@dataclass(slots=True)
class Run:
    """One run of the demo: what it drops, what it saw."""

    host: EdgeHost
    rate: float
    keep_running: bool
    pictures: list[Path]
    inbox: Inbox
    tally: Tally
    expectation: Expectation

    def watch(self, view: View, over: threading.Event) -> None:
        """Show verdicts until all have arrived; then, if wanted, until it is over."""
        deadline_s = time.monotonic() + HEAD_START_S + len(self.pictures) / self.rate + PATIENCE_S
        watch(self.inbox, self.tally, view, self.expectation, deadline_s, over.is_set)
        if self.keep_running and self.expectation.met:
            watch(self.inbox, self.tally, view, Expectation(), float("inf"), over.is_set)

    def sum_up(self, view: View) -> None:
        """Print what it all came to."""
        view.end(self.tally.summary(), self.expectation.missing(), where_to_look(self.host.root))

    def drop(self, view: RecordingView, over: threading.Event) -> None:
        """Let the camera take its pictures, until it is over.

        It waits a little for the inspector, which needs no waiting: so the first verdicts come in order too.
        """
        deadline_s = time.monotonic() + HEAD_START_S
        while not view.running.wait(0.1) and not over.is_set() and time.monotonic() < deadline_s:
            pass
        images = self.host.root / "work" / INSPECTOR / "images" / CAMERA
        for _ in drop(self.pictures, images, self.rate):
            if over.is_set():
                return


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return its exit code."""
    args = _parse(argv)
    # the components' python3 is the one that this checkout was set up with
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    terminal = console(sys.stdout, no_color=bool(os.environ.get("NO_COLOR")))
    try:
        _build(terminal)
        return asyncio.run(_interruptible(args, terminal))
    except BrokenPipeError:
        abandon_stdout()
        return 1
    except (DemoError, DeploymentError, OSError) as error:
        terminal.print(f"demo: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def state(profile: str) -> Path:
    """The root of a host that plays a nucleus: what one has installed and configured is none of the other's."""
    return STATE if profile == DEFAULT else STATE.with_name(f"{STATE.name}-{profile}")


def _build(terminal: Console) -> None:
    terminal.print("building both components", style="dim")
    build = [sys.executable, str(CHECKOUT / "tools" / "build.py"), "--output", str(BUILD)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"the components could not be built:\n{done.stdout}{done.stderr}")


async def _interruptible(args: argparse.Namespace, terminal: Console) -> int:
    """The demo as a task that Ctrl-C and SIGTERM cancel, so that host and components stop in order."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(_demo(args, terminal))

    def stop() -> None:
        # stopping takes some seconds, and an impatient second Ctrl-C must not cut it short
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        return INTERRUPTED


async def _demo(args: argparse.Namespace, terminal: Console) -> int:
    # taken before anything is dropped: a file's time comes from a coarser clock that may be some ms behind
    tally = Tally(since=datetime.now(timezone.utc))
    pictures = pictures_in(CHECKOUT / "sample_images")
    expectation = Expectation(frozenset(picture.name for picture in pictures))
    inbox: Inbox = queue.SimpleQueue()
    async with EdgeHost(state(args.profile), profile=PROFILES[args.profile]) as host:
        topics = [f"inspect/{host.thing_name}/{kind}" for kind in ("results", "status")]
        with Subscription(locate(host.broker_url), topics, inbox) as subscription:
            if not await asyncio.to_thread(subscription.subscribed.wait, 10):
                raise DemoError(
                    f"the embedded broker at {host.broker_url} didn't confirm the subscription in 10 s"
                )
            await _deploy(host, terminal)
            run = Run(host, args.rate, args.keep_running, pictures, inbox, tally, expectation)
            return await _inspect(run, terminal)


async def _deploy(host: EdgeHost, terminal: Console) -> None:
    text = "installing both components on the simulated core device (the first time takes about a minute)"
    terminal.print(text, style="dim")
    with terminal.status("installing") if terminal.is_terminal else nullcontext():
        await host.deploy(BUILD / "recipes", BUILD / "artifacts", _versions())


def _versions() -> dict[str, str]:
    """The version of each component that was just built."""
    configs = [CHECKOUT / directory / "gdk-config.json" for directory in (".", "models")]
    components = [json.loads(config.read_text())["component"] for config in configs]
    return {name: settings["version"] for component in components for name, settings in component.items()}


async def _inspect(run: Run, terminal: Console) -> int:
    """Drop the pictures, show their verdicts; 0 when every picture has one."""
    with (run.host.root / RECORD).open("w") as file:
        view = RecordingView(terminal, file)
        try:
            with view:
                await _watch_and_drop(run, view)
        except asyncio.CancelledError:
            run.sum_up(view)
            if run.expectation.met:
                return 0
            raise
    if not run.expectation.met:
        _print_log(run.host, terminal)
    run.sum_up(view)
    return 0 if run.expectation.met else 1


async def _watch_and_drop(run: Run, view: RecordingView) -> None:
    """Until the watching is over, the component is broken or something fails."""
    over = threading.Event()
    broken = asyncio.ensure_future(run.host.components[INSPECTOR].reached(State.BROKEN))
    broken.add_done_callback(lambda _: over.set())
    steps = asyncio.to_thread(run.watch, view, over), asyncio.to_thread(run.drop, view, over)
    work = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.wait(work, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        over.set()
        broken.cancel()
        await asyncio.gather(*work)


def where_to_look(root: Path) -> list[str]:
    """Where a demo left what it made."""
    work = root / "work" / INSPECTOR
    places = {
        root / RECORD: "the messages, one a line",
        work / "kept": "images kept for relabelling, pre-labelled",
        root / "logs" / f"{INSPECTOR}.log": "what the component logged",
        CHECKOUT / "README.md": "how to configure it and deploy it to a real core device",
    }
    return ["where to look next:", *(f"  {what}: {_short(path)}" for path, what in places.items())]


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _print_log(host: EdgeHost, terminal: Console) -> None:
    component = host.components[INSPECTOR]
    text = f"{INSPECTOR} is {component.state.value}; the last lines of {_short(component.log.path)}:"
    for line in ["", text, *component.log.tail(LOG_LINES)]:
        terminal.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "make demo",
        description="Run both components on a simulated core device and inspect the sample images.",
        epilog='example:\n  make demo ARGS="--rate 1 --keep-running"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rate", type=_rate, default=4, metavar="PER_SECOND", help="pictures a second (default: 4)"
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default=DEFAULT,
        help="the nucleus that is played (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-running", action="store_true", help="go on after the last picture, until Ctrl-C"
    )
    return parser.parse_args(argv)


def _rate(text: str) -> float:
    if not 0 < (rate := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return rate


if __name__ == "__main__":
    sys.exit(main())
