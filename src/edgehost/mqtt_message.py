"""A message to or from IoT Core, between its two spellings: IPC's JSON and MQTT's packet. Pure."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgehost.errors import InvalidArgumentsError, ServiceError

MAX_PAYLOAD_BYTES = 128 * 1024
MAX_TOPIC_LENGTH = 256
MAX_TOPIC_SLASHES = 7
_BASIC_INGEST = re.compile(r"\$aws/rules/[^/]+/(.*)", re.IGNORECASE | re.DOTALL)

# IPC's name -> MQTT 5's, for the properties that need no conversion.
_PLAIN_PROPERTIES = {
    "messageExpiryIntervalSeconds": "MessageExpiryInterval",
    "responseTopic": "ResponseTopic",
    "contentType": "ContentType",
}


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """Topic, payload, quality of service (0 or 1), retain flag, and MQTT 5 properties under IPC's names."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)


def from_request(request: Mapping[str, Any]) -> MqttMessage:
    """A PublishToIoTCore request as a message. Raises InvalidArgumentsError for what is missing or no base64."""
    payload = request.get("payload")
    if not isinstance(payload, str):
        raise InvalidArgumentsError("Payload is required")
    names = (*_PLAIN_PROPERTIES, "userProperties", "correlationData", "payloadFormat")
    properties = {name: request[name] for name in names if request.get(name) is not None}
    if "correlationData" in properties:
        properties["correlationData"] = _decode("correlationData", properties["correlationData"])
    retain = request.get("retain") is True
    message = MqttMessage(topic_of(request), _decode("payload", payload), qos_of(request), retain, properties)
    try:
        if packet := to_properties(message):
            packet.pack()  # type: ignore[no-untyped-call]
    except (MQTTException, KeyError, TypeError, ValueError, struct.error) as error:
        raise InvalidArgumentsError(f"MQTT 5 properties {properties} can't be sent: {error}") from error
    return message


def topic_of(request: Mapping[str, Any]) -> str:
    """The request's topicName. Raises InvalidArgumentsError without one."""
    topic = request.get("topicName")
    if not isinstance(topic, str):
        raise InvalidArgumentsError("Topic is required")
    return topic


def qos_of(request: Mapping[str, Any]) -> int:
    """The request's qos as a number. Raises InvalidArgumentsError for anything but "0" and "1"."""
    qos = request.get("qos")
    if qos is None:
        raise InvalidArgumentsError("QoS is required")
    if qos not in ("0", "1"):
        raise InvalidArgumentsError(f"Invalid QoS value: {qos}")
    return int(qos)


def check_publishable(message: MqttMessage) -> None:
    """Raise ServiceError where IoT Core's limits forbid the message (``MqttClient.isValidPublishRequest``)."""
    size = len(message.payload)
    if size > MAX_PAYLOAD_BYTES:
        reason = f"The publishing message size {size} bytes exceeds the configured limit of {MAX_PAYLOAD_BYTES} bytes"
    elif "#" in message.topic or "+" in message.topic:
        reason = "The topic of publish request should not contain wildcard characters of '#' or '+'"
    else:
        reason = topic_problem(message.topic)
    if reason:
        raise ServiceError(f"Publish to topic {message.topic} failed: {reason}")


def topic_problem(topic: str) -> str:
    """What IoT Core's limits have against a topic; empty if nothing."""
    if not topic:
        return "Topic must not be empty"
    basic_ingest = _BASIC_INGEST.fullmatch(topic)
    counted = basic_ingest[1] if basic_ingest else topic
    excluded = "This excludes the first 3 {} for Basic Ingest topics ($AWS/rules/rule-name/)."
    if counted.count("/") > MAX_TOPIC_SLASHES:
        limit = f"The topic of request must have no more than {MAX_TOPIC_SLASHES} forward slashes (/). "
        return limit + excluded.format("slashes in the mandatory segments")
    if len(counted.encode()) > MAX_TOPIC_LENGTH:
        limit = f"The topic size of request must be no larger than {MAX_TOPIC_LENGTH} bytes of UTF-8 encoded "
        return limit + "characters. " + excluded.format("mandatory segments")
    return ""


def filter_problem(topic: str) -> str:
    """What MQTT and IoT Core's limits have against a subscription's filter; empty if nothing."""
    *before, last = topic.split("/")
    if any("#" in level for level in before) or ("#" in last and last != "#"):
        return "The wildcard # must be the whole last level of the filter"
    if any("+" in level and level != "+" for level in (*before, last)):
        return "The wildcard + must be a whole level of the filter"
    return topic_problem(topic)


def to_properties(message: MqttMessage) -> Properties | None:
    """The message's MQTT 5 properties for a PUBLISH packet, None if it has none."""
    if not message.properties:
        return None
    packet = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    for ours, theirs in _PLAIN_PROPERTIES.items():
        if ours in message.properties:
            setattr(packet, theirs, message.properties[ours])
    if "correlationData" in message.properties:
        packet.CorrelationData = message.properties["correlationData"]
    if message.properties.get("payloadFormat") == "1":
        packet.PayloadFormatIndicator = 1
    if pairs := [(pair["key"], pair["value"]) for pair in message.properties.get("userProperties", ())]:
        packet.UserProperty = pairs
    return packet


def payload_of(message: aiomqtt.Message) -> bytes:
    """A received message's payload, which aiomqtt types wider than it is."""
    return message.payload if isinstance(message.payload, bytes) else str(message.payload or "").encode()


def publish_packet_bytes(topic: str, payload: bytes, qos: int) -> int:
    """The size of an MQTT 3.1.1 PUBLISH packet: fixed header, topic, packet id (not for QoS 0), payload."""
    remaining = 2 + len(topic.encode()) + (2 if qos else 0) + len(payload)
    length_bytes = max(1, -(-remaining.bit_length() // 7))
    return 1 + length_bytes + remaining


def to_event(message: aiomqtt.Message) -> dict[str, Any]:
    """A received message as the IoTCoreMessage event."""
    event: dict[str, Any] = {
        "topicName": message.topic.value,
        "payload": base64.b64encode(payload_of(message)).decode(),
        "retain": message.retain,
    }
    packet = message.properties
    for ours, theirs in _PLAIN_PROPERTIES.items():
        if (value := getattr(packet, theirs, None)) is not None:
            event[ours] = value
    if (data := getattr(packet, "CorrelationData", None)) is not None:
        event["correlationData"] = base64.b64encode(data).decode()
    event["payloadFormat"] = str(getattr(packet, "PayloadFormatIndicator", 0))
    if pairs := getattr(packet, "UserProperty", None):
        event["userProperties"] = [{"key": key, "value": value} for key, value in pairs]
    return {"message": event}


def _decode(name: str, text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise InvalidArgumentsError(f"{name} is not base64: {error}") from error
