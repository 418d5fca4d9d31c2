"""What a nucleus serves to components over IPC, whichever profile it has; each profile's package builds its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgehost.broker import BrokerAddress
from edgehost.call import Handler
from edgehost.configuration import ConfigurationStore
from edgehost.lifecycle import Component
from edgehost.tokens import Tokens


class Host(Protocol):
    """What services need of the host."""

    thing_name: str
    configuration: ConfigurationStore
    tokens: Tokens

    def authorize(self, component: str, service: str, operation: str, resource: str) -> bool:
        """Whether the component's accessControl, as it is in its configuration now, allows the operation."""

    def find_component(self, name: str) -> Component | None:
        """A deployed component."""

    async def restart_component(self, name: str) -> None:
        """Stop a component, start it again, and wait until it is RUNNING, FINISHED or BROKEN."""

    async def deploy(
        self,
        recipes: Path | None,
        artifacts: Path | None,
        versions: Mapping[str, str],
        config: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        remove: Iterable[str] = (),
    ) -> None:
        """Carry out a local deployment."""

    def in_background(self, work: Coroutine[Any, Any, None], purpose: str) -> None:
        """Do what a request asks for and does not wait for; a failure is logged, the host's end ends it."""


class Spool(Protocol):
    """Messages that were accepted and wait for the broker."""

    is_jammed: bool

    def __len__(self) -> int: ...


class IoTCore(Protocol):
    """The connection to the broker that plays IoT Core. ``spool`` is None where the nucleus has none."""

    online: asyncio.Event

    @property
    def spool(self) -> Spool | None: ...

    def start(self) -> None:
        """Connect, and keep connected, in the background."""

    async def stop(self) -> None:
        """Disconnect."""

    async def restart(self) -> None:
        """Disconnect and connect again; what is in memory is lost."""

    def cut(self) -> None:
        """Lose the broker until ``mend``, as when the network is gone."""

    def mend(self) -> None:
        """The broker can be reached again."""


class Consultation(Protocol):
    """What a deployment asks of components before it touches them, and tells them afterwards."""

    async def validate(
        self, component: str, configuration: Mapping[str, Any], deployment: str, timeout_s: float
    ) -> str | None:
        """Ask the component about a configuration. None if it accepts or is not asked, else why not."""

    async def consent(self, deployment: str, timeout_s: float) -> None:
        """Wait until no component defers the update."""

    def announce_done(self, deployment: str) -> None:
        """Tell the components that the update is over."""


@dataclass(frozen=True, slots=True)
class Services:
    """Operation name -> handler, and what the host itself does with the same services."""

    operations: Mapping[str, Handler]
    iot_core: IoTCore
    consultation: Consultation


Serve = Callable[[Host, BrokerAddress], Services]
