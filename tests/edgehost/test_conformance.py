"""Every operation through AWS's own client: request, reply, stream events, errors, denials.

What is expected comes from the SDK's model classes and the classic nucleus's sources, never from the host.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import awsiot.greengrasscoreipc.model as m
import pytest

NOTHING_ALLOWED: dict[str, Any] = {}
NOW = datetime.now(timezone.utc)

CONFIGURATION = {
    "Text": "hi",
    "Number": 10.0123456,
    "Nothing": None,
    "List": ["one", 2, {"three": 3}],
    "Nested": {"Inner": {"Deep": True}, "Other": 1},
}


def binary(message: bytes) -> m.PublishMessage:
    return m.PublishMessage(binary_message=m.BinaryMessage(message=message))


def json_message(message: dict[str, Any]) -> m.PublishMessage:
    return m.PublishMessage(json_message=m.JsonMessage(message=message))


@pytest.mark.parametrize(
    ("key_path", "value"),
    [
        (["Text"], {"Text": "hi"}),
        (["Number"], {"Number": 10.0123456}),
        (["Nothing"], {"Nothing": None}),
        (["List"], {"List": ["one", 2, {"three": 3}]}),
        (["Nested"], {"Inner": {"Deep": True}, "Other": 1}),
        (["Nested", "Inner", "Deep"], {"Deep": True}),
        (["nested", "INNER", "deep"], {"Deep": True}),
        ([], CONFIGURATION),
        (None, CONFIGURATION),
    ],
)
def test_get_configuration(bench, key_path, value) -> None:
    """A leaf comes under its own name, a mapping bare, the whole without a path; keys compare without case."""
    bench.configure("com.a", CONFIGURATION)
    reply = bench.client("com.a").get_configuration(key_path=key_path)
    assert reply.component_name == "com.a"
    reply.value.pop("accessControl", None)
    assert reply.value == value


def test_get_configuration_of_another_component(bench) -> None:
    """Configuration is open to every component."""
    bench.configure("com.b", {"Key": 1})
    reply = bench.client("com.a").get_configuration(component_name="com.b", key_path=["Key"])
    assert (reply.component_name, reply.value) == ("com.b", {"Key": 1})


def test_update_configuration_merges(bench) -> None:
    """Keys named are set or added, keys not named stay; keyPath names the mapping to merge into."""
    bench.configure("com.a", CONFIGURATION)
    client = bench.client("com.a")
    client.update_configuration(
        key_path=["Nested"],
        timestamp=datetime.now(timezone.utc),
        value_to_merge={"Other": "2", "New": {"x": []}},
    )
    client.update_configuration(timestamp=datetime.now(timezone.utc), value_to_merge={"text": "bye"})
    assert client.get_configuration(key_path=["Nested"]).value == {
        "Inner": {"Deep": True},
        "Other": "2",
        "New": {"x": []},
    }
    assert client.get_configuration(key_path=["Text"]).value == {"Text": "bye"}


def test_configuration_events(bench, inbox) -> None:
    """One event for each leaf that changed, with its path as spelled; none for what stayed the same."""
    bench.configure("com.a", CONFIGURATION)
    client = bench.client("com.a")
    client.subscribe_to_configuration_update(key_path=["nested"], **inbox.handlers())
    now = datetime.now(timezone.utc)
    unchanged = {"Text": "other", "Nested": {"Other": 1}}
    client.update_configuration(timestamp=now, value_to_merge=unchanged)
    client.update_configuration(timestamp=now, value_to_merge={"nested": {"inner": {"deep": False}}})
    event = inbox.next().configuration_update_event
    assert (event.component_name, event.key_path) == ("com.a", ["Nested", "Inner", "Deep"])
    assert inbox.is_empty()


def test_local_messages_reach_subscribers(bench, inbox) -> None:
    """Binary and JSON arrive as sent, with the topic they were sent to, in order."""
    subscriber, publisher = bench.client("com.a"), bench.client("com.b")
    subscriber.subscribe_to_topic(topic="line/+/results", **inbox.handlers())
    publisher.publish_to_topic(topic="line/1/results", publish_message=binary(b"\x00\xff raw"))
    publisher.publish_to_topic(
        topic="line/2/results", publish_message=json_message({"é": [1, None, {"x": 1.5}]})
    )
    first, second = inbox.next(), inbox.next()
    if first.binary_message is None:  # the client delivers on a pool of threads, in any order
        first, second = second, first
    assert (first.binary_message.message, first.binary_message.context.topic) == (
        b"\x00\xff raw",
        "line/1/results",
    )
    assert second.json_message.message == {"é": [1, None, {"x": 1.5}]}
    assert second.json_message.context.topic == "line/2/results"


@pytest.mark.parametrize(
    ("topic", "mode", "hears_itself"),
    [
        ("t/1", None, True),
        ("t/#", None, False),
        ("t/1", m.ReceiveMode.RECEIVE_MESSAGES_FROM_OTHERS, False),
        ("t/#", m.ReceiveMode.RECEIVE_ALL_MESSAGES, True),
    ],
)
def test_receive_mode(bench, inbox, topic, mode, hears_itself) -> None:
    """By default a component hears itself on a plain topic and not through a wildcard."""
    itself, other = bench.client("com.a"), bench.client("com.b")
    itself.subscribe_to_topic(topic=topic, receive_mode=mode, **inbox.handlers())
    itself.publish_to_topic(topic="t/1", publish_message=binary(b"mine"))
    other.publish_to_topic(topic="t/1", publish_message=binary(b"theirs"))
    heard = {inbox.next().binary_message.message for _ in range(1 + hears_itself)}
    assert heard == ({b"mine", b"theirs"} if hears_itself else {b"theirs"})
    assert inbox.is_empty()


@pytest.mark.parametrize(
    ("topic_filter", "topic", "heard"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a/b/c", False),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", False),
        ("#", "a/b", True),
        ("+", "a", True),
    ],
)
def test_local_topic_filters(bench, inbox, topic_filter, topic, heard) -> None:
    """+ stands for one level, # for one or more at the end."""
    client = bench.client("com.a")
    everything = m.ReceiveMode.RECEIVE_ALL_MESSAGES
    client.subscribe_to_topic(topic=topic_filter, receive_mode=everything, **inbox.handlers())
    client.subscribe_to_topic(topic="last", **inbox.handlers())
    client.publish_to_topic(topic=topic, publish_message=binary(b"x"))
    client.publish_to_topic(topic="last", publish_message=binary(b"x"))
    topics = {inbox.next().binary_message.context.topic for _ in range(1 + heard)}
    assert (topic in topics) is heard
    assert "last" in topics


