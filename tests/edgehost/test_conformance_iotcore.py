"""What PublishToIoTCore and SubscribeToIoTCore answer, of either nucleus, request by request.

What is expected comes from captured frames and from the nuclei's sources, named in each row, never from the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgehost.profile import CLASSIC, LITE, Profile
from edgehost.thread import run_in_thread
from ipc_bench import ALL_ALLOWED, Bench
from mosquitto_broker import until

BOTH, ONLY_CLASSIC, ONLY_LITE = (CLASSIC, LITE), (CLASSIC,), (LITE,)
PUBLISH, SUBSCRIBE = "PublishToIoTCore", "SubscribeToIoTCore"
OK: dict[str, Any] = {}

CAPTURED = "captured from Lite 2.6.0"
LITE_PUBLISH = "ggipcd, publish_to_iot_core.c"
LITE_SUBSCRIBE = "ggipcd, subscribe_to_iot_core.c"
IOTCORED = "iotcored, mqtt.c"
IOTCORED_FILTERS = "iotcored, subscription_dispatch.c"
AGENT = "MqttProxyIPCAgent"
CLIENT = "MqttClient"


class Row(NamedTuple):
    """A request in some state of the host, and its answer: a reply, or an error's name and message."""

    profiles: tuple[Profile, ...]
    operation: str
    request: dict[str, Any]
    answer: dict[str, Any] | tuple[str, str]
    source: str
    state: str = "online"


def service(message: str) -> tuple[str, str]:
    return "ServiceError", message


def invalid(message: str) -> tuple[str, str]:
    return "InvalidArgumentsError", message


def refused(operation: str, topic: str, reason: str) -> tuple[str, str]:
    verb = {
        PUBLISH: f"Publish to topic {topic} failed: ",
        SUBSCRIBE: f"Subscribe to topic {topic} failed with error ",
    }
    return service(verb[operation] + reason)


T = {"topicName": "t"}
X = {**T, "payload": "eA=="}
DENIED_CLASSIC = ("UnauthorizedError", "Not Authorized")
DENIED_LITE = ("UnauthorizedError", "IPC Operation not authorized.")
INVALID = service("Received invalid parameters.")
NO_QOS = service("'qos' not a valid value.")
NOT_A_NUMBER = service("Failed to parse 'qos' string value.")
NO_QOS_TYPE = service("Key qos of invalid type.")
NOT_PUBLISHED = service("Failed to publish the message.")
NOT_BOUND = service("Failed to bind the subscription.")
WILDCARDS = "The topic of publish request should not contain wildcard characters of '#' or '+'"
SLASHES = (
    "The topic of request must have no more than 7 forward slashes (/). This excludes the first 3 slashes in the "
    "mandatory segments for Basic Ingest topics ($AWS/rules/rule-name/)."
)

