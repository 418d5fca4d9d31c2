"""What Greengrass Lite (C) serves over IPC."""

from __future__ import annotations

from edgehost import classic
from edgehost.broker import BrokerAddress
from edgehost.services import Host, Services


def serve(host: Host, broker: BrokerAddress) -> Services:
    """Greengrass Lite's operations."""
    return classic.serve(host, broker)