def test_closed_stream_hears_nothing(bench, inbox) -> None:
    """After the client closed the operation, publishing goes on and nothing arrives."""
    client = bench.client("com.a")
    _, operation = client.subscribe_to_topic(topic="t", **inbox.handlers())
    operation.close().result(10)
    assert inbox.closed.get(timeout=10) == "closed"
    client.publish_to_topic(topic="t", publish_message=binary(b"x"))
    assert inbox.is_empty()


def test_update_state_needs_a_component(bench) -> None:
    """A token without a deployed component has no state to report."""
    with pytest.raises(m.ResourceNotFoundError):
        bench.client("com.a").update_state(state=m.ReportedLifecycleState.RUNNING)


REPORT = m.ConfigurationValidityReport(status="ACCEPTED", deployment_id="none")

ERRORS = [
    ("get_configuration", {"key_path": ["None"]}, m.ResourceNotFoundError, "Key not found"),
    ("get_configuration", {"key_path": ["Text", "below"]}, m.ResourceNotFoundError, "Key not found"),
    ("get_configuration", {"component_name": "com.none"}, m.ResourceNotFoundError, "Key not found"),
    ("update_configuration", {"value_to_merge": {"a": 1}}, m.InvalidArgumentsError, "Timestamp is required"),
    ("update_configuration", {"timestamp": NOW}, m.InvalidArgumentsError, "ValueToMerge is required"),
    (
        "update_configuration",
        {"timestamp": NOW, "value_to_merge": {"accessControl": {}}},
        m.InvalidArgumentsError,
        "Config update is not allowed for following fields [accessControl]",
    ),
    (
        "update_configuration",
        {"timestamp": NOW, "key_path": ["accessControl"], "value_to_merge": {"x": {}}},
        m.InvalidArgumentsError,
        "Config update is not allowed for following fields [accessControl]",
    ),
    (
        "publish_to_topic",
        {"topic": "a/+", "publish_message": binary(b"")},
        m.InvalidArgumentsError,
        "Publish topic must not contain a wildcard.",
    ),
    (
        "publish_to_topic",
        {"publish_message": binary(b"")},
        m.InvalidArgumentsError,
        "Publish topic must not be null",
    ),
    ("publish_to_topic", {"topic": "a"}, m.InvalidArgumentsError, None),
    (
        "publish_to_topic",
        {"topic": "a", "publish_message": m.PublishMessage()},
        m.InvalidArgumentsError,
        None,
    ),
    ("publish_to_iot_core", {"qos": "1", "payload": b""}, m.InvalidArgumentsError, "Topic is required"),
    ("publish_to_iot_core", {"topic_name": "t", "payload": b""}, m.InvalidArgumentsError, "QoS is required"),
    ("publish_to_iot_core", {"topic_name": "t", "qos": "1"}, m.InvalidArgumentsError, "Payload is required"),
    (
        "publish_to_iot_core",
        {"topic_name": "t", "qos": "2", "payload": b""},
        m.InvalidArgumentsError,
        "Invalid QoS value: 2",
    ),
    (
        "publish_to_iot_core",
        {"topic_name": "t", "qos": "1", "payload": b"", "message_expiry_interval_seconds": -1},
        m.InvalidArgumentsError,
        "MQTT 5 properties",
    ),
    ("publish_to_iot_core", {"topic_name": "a/#", "qos": "1", "payload": b""}, m.ServiceError, "wildcard"),
    (
        "publish_to_iot_core",
        {"topic_name": "", "qos": "1", "payload": b""},
        m.ServiceError,
        "must not be empty",
    ),
    (
        "publish_to_iot_core",
        {"topic_name": "/" * 8, "qos": "1", "payload": b""},
        m.ServiceError,
        "7 forward slashes",
    ),
    (
        "publish_to_iot_core",
        {"topic_name": "t" * 257, "qos": "1", "payload": b""},
        m.ServiceError,
        "256 bytes",
    ),
    (
        "publish_to_iot_core",
        {"topic_name": "t", "qos": "1", "payload": bytes(131073)},
        m.ServiceError,
        "Publish to topic t failed: The publishing message size 131073 bytes exceeds the configured limit of "
        "131072 bytes",
    ),
    (
        "send_configuration_validity_report",
        {"configuration_validity_report": REPORT},
        m.InvalidArgumentsError,
        "never",
    ),
    (
        "send_configuration_validity_report",
        {"configuration_validity_report": m.ConfigurationValidityReport()},
        m.InvalidArgumentsError,
        None,
    ),
    (
        "defer_component_update",
        {"deployment_id": "d", "recheck_after_ms": 1},
        m.InvalidArgumentsError,
        "Component is not subscribed to component update events",
    ),
    ("defer_component_update", {"recheck_after_ms": 1}, m.InvalidArgumentsError, "deploymentId"),
    ("update_state", {"state": "SLEEPY"}, m.InvalidArgumentsError, None),
    ("get_secret_value", {"secret_id": "x"}, m.ServiceError, "not supported"),
    ("list_components", {}, m.ServiceError, "not supported"),
]


