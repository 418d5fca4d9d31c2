"""What classic refuses of PublishToIoTCore and SubscribeToIoTCore; what they do is in test_iotcore.py."""

from __future__ import annotations

from conformance.case import CLASSIC, NOTHING_ALLOWED, Case, Payload, rows

_AGENT = "nucleus: MqttProxyIPCAgent.java, MqttClient.java"
_INVALID = "InvalidArgumentsError"


def _message(topic: str = "t", qos: str = "1", payload: str = "", **more: int) -> Payload:
    return {"topicName": topic, "qos": qos, "payload": payload, **more}


def _publishing() -> list[Case]:
    answers, refuses = rows("PublishToIoTCore", CLASSIC, _AGENT)
    too_large = (
        "Publish to topic t failed: The publishing message size 131073 bytes exceeds the configured limit of "
        "131072 bytes"
    )
    return [
        answers(_message()),
        refuses("invalid", {"qos": "1", "payload": ""}, _INVALID, "Topic is required"),
        refuses("invalid", {"topicName": "t", "payload": ""}, _INVALID, "QoS is required"),
        refuses("invalid", {"topicName": "t", "qos": "1"}, _INVALID, "Payload is required"),
        refuses("invalid", _message(qos="2"), _INVALID, "Invalid QoS value: 2"),
        refuses("invalid", _message(messageExpiryIntervalSeconds=-1), _INVALID, "…MQTT 5 properties"),
        refuses("failed", _message("a/#"), "ServiceError", "…wildcard"),
        refuses("failed", _message(""), "ServiceError", "…must not be empty"),
        refuses("failed", _message("/" * 8), "ServiceError", "…7 forward slashes"),
        refuses("failed", _message("t" * 257), "ServiceError", "…256 bytes"),
        refuses("failed", _message(payload="AAAA" * 43690 + "AAAA"), "ServiceError", too_large),
        refuses("denied", _message(), "UnauthorizedError", access=NOTHING_ALLOWED),
    ]


def _subscribing() -> list[Case]:
    answers, refuses = rows("SubscribeToIoTCore", CLASSIC, _AGENT)
    filters = ("/" * 8, "a/#/b", "a/b+")
    return [
        answers({"topicName": "a/#", "qos": "1"}),
        refuses("invalid", {"qos": "1"}, _INVALID),
        refuses("invalid", {"topicName": "t"}, _INVALID),
        *(refuses("failed", {"topicName": each, "qos": "1"}, "ServiceError") for each in filters),
        refuses("denied", {"topicName": "t", "qos": "1"}, "UnauthorizedError", access=NOTHING_ALLOWED),
    ]


CASES = [*_publishing(), *_subscribing()]
