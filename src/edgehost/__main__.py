"""The ``edgehost`` command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import shlex
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from edgehost import fault_command
from edgehost.broker import EMBEDDED, BrokerError
from edgehost.control import ControlError, ControlServer, send
from edgehost.lifecycle import MAX_ERRORS
from edgehost.nucleus import DEFAULT_THING_NAME, EdgeHost, RootInUseError
from edgehost.packages import Layout
from edgehost.profile import CLASSIC, PROFILES

INTERRUPTED = 130
DEFAULT_ROOT = Path(".edgehost")

_ABOUT = """A simulated AWS IoT Greengrass v2 core device (classic or Lite): runs components without AWS.

In one terminal run the host, in another deploy to it."""
_EXAMPLE = """example:
  edgehost run --root /tmp/device
  edgehost deploy --root /tmp/device --recipes recipes --artifacts artifacts --add com.example.Hello=1.0.0
  edgehost logs --root /tmp/device com.example.Hello -f"""


class UsageError(Exception):
    """The command line can't be carried out as written."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser(with_camera=argv[:1] == ["camera"]).parse_args(argv)
    try:
        return int(arguments.run_command(arguments))
    except BrokenPipeError:
        # Whoever read the output went away; the flush at exit must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (UsageError, ControlError, BrokerError, RootInUseError, OSError) as error:
        print(f"edgehost: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser(*, with_camera: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edgehost", description=_ABOUT, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_deploy(commands)
    _add_status(commands)
    _add_logs(commands)
    fault = commands.add_parser("fault", help="have the host misbehave, as a real device does")
    fault_command.add_arguments(fault, DEFAULT_ROOT)
    _add_camera(commands, wanted=with_camera)
    return parser


def _add_run(commands: Any) -> None:
    parser = _command(commands, "run", _run, "run the host until Ctrl-C", "edgehost run --root /tmp/device")
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default=CLASSIC.name,
        help="the nucleus it plays: classic (Java) or lite (Greengrass Lite) (default: %(default)s)",
    )
    parser.add_argument(
        "--broker",
        default=EMBEDDED,
        metavar="URL",
        help="the MQTT broker that plays AWS IoT Core: mqtt://HOST:PORT, or embedded, on a free loopback port "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--thing", default=DEFAULT_THING_NAME, metavar="NAME", help="the thing's name (default: %(default)s)"
    )
    parser.add_argument(
        "--max-errors",
        type=int,
        default=MAX_ERRORS,
        metavar="N",
        help="so many errors in one state make a component BROKEN (default: %(default)s, as on a nucleus)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say what happens on IPC, too")


def _add_deploy(commands: Any) -> None:
    example = (
        "edgehost deploy --root /tmp/device --recipes greengrass-build/recipes \\\n"
        "    --artifacts greengrass-build/artifacts --add com.example.Hello=1.0.0 \\\n"
        """    --config 'com.example.Hello={"Greeting": "hi"}'"""
    )
    parser = _command(commands, "deploy", _deploy, "deploy components to the host that runs", example)
    parser.add_argument("--recipes", type=Path, required=True, metavar="DIR", help="where the recipes are")
    parser.add_argument(
        "--artifacts", type=Path, metavar="DIR", help="where the artifacts are: DIR/COMPONENT/VERSION/FILE"
    )
    parser.add_argument(
        "--add",
        action="append",
        required=True,
        metavar="NAME=VERSION",
        help="a component to deploy; may be given several times",
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="NAME=JSON|@FILE",
        help="configuration to merge into a component's; may be given several times",
    )


