"""The MQTT broker that plays AWS IoT Core: amqtt inside this process, or any other by its URL."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from amqtt.broker import Broker
from amqtt.session import Session

EMBEDDED = "embedded"
_LOOPBACK = "127.0.0.1"
_HANG_UP_AFTER_S = 0.5


class BrokerError(Exception):
    """The broker's address can't be understood."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker listens, who to be there, and whether it speaks MQTT 5 (amqtt speaks 3.1.1)."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    mqtt5: bool = True

    @property
    def url(self) -> str:
        """``mqtt://host:port``, without the password."""
        return f"mqtt://{self.host}:{self.port}"


def parse_url(url: str) -> BrokerAddress:
    """``mqtt://[user:password@]host[:port]`` as an address. Raises BrokerError for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port or 1883
    except ValueError as error:
        raise BrokerError(f"broker {url!r}: {error}; write mqtt://HOST:PORT") from error
    if parts.scheme != "mqtt" or not parts.hostname:
        raise BrokerError(f"broker {url!r} is neither {EMBEDDED!r} nor mqtt://HOST:PORT")
    username = unquote(parts.username) if parts.username else None
    return BrokerAddress(parts.hostname, port, username, unquote(parts.password) if parts.password else None)


class EmbeddedBroker:
    """amqtt on a free loopback port; stopped and started again it keeps its port."""

    def __init__(self) -> None:
        self._port = 0
        self._broker: _Broker | None = None

    @property
    def address(self) -> BrokerAddress:
        """Where it listens; the port is known once it was started."""
        return BrokerAddress(_LOOPBACK, self._port, mqtt5=False)

    async def start(self) -> None:
        """Listen. Sessions and retained messages of an earlier start are gone."""
        self._broker = _Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{_LOOPBACK}:{self._port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await self._broker.start()
        self._port = self._broker.bound_port()

    async def stop(self) -> None:
        """Disconnect everyone and stop listening."""
        if self._broker:
            stopping = asyncio.ensure_future(self._broker.shutdown())
            # Before Python 3.12 asyncio.wait_for (in amqtt) swallows a cancellation that comes with a packet.
            while not (await asyncio.wait([stopping], timeout=_HANG_UP_AFTER_S))[0]:
                self._broker.hang_up()
            await stopping
            self._broker = None


class _Broker(Broker):  # type: ignore[misc]  # amqtt is not followed by mypy
    """amqtt's broker with faults of 0.12.1 mended; docs/decisions/amqtt.md tells how they show."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._writers: set[StreamWriter] = set()

    async def stream_connected(self, reader: StreamReader, writer: StreamWriter, listener_name: str) -> None:
        """Serve a client, and close its socket whichever way that ends; amqtt leaves some open."""
        self._writers.add(writer)
        try:
            await super().stream_connected(reader, writer, listener_name)
        finally:
            self._writers.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """Cut every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def bound_port(self) -> int:
        """The port the system chose for port 0, which amqtt doesn't tell."""
        return int(self._servers["default"].instance.sockets[0].getsockname()[1])

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        # amqtt calls this for everybody's subscriptions when a client connects, and sends it all that matches.
        subscribers = self._subscriptions.get(subscription[0], ())
        if any(subscriber.client_id == session.client_id for subscriber, _ in subscribers):
            await super()._publish_retained_messages_for_subscription(subscription, session)

    async def _run_broadcast(self, running_tasks: deque[asyncio.Task[Any]]) -> None:
        # amqtt sends a client a message once for each of its filters that match; Mosquitto sends it once.
        broadcast = await self._broadcast_queue.get()
        receivers: dict[str, tuple[Session, int]] = {}
        for topic_filter, subscribers in self._subscriptions.items():
            for session, qos in subscribers if self._matches(broadcast["topic"], topic_filter) else ():
                _, other_qos = receivers.get(session.client_id, (session, 0))
                receivers[session.client_id] = session, max(qos, other_qos)
        for session, qos in receivers.values():
            if session.transitions.state == "connected" and (handler := self._get_handler(session)):
                sending = handler.mqtt_publish(
                    broadcast["topic"], broadcast["data"], broadcast.get("qos", qos), False
                )
                running_tasks.append(asyncio.ensure_future(sending))
