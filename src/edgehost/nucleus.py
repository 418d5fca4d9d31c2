"""The simulated core device: one object that holds the IPC server, the broker and the components."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from edgehost.authorization import is_allowed
from edgehost.broker import EMBEDDED, EmbeddedBroker, parse_url
from edgehost.configuration import ConfigurationStore
from edgehost.configuration_ipc import ConfigurationService
from edgehost.iotcore import IoTCore
from edgehost.ipc import IpcServer
from edgehost.pubsub import LocalPubSub

DEFAULT_THING_NAME = "edgehost-1"
# sockaddr_un holds 108 bytes, the last of them a zero.
_MAX_SOCKET_PATH_BYTES = 107


class EdgeHost:
    """A Greengrass core device (classic profile) in this process, under ``root``; an async context manager.

    ``broker`` is ``embedded`` or ``mqtt://HOST:PORT``. What it keeps lives under ``root`` as on a real device:
    ``work/``, ``packages/``, ``logs/``, ``config/``.
    """

    def __init__(self, root: Path, *, broker: str = EMBEDDED, thing_name: str = DEFAULT_THING_NAME) -> None:
        self.root = Path(root).absolute()
        self.thing_name = thing_name
        self.socket_path = self.root / "ipc.socket"
        self.broker = EmbeddedBroker() if broker == EMBEDDED else None
        self._address = EmbeddedBroker().address if self.broker else parse_url(broker)
        self._tokens: dict[str, str] = {}
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> EdgeHost:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    @property
    def broker_url(self) -> str:
        """Where the broker that plays IoT Core listens."""
        return self._address.url

    def issue_token(self, component: str) -> str:
        """A new SVCUID for a component; tokens issued to it before are void."""
        self.revoke_token(component)
        token = secrets.token_hex(8).upper()
        self._tokens[token] = component
        return token

    def revoke_token(self, component: str) -> None:
        """No connection is accepted for the component any more."""
        self._tokens = {token: name for token, name in self._tokens.items() if name != component}

    def authorize(self, component: str, service: str, operation: str, resource: str) -> bool:
        """Whether the component's accessControl, as it is in its configuration now, allows the operation."""
        found = self.configuration.find(component, ("accessControl",))
        access_control = self.configuration.value(component, ("accessControl",)) if found else None
        return is_allowed(access_control, service, operation, resource)

    async def _start(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        if self.broker:
            await self.broker.start()
            self._exit.push_async_callback(self.broker.stop)
            self._address = self.broker.address
        self.configuration = ConfigurationStore(self.root / "config" / "configuration.json")
        self.configuration_service = ConfigurationService(self.configuration)
        self.local = LocalPubSub(self.authorize)
        self.iot_core = IoTCore(self._address, self.thing_name, self.authorize)
        await self._start_ipc()
        self.iot_core.start()
        self._exit.push_async_callback(self.iot_core.stop)

    async def _start_ipc(self) -> None:
        self.socket_path = self._short_socket_path()
        services = (self.local, self.iot_core, self.configuration_service)
        operations = {name: handler for service in services for name, handler in service.operations().items()}
        self.ipc = IpcServer(self.socket_path, lambda token: self._tokens.get(token), operations)
        await self.ipc.start()
        self._exit.push_async_callback(self.ipc.stop)

    def _short_socket_path(self) -> Path:
        path = self.root / "ipc.socket"
        if len(bytes(path)) <= _MAX_SOCKET_PATH_BYTES:
            return path
        directory = tempfile.mkdtemp(prefix="edgehost-")
        self._exit.callback(shutil.rmtree, directory, ignore_errors=True)
        return Path(directory) / "ipc.socket"