def _add_status(commands: Any) -> None:
    parser = _command(
        commands, "status", _status, "what runs on the host", "edgehost status --root /tmp/device --json"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def _add_logs(commands: Any) -> None:
    example = "edgehost logs --root /tmp/device com.example.Hello -f"
    parser = _command(commands, "logs", _logs, "a component's log", example)
    parser.add_argument("name", metavar="NAME", help="the component")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as it grows, until Ctrl-C")


def _add_camera(commands: Any, *, wanted: bool) -> None:
    """The camera brings NumPy and OpenCV along, which only those who use it should wait for."""
    parser = commands.add_parser("camera", help="drop simulated pictures into a directory, as a camera would")
    if not wanted:
        return
    from edgehost import camera

    camera.add_arguments(parser)
    parser.set_defaults(run_command=camera.run)


def _command(commands: Any, name: str, run: Any, purpose: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=DEFAULT_ROOT,
        metavar="DIR",
        help="the host's directory (default: %(default)s)",
    )
    parser.set_defaults(run_command=run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    if arguments.verbose:
        logging.getLogger("edgehost").setLevel(logging.INFO)
    return asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> int:
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    host = EdgeHost(
        arguments.root,
        profile=PROFILES[arguments.profile],
        broker=arguments.broker,
        thing_name=arguments.thing,
        max_errors=arguments.max_errors,
    )
    async with host, ControlServer(host):
        print(_welcome(host), flush=True)
        stopped_by = await signals.get()
        print("stopping", flush=True)
    return 128 + stopped_by


def _welcome(host: EdgeHost) -> str:
    root = shlex.quote(str(host.root))
    return f"""simulated core device {host.thing_name} ({host.profile.name})
  socket  {host.socket_path}
  broker  {host.broker_url}
  logs    {host.root / "logs"}
next, in another terminal:
  edgehost deploy --root {root} --recipes DIR --artifacts DIR --add NAME=VERSION
Ctrl-C stops it."""


def _deploy(arguments: argparse.Namespace) -> int:
    versions = dict(_pairs("--add", arguments.add))
    configurations = {name: _configuration(name, text) for name, text in _pairs("--config", arguments.config)}
    artifacts = arguments.artifacts and str(arguments.artifacts.absolute())
    terminal = Console(stderr=True)
    with terminal.status("deploying") if terminal.is_terminal else nullcontext():
        components = send(
            arguments.root,
            "deploy",
            recipes=str(arguments.recipes.absolute()),
            artifacts=artifacts,
            versions=versions,
            config=configurations,
        )
    _print_components([component for component in components if component["name"] in versions])
    return 0


def _status(arguments: argparse.Namespace) -> int:
    status = send(arguments.root, "status")
    if arguments.json:
        print(json.dumps(status, indent=2))
        return 0
    link = "online" if status["online"] else f"offline, {status['spooled_messages']} messages spooled"
    print(f"thing   {status['thing']}\nsocket  {status['socket']}\nbroker  {status['broker']} ({link})")
    _print_components(status["components"])
    return 0


def _print_components(components: list[dict[str, Any]]) -> None:
    for component in components:
        print(f"{component['state']:<10} {component['name']} {component['version']}  log {component['log']}")


def _logs(arguments: argparse.Namespace) -> int:
    path = Layout(arguments.root.absolute()).log(arguments.name)
    if not path.exists():
        known = ", ".join(sorted(log.stem for log in path.parent.glob("*.log"))) or "none"
        raise UsageError(f"{arguments.name} has no log under {arguments.root}; there are: {known}")
    with path.open(errors="replace") as file:
        while True:
            for line in file:
                print(line, end="", flush=True)
            if not arguments.follow:
                return 0
            time.sleep(0.2)


def _pairs(option: str, texts: list[str]) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, _, value) in zip(texts, pairs, strict=True):
        if not (name and value):
            raise UsageError(f"{option} {text!r} is not NAME=VALUE")
    return [(name, value) for name, _, value in pairs]


def _configuration(name: str, text: str) -> dict[str, Any]:
    text = Path(text[1:]).read_text() if text.startswith("@") else text
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--config {name}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"--config {name}: {text} is not a JSON object")
    return value


if __name__ == "__main__":
    sys.exit(main())