ROWS = [
    # what is published
    Row(BOTH, PUBLISH, {**X, "qos": "0"}, OK, CAPTURED),
    Row(BOTH, PUBLISH, {**X, "qos": "1"}, OK, CAPTURED),
    Row(BOTH, PUBLISH, {**T, "payload": "", "qos": "1"}, OK, LITE_PUBLISH),
    Row(BOTH, PUBLISH, {**X, "qos": "1", "retain": True, "contentType": "a/b"}, OK, LITE_PUBLISH),
    # topicName
    Row(ONLY_CLASSIC, PUBLISH, {"payload": "eA==", "qos": "1"}, invalid("Topic is required"), AGENT),
    Row(ONLY_LITE, PUBLISH, {"payload": "eA==", "qos": "1"}, INVALID, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {"topicName": 1, "payload": "eA==", "qos": "1"}, INVALID, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {"topicName": None, "payload": "eA==", "qos": "1"}, INVALID, LITE_PUBLISH),
    Row(
        ONLY_CLASSIC,
        PUBLISH,
        {**X, "topicName": "", "qos": "1"},
        refused(PUBLISH, "", "Topic must not be empty"),
        CLIENT,
    ),
    Row(ONLY_LITE, PUBLISH, {**X, "topicName": "", "qos": "1"}, NOT_PUBLISHED, IOTCORED),
    Row(
        ONLY_CLASSIC,
        PUBLISH,
        {**X, "topicName": "a/#", "qos": "1"},
        refused(PUBLISH, "a/#", WILDCARDS),
        CLIENT,
    ),
    Row(ONLY_LITE, PUBLISH, {**X, "topicName": "a/#", "qos": "1"}, OK, IOTCORED),
    Row(
        ONLY_CLASSIC,
        PUBLISH,
        {**X, "topicName": "/" * 8, "qos": "1"},
        refused(PUBLISH, "/" * 8, SLASHES),
        CLIENT,
    ),
    Row(ONLY_LITE, PUBLISH, {**X, "topicName": "/" * 8, "qos": "1"}, OK, IOTCORED),
    Row(ONLY_LITE, PUBLISH, {**X, "topicName": "t" * 257, "qos": "1"}, OK, IOTCORED),
    # payload
    Row(ONLY_CLASSIC, PUBLISH, {**T, "qos": "1"}, invalid("Payload is required"), AGENT),
    Row(ONLY_LITE, PUBLISH, {**T, "qos": "1"}, OK, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {**T, "payload": None, "qos": "1"}, INVALID, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {**T, "payload": {}, "qos": "1"}, INVALID, LITE_PUBLISH),
    Row(
        ONLY_LITE,
        PUBLISH,
        {**T, "payload": "eA=", "qos": "1"},
        service("'payload' is not valid base64."),
        LITE_PUBLISH,
    ),
    # qos
    Row(ONLY_CLASSIC, PUBLISH, X, invalid("QoS is required"), AGENT),
    Row(ONLY_LITE, PUBLISH, X, OK, LITE_PUBLISH),
    Row(ONLY_CLASSIC, PUBLISH, {**X, "qos": "2"}, invalid("Invalid QoS value: 2"), AGENT),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": "2"}, OK, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": 1}, OK, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": "3"}, NO_QOS, CAPTURED),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": "-1"}, NO_QOS, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": "one"}, NOT_A_NUMBER, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": ""}, NOT_A_NUMBER, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": None}, NO_QOS_TYPE, LITE_PUBLISH),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": True}, NO_QOS_TYPE, LITE_PUBLISH),
    # authorization: before the arguments on classic, after them on Lite
    Row(ONLY_CLASSIC, PUBLISH, {**X, "qos": "1"}, DENIED_CLASSIC, AGENT, "denied"),
    Row(ONLY_CLASSIC, PUBLISH, {**X, "qos": "3"}, DENIED_CLASSIC, AGENT, "denied"),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": "1"}, DENIED_LITE, CAPTURED, "denied"),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": "3"}, NO_QOS, LITE_PUBLISH, "denied"),
    # offline
    Row(ONLY_CLASSIC, PUBLISH, {**X, "qos": "1"}, OK, CLIENT, "offline"),
    Row(
        ONLY_CLASSIC,
        PUBLISH,
        {**X, "qos": "0"},
        refused(PUBLISH, "t", "Device is offline. Dropping QoS 0 message."),
        CLIENT,
        "offline",
    ),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": "1"}, NOT_PUBLISHED, CAPTURED, "offline"),
    Row(ONLY_LITE, PUBLISH, {**X, "qos": "0"}, NOT_PUBLISHED, CAPTURED, "offline"),
    # what is subscribed to
    Row(BOTH, SUBSCRIBE, {"topicName": "inspect/cmd", "qos": "1"}, OK, CAPTURED),
    Row(BOTH, SUBSCRIBE, {"topicName": "a/+/#", "qos": "0"}, OK, LITE_SUBSCRIBE),
    Row(ONLY_CLASSIC, SUBSCRIBE, {"qos": "1"}, invalid("Topic is required"), AGENT),
    Row(ONLY_LITE, SUBSCRIBE, {"qos": "1"}, INVALID, LITE_SUBSCRIBE),
    Row(ONLY_LITE, SUBSCRIBE, {"topicName": [], "qos": "1"}, INVALID, LITE_SUBSCRIBE),
    Row(ONLY_LITE, SUBSCRIBE, {"topicName": "", "qos": "1"}, NOT_BOUND, IOTCORED_FILTERS),
    Row(ONLY_LITE, SUBSCRIBE, {"topicName": "t" * 256, "qos": "1"}, OK, IOTCORED_FILTERS),
    Row(ONLY_LITE, SUBSCRIBE, {"topicName": "t" * 257, "qos": "1"}, NOT_BOUND, IOTCORED_FILTERS),
    Row(
        ONLY_CLASSIC,
        SUBSCRIBE,
        {"topicName": "/" * 8, "qos": "1"},
        refused(SUBSCRIBE, "/" * 8, SLASHES),
        CLIENT,
    ),
    Row(ONLY_LITE, SUBSCRIBE, {"topicName": "/" * 8, "qos": "1"}, OK, IOTCORED),
    Row(ONLY_LITE, SUBSCRIBE, {"topicName": "a#", "qos": "1"}, OK, IOTCORED),
    Row(ONLY_CLASSIC, SUBSCRIBE, T, invalid("QoS is required"), AGENT),
    Row(ONLY_LITE, SUBSCRIBE, T, OK, LITE_SUBSCRIBE),
    Row(ONLY_LITE, SUBSCRIBE, {**T, "qos": None}, OK, LITE_SUBSCRIBE),
    Row(ONLY_LITE, SUBSCRIBE, {**T, "qos": 2}, OK, LITE_SUBSCRIBE),
    Row(ONLY_LITE, SUBSCRIBE, {**T, "qos": "3"}, NO_QOS, LITE_SUBSCRIBE),
    Row(ONLY_LITE, SUBSCRIBE, {**T, "qos": "1.0"}, NOT_A_NUMBER, LITE_SUBSCRIBE),
    Row(ONLY_LITE, SUBSCRIBE, {**T, "qos": 1.0}, NO_QOS_TYPE, LITE_SUBSCRIBE),
    Row(ONLY_CLASSIC, SUBSCRIBE, {**T, "qos": "1"}, DENIED_CLASSIC, AGENT, "denied"),
    Row(ONLY_LITE, SUBSCRIBE, {**T, "qos": "1"}, DENIED_LITE, CAPTURED, "denied"),
    Row(ONLY_LITE, SUBSCRIBE, {**T, "qos": "x"}, NOT_A_NUMBER, LITE_SUBSCRIBE, "denied"),
    Row(ONLY_LITE, SUBSCRIBE, {**T, "qos": "1"}, NOT_BOUND, CAPTURED, "offline"),
]
CASES = [
    pytest.param(profile, row, id=f"{profile.name}-{row.operation}-{number}")
    for number, row in enumerate(ROWS)
    for profile in row.profiles
]


