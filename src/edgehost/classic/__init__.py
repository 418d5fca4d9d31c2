"""What the classic nucleus (Java) serves over IPC."""

from __future__ import annotations

from edgehost.broker import BrokerAddress
from edgehost.classic.configuration import ConfigurationService
from edgehost.classic.iotcore import IoTCore
from edgehost.classic.pubsub import LocalPubSub
from edgehost.classic.updates import UpdateService
from edgehost.services import Host, Services


def serve(host: Host, broker: BrokerAddress) -> Services:
    """The classic nucleus's operations."""
    configuration = ConfigurationService(host.configuration)
    updates = UpdateService(host.find_component)
    iot_core = IoTCore(broker, host.thing_name, host.authorize)
    services = (LocalPubSub(host.authorize), iot_core, configuration, updates)
    operations = {name: handler for service in services for name, handler in service.operations().items()}
    return Services(operations, iot_core, _Consultation(configuration, updates))


class _Consultation:
    """Components that subscribed to validation or to updates are asked."""

    def __init__(self, configuration: ConfigurationService, updates: UpdateService) -> None:
        self.validate = configuration.validate
        self.consent = updates.consent
        self.announce_done = updates.announce_done
