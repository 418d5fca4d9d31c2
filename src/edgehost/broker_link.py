"""The connection to the broker that plays IoT Core: made, made again whenever it breaks, and listened to."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from edgehost.broker import BrokerAddress
from edgehost.call import Call

log = logging.getLogger(__name__)

REFUSED = 128
"""A SUBACK's code from here on is a refusal."""
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 2.0
_CANCEL_AGAIN_S = 0.5
_CUT = "the link is cut, on purpose"


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """A component's SubscribeToIoTCore, for as long as its stream is open."""

    filter: str
    qos: int
    call: Call


def suback_code(codes: Sequence[int | ReasonCode]) -> int:
    """The code in a SUBACK for one filter."""
    (code,) = codes
    return code if isinstance(code, int) else code.value


S = TypeVar("S", bound=Subscription)


class BrokerLink(ABC, Generic[S]):
    """A connection that comes back by itself. What a nucleus does with it, its subclass says."""

    def __init__(self, address: BrokerAddress, client_id: str) -> None:
        self.online = asyncio.Event()
        """Set by the subclass once a connection can be used; cleared here when it breaks."""
        self._address = address
        self._client_id = client_id
        self._subscriptions: set[S] = set()
        self._reachable = asyncio.Event()
        self._reachable.set()
        self._lost: asyncio.Future[str] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, and keep connected, in the background."""
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    async def stop(self) -> None:
        """Disconnect."""
        while self._task and not self._task.done():
            self._task.cancel()
            # Before Python 3.12 asyncio.wait_for (in aiomqtt) swallows a cancellation that comes as it is done.
            await asyncio.wait([self._task], timeout=_CANCEL_AGAIN_S)

    async def restart(self) -> None:
        """Disconnect and connect again."""
        await self.stop()
        self.start()

    def cut(self) -> None:
        """Lose the broker until ``mend``, as when the network is gone."""
        self._reachable.clear()
        self.lose(_CUT)

    def mend(self) -> None:
        """The broker can be reached again."""
        self._reachable.set()

    def lose(self, reason: str) -> None:
        """Lose the connection that there is; another one is made at once."""
        if self._lost and not self._lost.done():
            self._lost.set_result(reason)

    @abstractmethod
    def connect(self, *, first: bool) -> aiomqtt.Client:
        """A client for one connection, not yet connected. ``first`` since the start."""

    @abstractmethod
    def jobs(self, client: aiomqtt.Client) -> tuple[Coroutine[Any, Any, None], ...]:
        """What is done with a connection while it lasts; MqttError from any of them ends it."""

    @abstractmethod
    def event(self, message: aiomqtt.Message) -> dict[str, Any] | None:
        """What subscribers are told of a message; None where it never reaches them."""

    def _client(self, protocol: aiomqtt.ProtocolVersion, **options: Any) -> aiomqtt.Client:
        address = self._address
        return aiomqtt.Client(
            address.host,
            address.port,
            identifier=self._client_id,
            username=address.username,
            password=address.password,
            protocol=protocol,
            **options,
        )

    async def _keep_connected(self) -> None:
        delay_s, first = _FIRST_RETRY_S, True
        while True:
            await self._reachable.wait()
            try:
                async with self.connect(first=first) as client:
                    delay_s, first = _FIRST_RETRY_S, False
                    await self._use(client)
            except aiomqtt.MqttError as error:
                level = logging.WARNING if delay_s == _FIRST_RETRY_S else logging.DEBUG
                log.log(level, "offline: broker %s: %s; trying until it is back", self._address.url, error)
            except (
                Exception
            ):  # the boundary of one connection: a fault in here must not end the link for good
                log.exception("the connection to broker %s failed; connecting again", self._address.url)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_RETRY_S)

    async def _use(self, client: aiomqtt.Client) -> None:
        """Do the jobs and listen until the connection breaks, which raises MqttError."""
        jobs = (*self.jobs(client), self._receive(client), self._until_lost())
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            await asyncio.gather(*tasks)
        finally:
            self.online.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if event := self.event(message):
                for subscription in list(self._subscriptions):
                    if message.topic.matches(subscription.filter):
                        subscription.call.send("IoTCoreMessage", event)

    async def _until_lost(self) -> None:
        self._lost = asyncio.get_running_loop().create_future()
        if not self._reachable.is_set():
            self.lose(_CUT)
        raise aiomqtt.MqttError(await self._lost)
