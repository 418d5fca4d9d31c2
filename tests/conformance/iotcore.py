"""PublishToIoTCore and SubscribeToIoTCore. What comes of them at the broker is in test_iotcore.py and its like."""

from __future__ import annotations

from typing import Any

from conformance.case import BOTH, CLASSIC, LITE, NOTHING_ALLOWED, Case, Payload, Request, rows

_AGENT = "nucleus: MqttProxyIPCAgent.java, MqttClient.java"
_PUBLISH = "lite: ggipcd/src/services/mqttproxy/publish_to_iot_core.c, iotcored/src/mqtt.c"
_SUBSCRIBE = (
    "lite: ggipcd/src/services/mqttproxy/subscribe_to_iot_core.c, iotcored/src/subscription_dispatch.c"
)
_CAPTURED = "lite: captured frames 43 to 50; refusals observed"
_INVALID = "InvalidArgumentsError"
_NOT_READ = ("ServiceError", "Received invalid parameters.")
_NO_QOS = ("ServiceError", "'qos' not a valid value.")
_NO_NUMBER = ("ServiceError", "Failed to parse 'qos' string value.")
_NO_QOS_TYPE = ("ServiceError", "Key qos of invalid type.")
_NOT_PUBLISHED = ("ServiceError", "Failed to publish the message.")
_NOT_BOUND = ("ServiceError", "Failed to bind the subscription.")
_DENIED = ("UnauthorizedError", "IPC Operation not authorized.")
_WILDCARDS = "The topic of publish request should not contain wildcard characters of '#' or '+'"
_SLASHES = (
    "The topic of request must have no more than 7 forward slashes (/). This excludes the first 3 slashes in the "
    "mandatory segments for Basic Ingest topics ($AWS/rules/rule-name/)."
)
_NOTHING = {"access": NOTHING_ALLOWED}
_OFFLINE = {"offline": True}


def _message(topic: Any = "t", qos: Any = "1", payload: Any = "eA==", **more: Any) -> Payload:
    return {"topicName": topic, "qos": qos, "payload": payload, **more}


def _filter(topic: Any = "t", qos: Any = "1") -> Payload:
    return {"topicName": topic, "qos": qos}


def _without(request: Payload, name: str) -> Payload:
    return {key: value for key, value in request.items() if key != name}


def _publishing_on_both() -> list[Case]:
    answers, _ = rows("PublishToIoTCore", BOTH, f"{_AGENT}; {_PUBLISH}")
    return [
        answers(_message()),
        answers(_message(qos="0")),
        answers(_message(payload="")),
        answers(_message(retain=True, contentType="a/b")),
    ]


def _publishing_on_classic() -> list[Case]:
    answers, refuses = rows("PublishToIoTCore", CLASSIC, _AGENT)
    too_large = "The publishing message size 131073 bytes exceeds the configured limit of 131072 bytes"

    def fails(request: Payload, reason: str, **more: Any) -> Case:
        message = f"Publish to topic {request['topicName']} failed: {reason}"
        return refuses("failed", request, "ServiceError", message, **more)

    return [
        answers(_message("$AWS/rules/mine/" + "/" * 7)),
        refuses("invalid", _without(_message(), "topicName"), _INVALID, "Topic is required"),
        refuses("invalid", _without(_message(), "qos"), _INVALID, "QoS is required"),
        refuses("invalid", _without(_message(), "payload"), _INVALID, "Payload is required"),
        refuses("invalid", _message(qos="2"), _INVALID, "Invalid QoS value: 2"),
        refuses("invalid", _message(messageExpiryIntervalSeconds=-1), _INVALID, "…MQTT 5 properties"),
        refuses("denied", _message(), "UnauthorizedError", "Not Authorized", **_NOTHING),
        refuses("denied", _message(qos="3"), "UnauthorizedError", "Not Authorized", **_NOTHING),
        fails(_message("a/#"), _WILDCARDS),
        fails(_message("a/+"), _WILDCARDS),
        fails(_message(""), "Topic must not be empty"),
        fails(_message("/" * 8), _SLASHES),
        refuses("failed", _message("t" * 257), "ServiceError", "…256 bytes"),
        fails(_message(payload="AAAA" * 43691), too_large),
        answers(_message(), **_OFFLINE),
        fails(_message(qos="0"), "Device is offline. Dropping QoS 0 message.", **_OFFLINE),
    ]