@pytest.mark.parametrize(("operation", "arguments", "error", "message"), ERRORS)
def test_errors(bench, operation, arguments, error, message) -> None:
    """A request that can't be met raises the modelled error with the nucleus's words."""
    bench.configure("com.a", CONFIGURATION)
    with pytest.raises(error) as raised:
        getattr(bench.client("com.a"), operation)(**arguments)
    assert message is None or message in raised.value.message


SUBSCRIPTION_ERRORS = [
    ("subscribe_to_configuration_update", {"key_path": ["None"]}, m.ResourceNotFoundError),
    ("subscribe_to_configuration_update", {"component_name": "com.none"}, m.ResourceNotFoundError),
    ("subscribe_to_topic", {"topic": ""}, m.InvalidArgumentsError),
    ("subscribe_to_topic", {}, m.InvalidArgumentsError),
    ("subscribe_to_topic", {"topic": "t", "receive_mode": "SOMETIMES"}, m.InvalidArgumentsError),
    ("subscribe_to_iot_core", {"qos": "1"}, m.InvalidArgumentsError),
    ("subscribe_to_iot_core", {"topic_name": "t"}, m.InvalidArgumentsError),
    ("subscribe_to_iot_core", {"topic_name": "/" * 8, "qos": "1"}, m.ServiceError),
    ("subscribe_to_iot_core", {"topic_name": "a/#/b", "qos": "1"}, m.ServiceError),
    ("subscribe_to_iot_core", {"topic_name": "a/b+", "qos": "1"}, m.ServiceError),
]


