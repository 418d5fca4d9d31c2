"""``edgehost run``: the host itself."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import logging.handlers
import os
import signal
import time
from pathlib import Path

from edgehost.arguments import CommandError, add_json, add_root, explain, positive, quoted
from edgehost.broker import EMBEDDED, BrokerError
from edgehost.control import ControlServer
from edgehost.lifecycle import MAX_ERRORS
from edgehost.nucleus import DEFAULT_THING_NAME, EdgeHost, RootInUseError
from edgehost.packages import Layout
from edgehost.profile import CLASSIC, PROFILES

_LOG_BYTES = 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``edgehost run`` takes."""
    explain(
        parser,
        "Run the host until Ctrl-C. What was deployed under its root before starts again;\n"
        "an empty root is a new device.",
        "edgehost run --root /tmp/device",
        "edgehost run --root /tmp/device --profile lite --broker mqtt://localhost:1883 --thing line-3",
    )
    add = parser.add_argument
    add_root(parser)
    add(
        "--profile",
        choices=PROFILES,
        default=CLASSIC.name,
        help="the nucleus it plays: classic (Java) or lite (Greengrass Lite) (default: %(default)s)",
    )
    add(
        "--broker",
        default=EMBEDDED,
        metavar="URL",
        help="the MQTT broker that plays AWS IoT Core: mqtt://HOST:PORT, or embedded, on a free loopback port "
        "(default: %(default)s)",
    )
    add("--thing", default=DEFAULT_THING_NAME, metavar="NAME", help="its thing name (default: %(default)s)")
    add(
        "--max-errors",
        type=positive,
        default=MAX_ERRORS,
        metavar="N",
        help="so many errors in one state make a component BROKEN (default: %(default)s, as on a nucleus)",
    )
    add("-v", "--verbose", action="store_true", help="say here what greengrass.log says, too")
    add_json(parser, "print one line of JSON once it is ready: socket, broker, root, pid, …")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the host; 128 and the signal's number once a signal has stopped it."""
    try:
        _log(Layout(arguments.root.absolute()).logs() / "greengrass.log", arguments.verbose)
        return asyncio.run(_serve(arguments))
    except (BrokerError, RootInUseError) as error:
        raise CommandError(str(error)) from error


async def _serve(arguments: argparse.Namespace) -> int:
    # the handlers stay until the end: a second Ctrl-C must not cut the stopping short
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    host = EdgeHost(
        arguments.root,
        profile=PROFILES[arguments.profile],
        broker=arguments.broker,
        thing_name=arguments.thing,
        max_errors=arguments.max_errors,
    )
    async with host, ControlServer(host):
        print(_ready(host) if arguments.json else _welcome(host), flush=True)
        stopped_by = await signals.get()
        if not arguments.json:
            print("stopping", flush=True)
    return 128 + stopped_by


def _ready(host: EdgeHost) -> str:
    about = {
        "socket": str(host.socket_path),
        "broker": host.broker_url,
        "root": str(host.root),
        "pid": os.getpid(),
        "profile": host.profile.name,
        "thing": host.thing_name,
        "logs": str(Layout(host.root).logs()),
    }
    return json.dumps(about)


def _welcome(host: EdgeHost) -> str:
    root = quoted(host.root)
    again = [f"{component.name} {component.recipe.version}" for component in host.components.values()]
    if again:
        then = (
            f"starting again: {', '.join(again)}\nnext, in another terminal:\n  edgehost status --root {root}"
        )
    else:
        then = (
            "next, in another terminal:\n"
            f"  edgehost deploy --root {root} --recipes DIR --artifacts DIR --add NAME=VERSION"
        )
    return f"""simulated core device {host.thing_name} ({host.profile.name} {host.profile.version})
  socket  {host.socket_path}
  broker  {host.broker_url}
  logs    {Layout(host.root).logs()}
{then}
Ctrl-C stops it."""


def _log(path: Path, verbose: bool) -> None:
    """Warnings go to stderr; what is worth knowing later goes to a file beside the components' logs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1, delay=True)
    file.setFormatter(_NucleusFormat())
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    shown.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.basicConfig(level=logging.WARNING, handlers=[file, shown])
    logging.getLogger("edgehost").setLevel(logging.INFO)


class _NucleusFormat(logging.Formatter):
    """The line format of a nucleus's greengrass.log."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s [%(level)s] (edgehost) %(name)s: %(message)s")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        record.level = "WARN" if record.levelno == logging.WARNING else record.levelname
        return super().format(record)
