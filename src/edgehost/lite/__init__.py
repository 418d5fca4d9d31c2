"""What Greengrass Lite (C) serves over IPC."""

from __future__ import annotations

from dataclasses import replace

from edgehost import classic
from edgehost.broker import BrokerAddress
from edgehost.lite.iotcore import IoTCore
from edgehost.services import Host, Services


def serve(host: Host, broker: BrokerAddress) -> Services:
    """Greengrass Lite's operations."""
    rest, iot_core = classic.serve(host, broker), IoTCore(broker, host.thing_name, host.authorize)
    return replace(rest, iot_core=iot_core, operations={**rest.operations, **iot_core.operations()})
