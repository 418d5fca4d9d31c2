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
from edgehost.nucleus import EdgeHost

PRINCIPAL = "aws.greengrass.Cli"
_POLICY = {f"{PRINCIPAL}:pubsub:1": {"operations": ["*"], "resources": ["*"]}}


class LocalConsole:
    """Publishes to components, and hears what they publish, by the host's own operations."""

    def __init__(self, host: EdgeHost) -> None:
        self._host = host

    async def publish(self, topic: str, payload: str) -> None:
        """Publish what is given as base64. Raises IpcError."""
        message = {"binaryMessage": {"message": payload}}
        call = self._call("PublishToTopic", {"topic": topic, "publishMessage": message}, _Inbox())
        await self._host.services.operations[call.operation](call)

    async def subscribe(self, topic: str) -> AsyncGenerator[Any, None]:
        """``{}`` once the subscription is made, then each message that matches as its event. Raises IpcError."""
        inbox = _Inbox()
        call = self._call("SubscribeToTopic", {"topic": topic, "receiveMode": "RECEIVE_ALL_MESSAGES"}, inbox)
        try:
            call.reply(await self._host.services.operations[call.operation](call), keep_open=True)
            while True:
                yield await inbox.get()
        finally:
            call.end()

    def _call(self, operation: str, request: dict[str, Any], inbox: _Inbox) -> Call:
        self._host.configuration.add_defaults(PRINCIPAL, {"accessControl": {PUBSUB: _POLICY}})
        call = Call(inbox, PRINCIPAL, 1, operation)
        call.request = request
        return call


class _Inbox(asyncio.Queue[dict[str, Any]]):
    """Where a call is answered, in place of a component's connection."""

    def send_message(self, stream: int, model: str, payload: dict[str, Any], flags: int = 0) -> None:
        """Take in the reply or an event."""
        self.put_nowait({} if model.endswith("Response") else payload)

    def close(self) -> None:
        """There is nothing to cut."""
