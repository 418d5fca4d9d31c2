"""What accessControl speaks of, whichever nucleus reads it: each has a matcher of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

PUBSUB = "aws.greengrass.ipc.pubsub"
MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"

Variables = Mapping[str, str]
"""Recipe variables as they are written, ``{iot:thingName}``, and what they stand for."""


Authorize = Callable[[str, str, str, str], bool]
"""Whether the host lets it: component, service, operation, resource."""


class IsAllowed(Protocol):
    """How a nucleus reads accessControl."""

    def __call__(
        self, access_control: Any, service: str, operation: str, resource: str, variables: Variables
    ) -> bool:
        """Whether a component's ``access_control`` allows it the operation. What can't be understood grants nothing,
        and the log says so.
        """
