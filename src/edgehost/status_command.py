"""``edgehost status``: the host and its components at a glance."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.text import Text

from edgehost.arguments import add_json, add_root, explain
from edgehost.running_host import send
from edgehost.terminal import columns, console, printable, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``edgehost status`` takes."""
    example = "edgehost status --root /tmp/device"
    explain(parser, "What runs on the host.", example, f"{example} --json | jq .components")
    add_root(parser)
    add_json(parser)
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the status."""
    status = send(arguments.root, "status")
    if arguments.json:
        print(json.dumps(status, indent=2))
        return 0
    terminal = console()
    for name, text in _facts(status):
        show(terminal, f"{name:<11} {printable(text)}")
    if status["components"]:
        show(terminal, "")
    for line in table(status["components"]):
        show(terminal, line)
    return 0


def table(components: Iterable[Mapping[str, Any]]) -> list[Text]:
    """A line for each component below a heading; nothing where there is none."""
    rows = [_row(component) for component in components]
    return columns([("STATE", "COMPONENT", "VERSION", "PID", "ERRORS", "KIND"), *rows]) if rows else []


def _row(component: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        component["state"],
        component["name"],
        component["version"],
        str(component["pid"] or "-"),
        str(component["errors"]),
        "root" if component["is_root"] else "dependency",
    )


def _facts(status: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    link = "online" if status["online"] else f"offline, {status['spooled_messages']} messages spooled"
    yield "profile", f"{status['profile']} {status['version']}"
    yield "thing", status["thing"]
    yield "socket", status["socket"]
    yield "broker", f"{status['broker']} ({link})"
    yield "logs", status["logs"]
    yield "faults", "; ".join(status["faults"]) or "none"
    yield "deployment", "; ".join(_deployments(status))
    if not status["components"]:
        yield "components", "none; edgehost deploy brings some"


def _deployments(status: Mapping[str, Any]) -> Iterable[str]:
    last = status["last_deployment"]
    if status["deploying"]:
        yield "one is under way"
    if last:
        cause = f": {last['cause'].splitlines()[0]}" if last["cause"] else ""
        yield f"{last['status']} at {last['time']}{cause}"
    elif not status["deploying"]:
        yield "none yet"
