"""``edgehost publish``: a message for components, from the cloud or from beside them."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
from pathlib import Path

from edgehost.arguments import CommandError, add_json, add_root, explain, read
from edgehost.cloud import connected
from edgehost.errors import ServiceError
from edgehost.mqtt_message import MqttMessage, check_publishable
from edgehost.running_host import send
from edgehost.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``edgehost publish`` takes."""
    explain(
        parser,
        "Publish a message: over MQTT, as the cloud would, or with --local to components\n"
        "that subscribed locally, as greengrass-cli does (a binaryMessage).",
        """edgehost publish --root /tmp/device hello/world '{"text": "hi"}'""",
        "edgehost publish images/new @picture.jpg --qos 1",
        "date | edgehost publish local/time - --local",
    )
    add = parser.add_argument
    add("topic", metavar="TOPIC", help="without wildcards")
    add(
        "payload",
        nargs="?",
        default="",
        metavar="PAYLOAD|@FILE|-",
        help="as text, a file's bytes, or what comes on stdin (default: empty)",
    )
    add("--qos", type=int, choices=(0, 1), default=0, help="quality of service (default: %(default)s)")
    add("--local", action="store_true", help="on the host's local publish/subscribe, not over MQTT")
    add_root(parser)
    add_json(parser, "print what was published as JSON")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Publish the message."""
    topic, payload = arguments.topic, _payload(arguments.payload)
    if arguments.local:
        send(arguments.root, "publish", topic=topic, payload=base64.b64encode(payload).decode())
    else:
        asyncio.run(_publish(arguments.root, MqttMessage(topic, payload, arguments.qos)))
    if arguments.json:
        print(json.dumps({"topic": topic, "bytes": len(payload), "local": arguments.local}))
    else:
        print(f"published {len(payload)} bytes {'locally ' if arguments.local else ''}to {printable(topic)}")
    return 0


async def _publish(root: Path, message: MqttMessage) -> None:
    try:
        check_publishable(message)
    except ServiceError as error:
        raise CommandError(str(error)) from error
    async with connected(root) as client:
        await client.publish(message.topic, message.payload, message.qos)


def _payload(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    return read(text[1:], Path(text[1:])) if text.startswith("@") else os.fsencode(text)
