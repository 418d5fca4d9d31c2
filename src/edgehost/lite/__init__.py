"""What Greengrass Lite (C) serves over IPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgehost.broker import BrokerAddress
from edgehost.lite.components import ComponentService
from edgehost.lite.configuration import ConfigurationService
from edgehost.lite.iotcore import IoTCore
from edgehost.lite.pubsub import LocalPubSub
from edgehost.services import Host, Services


def serve(host: Host, broker: BrokerAddress) -> Services:
    """Greengrass Lite's operations."""
    iot_core = IoTCore(broker, host.thing_name, host.authorize)
    configuration = ConfigurationService(host.configuration)
    services = (LocalPubSub(host.authorize), iot_core, configuration, ComponentService(host))
    operations = {name: handler for service in services for name, handler in service.operations().items()}
    return Services(operations, iot_core, _NoConsultation())


class _NoConsultation:
    """A deployment asks no component, and tells none."""

    async def validate(
        self, component: str, configuration: Mapping[str, Any], deployment: str, timeout_s: float
    ) -> str | None:
        """Every configuration will do."""
        return None

    async def consent(self, deployment: str, timeout_s: float) -> None:
        """Nobody defers."""

    def announce_done(self, deployment: str) -> None:
        """Nobody listens."""