@pytest.mark.parametrize(("operation", "arguments", "error"), SUBSCRIPTION_ERRORS)
def test_subscription_errors(bench, inbox, operation, arguments, error) -> None:
    """A subscription that can't be made raises, and its stream ends."""
    client = bench.client("com.a")
    with pytest.raises(error):
        getattr(client, operation)(**arguments, **inbox.handlers())
    assert inbox.closed.get(timeout=10) == "closed"
    assert client.get_configuration().component_name == "com.a"


def test_stale_update_changes_nothing(bench) -> None:
    """An update older than a value that it names is refused whole."""
    bench.configure("com.a", CONFIGURATION)
    client = bench.client("com.a")
    client.update_configuration(timestamp=NOW, value_to_merge={"Text": "now"})
    with pytest.raises(m.FailedUpdateConditionCheckError) as raised:
        client.update_configuration(
            timestamp=NOW - timedelta(seconds=1), value_to_merge={"Fresh": 1, "Text": "then"}
        )
    assert "older than the config's latest modified timestamp" in raised.value.message
    assert client.get_configuration(key_path=["Text"]).value == {"Text": "now"}
    with pytest.raises(m.ResourceNotFoundError):
        client.get_configuration(key_path=["Fresh"])


DENIED = [
    ("publish_to_topic", {"topic": "t", "publish_message": binary(b"x")}, False),
    ("subscribe_to_topic", {"topic": "t"}, True),
    ("publish_to_iot_core", {"topic_name": "t", "qos": "1", "payload": b"x"}, False),
    ("subscribe_to_iot_core", {"topic_name": "t", "qos": "1"}, True),
]


@pytest.mark.parametrize(("operation", "arguments", "streams"), DENIED)
def test_denied_without_a_policy(bench, inbox, operation, arguments, streams) -> None:
    """Without a policy, publishing and subscribing are refused; the connection goes on."""
    client = bench.client("com.a", NOTHING_ALLOWED)
    with pytest.raises(m.UnauthorizedError):
        getattr(client, operation)(**arguments, **(inbox.handlers() if streams else {}))
    assert client.get_configuration().component_name == "com.a"


def test_denial_names_what_is_missing(bench) -> None:
    """As the nucleus words it for local topics."""
    with pytest.raises(m.UnauthorizedError) as raised:
        bench.client("com.a", NOTHING_ALLOWED).publish_to_topic(topic="t", publish_message=binary(b"x"))
    assert raised.value.message == (
        "Principal com.a is not authorized to perform aws.greengrass.ipc.pubsub:aws.greengrass#PublishToTopic "
        "on resource t"
    )


def test_policy_covers_its_operation_only(bench) -> None:
    """Leave to publish on a topic is no leave to publish elsewhere, nor to subscribe."""
    policy = {"p": {"operations": ["aws.greengrass#PublishToTopic"], "resources": ["inspect/*/results"]}}
    client = bench.client("com.a", {"aws.greengrass.ipc.pubsub": policy})
    client.publish_to_topic(topic="inspect/line-1/results", publish_message=binary(b"x"))
    for refused in ("inspect/line-1/status", "inspect/results", "other"):
        with pytest.raises(m.UnauthorizedError):
            client.publish_to_topic(topic=refused, publish_message=binary(b"x"))
    with pytest.raises(m.UnauthorizedError):
        client.subscribe_to_topic(
            topic="inspect/line-1/results",
            on_stream_event=print,
            on_stream_error=print,
            on_stream_closed=print,
        )


def test_many_calls_on_one_connection(bench) -> None:
    """A thousand requests, each closed by the caller too, and the connection is as good as new."""
    client = bench.client("com.a")
    request = m.PublishToTopicRequest(topic="t", publish_message=binary(b"x"))
    started = time.monotonic()
    for _ in range(1000):
        operation = client.client.new_publish_to_topic()
        operation.activate(request)
        operation.get_response().result(10)
        operation.close()
    assert client.get_configuration().component_name == "com.a"
    assert time.monotonic() - started < 20
