"""What Greengrass Lite reads out of an IoT Core request, and what it says to one that it can't read.

It knows ``topicName``, ``payload`` and ``qos``; the retain flag and MQTT 5 properties are ignored. Every complaint is
a ServiceError. Sources: ``publish_to_iot_core.c`` and ``subscribe_to_iot_core.c`` of ggipcd, ``gg_map_validate`` and
``gg_str_to_int64`` of the SDK.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from edgehost.errors import ServiceError
from edgehost.mqtt_message import MqttMessage

_INTEGER = re.compile(r"-?[0-9]+")


def read_publish(request: Mapping[str, Any]) -> MqttMessage:
    """The message to publish. Without a payload it is empty, without a qos it is QoS 0."""
    topic, payload = request.get("topicName"), request.get("payload", "")
    if not isinstance(topic, str) or not isinstance(payload, str):
        raise ServiceError("Received invalid parameters.")
    return MqttMessage(topic, qos=_qos(request.get("qos", 0)), payload=_decode(payload))


def read_subscribe(request: Mapping[str, Any]) -> tuple[str, int]:
    """The filter and the quality of service; without one, or with null, it is QoS 0."""
    topic, qos = request.get("topicName"), request.get("qos")
    if not isinstance(topic, str):
        raise ServiceError("Received invalid parameters.")
    return topic, _qos(0 if qos is None else qos)


def _qos(value: Any) -> int:
    """0, 1 or 2, of a number or a string."""
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise ServiceError("Failed to parse 'qos' string value.")
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ServiceError("Key qos of invalid type.")
    if not 0 <= value <= 2:
        raise ServiceError("'qos' not a valid value.")
    return value


def _decode(payload: str) -> bytes:
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError as error:
        raise ServiceError("'payload' is not valid base64.") from error
