"""``edgehost fault``: the command line."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from edgehost.arguments import DEFAULT_ROOT
from edgehost.faults import ANSWERS
from edgehost.lite.daemons import DAEMONS
from edgehost.running_host import send

_ABOUT = """Have the host that runs misbehave as a real device does, for a while.

Each fault ends by itself; the same one injected again replaces the one before."""
_EXAMPLE = """examples:
  edgehost fault broker-down 30s --root /tmp/device
  edgehost fault ipc-slow 2s --for 30s
  edgehost fault error UnauthorizedError --operation PublishToIoTCore --count 5
  edgehost fault error NoAnswer --operation PublishToTopic --carried-out
  edgehost fault list"""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0}


def add_arguments(parser: argparse.ArgumentParser, root: Path = DEFAULT_ROOT) -> None:
    """Add each fault as a command of its own; ``root`` is the default."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _ABOUT, _EXAMPLE
    faults = parser.add_subparsers(required=True, metavar="FAULT", dest="fault")
    down = _add(faults, root, "broker-down", "the broker can't be reached for a while", "broker-down 30s")
    _add_time(down)
    _add(faults, root, "ipc-cut", "cut every IPC connection, once", "ipc-cut")
    slow = _add(faults, root, "ipc-slow", "every IPC request waits", "ipc-slow 2s --for 30s")
    slow.add_argument("delay_s", type=duration, metavar="DELAY", help="how long each request waits")
    slow.add_argument(
        "--for", dest="seconds", type=duration, default=30, metavar="TIME", help="(default: 30s)"
    )
    full = _add(faults, root, "spool-full", "the spool takes no message for a while", "spool-full 10s")
    _add_time(full)
    _add_error(faults, root)
    daemon = _add(
        faults, root, "daemon-restart", "restart one of Greengrass Lite's daemons", "daemon-restart ggconfigd"
    )
    daemon.add_argument("name", metavar="DAEMON", help=", ".join(DAEMONS))
    _add(faults, root, "host-restart", "restart the nucleus and what is deployed", "host-restart")
    _add(faults, root, "clear", "end every fault now", "clear")
    _add(faults, root, "list", "the faults in force", "list --json")


def _add_time(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "seconds",
        type=duration,
        nargs="?",
        default=30,
        metavar="TIME",
        help="how long: 30s, 500ms, 2m (default: 30s)",
    )


def _add_error(faults: Any, root: Path) -> None:
    example = "error UnauthorizedError --operation PublishToIoTCore --count 5"
    parser = _add(faults, root, "error", "answer the next requests of an operation with an error", example)
    parser.add_argument("answer", choices=ANSWERS, metavar="ANSWER", help=", ".join(ANSWERS))
    parser.add_argument(
        "--operation", required=True, metavar="NAME", help="such as PublishToIoTCore, PublishToTopic"
    )
    parser.add_argument(
        "--count", type=_positive, default=1, metavar="N", help="how many (default: %(default)s)"
    )
    parser.add_argument(
        "--carried-out",
        action="store_true",
        help="with NoAnswer and ConnectionClosed: carry the request out before withholding its answer",
    )


def _add(faults: Any, root: Path, name: str, purpose: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = faults.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog=f"example:\n  edgehost fault {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--root", type=Path, default=root, metavar="DIR", help="the host's directory (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="the faults in force afterwards, as JSON")
    parser.set_defaults(run_command=run)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Inject the fault, and tell which are in force."""
    about = ("root", "json", "fault", "run_command")
    given = {name: value for name, value in vars(arguments).items() if name not in about}
    in_force = send(arguments.root, "fault", fault=arguments.fault, given=given)
    text = json.dumps(in_force, indent=2) if arguments.json else "\n".join(in_force) or "no fault in force"
    sys.stdout.write(text + "\n")
    return 0


def duration(text: str) -> float:
    """``30s``, ``500ms``, ``2m`` or ``30`` in seconds."""
    if not (found := _DURATION.fullmatch(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 30s, 500ms or 2m")
    return float(found[1]) * _UNITS_S[found[2]]


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number
