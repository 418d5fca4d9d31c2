"""The command line's end of local publish/subscribe, beside the components'.

It is a client like greengrass-cli: one principal that may use every topic, by a policy of its own (``CLIService`` of
the nucleus's CLI component), and that publishes binaryMessages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from edgehost.authorization import PUBSUB
from edgehost.call import Call
from edgehost.errors import IpcError
from edgehost.nucleus import EdgeHost

PRINCIPAL = "aws.greengrass.Cli"
_POLICY = {f"{PRINCIPAL}:pubsub:1": {"operations": ["*"], "resources": ["*"]}}


class LocalConsoleError(Exception):
    """The host refused; the message tells which topic and why."""


class LocalConsole:
    """Publishes to components, and hears what they publish, by the host's own operations."""

    def __init__(self, host: EdgeHost) -> None:
        self._host = host

    async def publish(self, topic: str, payload: str) -> None:
        """Publish what is given as base64. Raises LocalConsoleError."""
        message = {"binaryMessage": {"message": payload}}
        await self._carry_out(_Call("PublishToTopic", {"topic": topic, "publishMessage": message}))

    async def subscribe(self, topic: str) -> AsyncGenerator[Any, None]:
        """``{}`` once the subscription is made, then the event of each message. Raises LocalConsoleError."""
        call = _Call("SubscribeToTopic", {"topic": topic, "receiveMode": "RECEIVE_ALL_MESSAGES"})
        try:
            yield await self._carry_out(call)
            while True:
                yield await call.events.get()
        finally:
            call.end()

    async def _carry_out(self, call: _Call) -> dict[str, Any]:
        self._host.configuration.add_defaults(PRINCIPAL, {"accessControl": {PUBSUB: _POLICY}})
        try:
            return await self._host.services.operations[call.operation](call)
        except IpcError as error:
            reason = f"{type(error).__name__}: {error}"
            raise LocalConsoleError(f"local topic {call.request['topic']!r}: {reason}") from error


class _Call(Call):
    """A request that comes on no connection; its events are queued here."""

    def __init__(self, operation: str, request: dict[str, Any]) -> None:
        super().__init__(_NoConnection(), PRINCIPAL, 1, operation)
        self.request = request
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def send(self, model: str, event: dict[str, Any]) -> None:
        """Take an event in."""
        self.events.put_nowait(event)


class _NoConnection:
    def send_message(self, stream: int, model: str, payload: dict[str, Any], flags: int = 0) -> None:
        """Nobody to send it to."""

    def close(self) -> None:
        """Nothing to cut."""
