"""``edgehost subscribe``: what components publish, to the cloud or locally, as it comes."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edgehost.arguments import CommandError, add_json, add_root, explain, positive
from edgehost.cloud import connected
from edgehost.mqtt_message import filter_problem
from edgehost.running_host import stream
from edgehost.terminal import console, printable, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``edgehost subscribe`` takes."""
    explain(
        parser,
        "Show messages as they come: over MQTT, as the cloud sees them, or with --local\n"
        "what components publish locally. Text is shown as text, JSON spread over lines\n"
        "on a terminal, anything else as base64.",
        "edgehost subscribe --root /tmp/device 'hello/#'",
        "edgehost subscribe --root /tmp/device 'local/+' --local",
        "edgehost subscribe 'hello/world' --count 1 --json | jq .json",
    )
    parser.add_argument(
        "filter", metavar="FILTER", help="a topic; + stands for a level, # for all that follow"
    )
    parser.add_argument("--local", action="store_true", help="the host's local publish/subscribe, not MQTT")
    parser.add_argument(
        "--count", type=positive, metavar="N", help="end after so many messages (default: at Ctrl-C)"
    )
    add_root(parser)
    add_json(parser, "an object a line: time, topic, and json, text or base64")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Show messages until there were as many as wanted."""
    viewer = Viewer(arguments.count, as_json=arguments.json)
    if arguments.local:
        _show_local(arguments, viewer)
    else:
        asyncio.run(_show_cloud(arguments, viewer))
    return 0


@dataclass(frozen=True, slots=True)
class Message:
    """One that came: its payload, and more about it for programs."""

    topic: str
    payload: bytes
    more: dict[str, Any]

    def body(self) -> dict[str, Any]:
        """The payload as ``json``, ``text`` or ``base64``, whatever it is."""
        try:
            text = self.payload.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(self.payload).decode()}
        try:
            return {"json": json.loads(text, parse_constant=_refuse)}
        except (ValueError, RecursionError):
            return {"text": text}


class Viewer:
    """Shows messages until there were ``count`` of them; None is no end."""

    def __init__(self, count: int | None, *, as_json: bool) -> None:
        self._left = count
        self._as_json = as_json
        self._terminal = console()

    def announce(self, text: str) -> None:
        """Tell that from now on nothing is missed; not where messages go."""
        print(printable(text), file=sys.stderr, flush=True)

    def show(self, message: Message) -> bool:
        """Show one; whether it was the last."""
        now = datetime.now().astimezone()
        if self._as_json:
            entry = {"time": now.isoformat(), "topic": message.topic, **message.more, **message.body()}
            print(json.dumps(entry), flush=True)
        elif self._terminal.is_terminal:
            self._terminal.print(f"{now:%H:%M:%S} {printable(message.topic)}", style="cyan", soft_wrap=True)
            for line in _lines(message):
                show(self._terminal, line)
        else:
            print(printable(message.topic), _line(message), flush=True)
        if self._left is not None:
            self._left -= 1
        return self._left == 0


def _show_local(arguments: argparse.Namespace, viewer: Viewer) -> None:
    with closing(stream(arguments.root, "subscribe", topic=arguments.filter)) as events:
        next(events)
        viewer.announce(f"subscribed locally to {arguments.filter}")
        for event in events:
            if viewer.show(_local_message(event)):
                return


def _local_message(event: dict[str, Any]) -> Message:
    ((kind, content),) = event.items()
    text = content["message"]
    payload = (
        base64.b64decode(text) if kind == "binaryMessage" else json.dumps(text, ensure_ascii=False).encode()
    )
    return Message(content["context"]["topic"], payload, {"kind": kind})


async def _show_cloud(arguments: argparse.Namespace, viewer: Viewer) -> None:
    if problem := filter_problem(arguments.filter):
        raise CommandError(f"filter {arguments.filter!r}: {problem}")
    async with connected(arguments.root) as client:
        await client.subscribe(arguments.filter, qos=1)
        viewer.announce(f"subscribed to {arguments.filter}")
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else str(message.payload).encode()
            if viewer.show(Message(message.topic.value, payload, {"retain": message.retain})):
                return


def _lines(message: Message) -> Iterator[str]:
    """The payload for a terminal."""
    ((kind, value),) = message.body().items()
    if kind == "json":
        value = json.dumps(value, indent=2, ensure_ascii=False)
    elif kind == "base64":
        value = f"{value} (base64, {len(message.payload)} bytes)"
    return (printable(line, "\t") for line in value.split("\n"))


def _line(message: Message) -> str:
    """The payload on one line, as it came."""
    ((kind, value),) = message.body().items()
    return f"base64:{value}" if kind == "base64" else printable(message.payload.decode())


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
