"""The IPC server: the Unix socket, and the connections that are open on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

from edgehost.call import Call, Handler
from edgehost.connection import Authenticate, Connection
from edgehost.wire import Wire

log = logging.getLogger(__name__)


class IpcServer:
    """Serves ``operations`` at ``path`` to every connection whose token ``authenticate`` turns into a component."""

    def __init__(
        self, path: Path, authenticate: Authenticate, operations: Mapping[str, Handler], wire: Wire
    ) -> None:
        self.path = path
        self._authenticate = authenticate
        self._operations = operations
        self._wire = wire
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._is_open = False

    async def start(self) -> None:
        """Listen. A socket left behind by a host that was killed is replaced."""
        self.path.unlink(missing_ok=True)
        self._is_open = True
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        self.path.chmod(0o600)

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._server is None:
            return
        self._is_open = False
        # asyncio loses a socket that it has accepted and not made a connection of when its server closes.
        for listener in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        await asyncio.sleep(0)
        self._server.close()
        self.disconnect_all()
        await asyncio.gather(*(connection.closed.wait() for connection in set(self._connections)))
        await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    def disconnect_all(self) -> None:
        """Cut every connection, as a restart of the nucleus would."""
        for connection in list(self._connections):
            connection.close()

    def end_subscriptions(self, operations: Container[str]) -> None:
        """End the subscriptions made by these operations, and say nothing of it to their clients."""
        for call in list(self._subscriptions()):
            if call.operation in operations:
                call.end()

    def _subscriptions(self) -> Iterator[Call]:
        for connection in self._connections:
            yield from connection.subscriptions

    def _is_full(self) -> bool:
        most = self._wire.max_subscriptions
        return most is not None and sum(1 for _ in self._subscriptions()) > most

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:  # accepted at the last moment, when the others were cut already
            writer.transport.abort()
            return
        if len(self._connections) == self._wire.max_connections:
            log.warning(
                "a client is turned away: %d are connected, and no more can be", len(self._connections)
            )
            writer.close()
            return
        connection = Connection(
            reader, writer, self._authenticate, self._operations, self._wire, self._is_full
        )
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
