"""The cloud's side of a host: the broker that plays AWS IoT Core, spoken to as any client of it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt

from edgehost.arguments import CommandError
from edgehost.running_host import send


@asynccontextmanager
async def connected(root: Path) -> AsyncIterator[aiomqtt.Client]:
    """A client of the broker of the host under ``root``. Raises CommandError where the broker fails, at any time."""
    address = send(root, "broker")
    version = aiomqtt.ProtocolVersion.V5 if address["mqtt5"] else aiomqtt.ProtocolVersion.V311
    client = aiomqtt.Client(
        address["host"],
        address["port"],
        username=address["username"],
        password=address["password"],
        protocol=version,
    )
    try:
        async with client:
            yield client
    except aiomqtt.MqttError as error:
        url = f"mqtt://{address['host']}:{address['port']}"
        raise CommandError(f"broker {url}: {error}; see whether it runs, and lets this client in") from error