@pytest.fixture
def profile_bench(tmp_path: Path, profile: Profile) -> Iterator[Bench]:
    """A host that plays that nucleus, with the embedded broker, online."""
    with run_in_thread(tmp_path / "root", profile=profile) as threaded, ExitStack() as exit_stack:
        threaded.call(threaded.host.iot_core.online.wait(), 10)
        yield Bench(threaded, exit_stack)


def go_offline(bench: Bench) -> None:
    async def broker_down() -> None:
        bench.host.faults.broker_down(60)

    bench.call(broker_down())
    until(lambda: not bench.host.iot_core.online.is_set(), "the host is offline")


@pytest.mark.parametrize(("profile", "row"), CASES)
def test_answers(profile_bench: Bench, profile: Profile, row: Row) -> None:
    """As the row says, with the model's name and the nucleus's words."""
    client = profile_bench.raw()
    client.connect(profile_bench.token("com.a", {} if row.state == "denied" else ALL_ALLOWED))
    if row.state == "offline":
        go_offline(profile_bench)
    frame = client.request(1, row.operation, json.dumps(row.request).encode())
    model, payload = frame.headers["service-model-type"], json.loads(frame.payload)
    if isinstance(row.answer, tuple):
        name, message = row.answer
        assert (model, payload["_errorCode"], payload["_message"]) == (
            f"aws.greengrass#{name}",
            name,
            message,
        )
    else:
        assert (model, payload) == (f"aws.greengrass#{row.operation}Response", row.answer)