def _publishing_on_lite() -> list[Case]:
    answers, refuses = rows("PublishToIoTCore", LITE, _PUBLISH)
    _, was_refused = rows("PublishToIoTCore", LITE, _CAPTURED)
    return [
        answers(_message("/" * 8)),
        answers(_message("t" * 257)),
        answers(_message(qos="2")),
        answers(_message(qos=1)),
        answers(_without(_message(), "qos")),
        answers(_without(_message(), "payload")),
        refuses("invalid", _without(_message(), "topicName"), *_NOT_READ),
        refuses("invalid", _message(1), *_NOT_READ),
        refuses("invalid", _message(None), *_NOT_READ),
        refuses("failed", _message(""), *_NOT_PUBLISHED),
        refuses("invalid", _message(payload=None), *_NOT_READ),
        refuses("invalid", _message(payload={}), *_NOT_READ),
        refuses("invalid", _message(payload="eA="), "ServiceError", "'payload' is not valid base64."),
        was_refused("invalid", _message(qos="3"), *_NO_QOS),
        refuses("invalid", _message(qos="-1"), *_NO_QOS),
        refuses("invalid", _message(qos="one"), *_NO_NUMBER),
        refuses("invalid", _message(qos=""), *_NO_NUMBER),
        refuses("invalid", _message(qos=None), *_NO_QOS_TYPE),
        refuses("invalid", _message(qos=True), *_NO_QOS_TYPE),
        refuses("invalid", _message(qos="3"), *_NO_QOS, **_NOTHING),
        was_refused("denied", _message(), *_DENIED, **_NOTHING),
        was_refused("failed", _message(), *_NOT_PUBLISHED, **_OFFLINE),
        was_refused("failed", _message(qos="0"), *_NOT_PUBLISHED, **_OFFLINE),
    ]


def _subscribing() -> list[Case]:
    both, _ = rows("SubscribeToIoTCore", BOTH, f"{_AGENT}; {_SUBSCRIBE}")
    _, refuses = rows("SubscribeToIoTCore", CLASSIC, _AGENT)
    return [
        both(_filter("inspect/cmd")),
        both(_filter("a/+/#", "0")),
        refuses("invalid", _without(_filter(), "topicName"), _INVALID, "Topic is required"),
        refuses("invalid", _without(_filter(), "qos"), _INVALID, "QoS is required"),
        refuses("denied", _filter(), "UnauthorizedError", "Not Authorized", **_NOTHING),
        refuses("failed", _filter("/" * 8), "ServiceError", f"…failed with error {_SLASHES}"),
        refuses("failed", _filter("a/#/b"), "ServiceError", "…wildcard #"),
        refuses("failed", _filter("a/b+"), "ServiceError", "…wildcard +"),
    ]


def _subscribing_on_lite() -> list[Case]:
    answers, refuses = rows("SubscribeToIoTCore", LITE, _SUBSCRIBE)
    hears, was_refused = rows("SubscribeToIoTCore", LITE, _CAPTURED)
    return [
        hears(
            _filter("thing1/up"),
            after=(Request("PublishToIoTCore", _message("thing1/up")),),
            events=({"message": {"topicName": "thing1/up", "payload": "eA=="}},),
        ),
        answers(_filter("/" * 8)),
        answers(_filter("t" * 256)),
        answers(_without(_filter(), "qos")),
        answers(_filter(qos=None)),
        answers(_filter(qos=2)),
        refuses("invalid", _without(_filter(), "topicName"), *_NOT_READ),
        refuses("invalid", _filter([]), *_NOT_READ),
        refuses("failed", _filter(""), *_NOT_BOUND),
        refuses("failed", _filter("t" * 257), *_NOT_BOUND),
        refuses("invalid", _filter(qos="3"), *_NO_QOS),
        refuses("invalid", _filter(qos="1.0"), *_NO_NUMBER),
        refuses("invalid", _filter(qos=1.0), *_NO_QOS_TYPE),
        refuses("invalid", _filter(qos="x"), *_NO_NUMBER, **_NOTHING),
        was_refused("denied", _filter(), *_DENIED, **_NOTHING),
        was_refused("failed", _filter(), *_NOT_BOUND, **_OFFLINE),
    ]


CASES = [
    *_publishing_on_both(),
    *_publishing_on_classic(),
    *_publishing_on_lite(),
    *_subscribing(),
    *_subscribing_on_lite(),
]
