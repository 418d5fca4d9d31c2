"""The protocol below the SDK's client: handshake, streams, errors, damage. Checked on raw connections."""

from __future__ import annotations

import json

import pytest

from edgehost.frames import Frame, encode


def headers(frame: Frame) -> dict[str, object]:
    return dict(frame.headers)


def test_handshake_is_acknowledged(bench) -> None:
    """The right token is answered by CONNECT_ACK with the accepted flag, and nothing else."""
    answer = bench.raw().connect(bench.token("com.a"))
    assert list(answer.headers.items()) == [(":message-type", 5), (":message-flags", 1), (":stream-id", 0)]
    assert answer.payload == b""


@pytest.mark.parametrize(
    ("payload", "version"),
    [
        (b'{"authToken": "nobody\'s"}', "0.1.0"),
        (b'{"authToken": 7}', "0.1.0"),
        (b"{}", "0.1.0"),
        (b"[]", "0.1.0"),
        (b"not JSON", "0.1.0"),
        (None, "0.2.0"),
    ],
)
def test_refused_handshake_is_answered_then_closed(bench, payload: bytes | None, version: str) -> None:
    """Classic says no (CONNECT_ACK without the flag) before it closes."""
    token = bench.token("com.a")
    client = bench.raw()
    client.send(4, payload=payload or json.dumps({"authToken": token}).encode(), version=version)
    assert headers(client.receive()) == {":message-type": 5, ":message-flags": 0, ":stream-id": 0}
    assert client.is_closed()


def test_revoked_token_is_refused(bench) -> None:
    """A new token voids the one before it."""
    old = bench.token("com.a")
    bench.host.tokens.issue("com.a")
    client = bench.raw()
    assert client.connect(old).headers[":message-flags"] == 0


def test_unary_reply_ends_its_stream(bench) -> None:
    """Model, content type and flag 2, in the order that the nucleus writes."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    reply = client.request(1, "GetConfiguration", b'{"keyPath": ["accessControl", "none"]}')
    assert reply.headers[":message-type"] == 1
    bench.configure("com.a", {"Leaf": 1.5})
    reply = client.request(2, "GetConfiguration", b'{"keyPath": ["Leaf"]}')
    assert list(reply.headers.items()) == [
        (":message-type", 0),
        (":message-flags", 2),
        (":stream-id", 2),
        (":content-type", "application/json"),
        ("service-model-type", "aws.greengrass#GetConfigurationResponse"),
    ]
    assert reply.payload == b'{"componentName":"com.a","value":{"Leaf":1.5}}'


def test_subscription_reply_leaves_its_stream_open(bench) -> None:
    """Flag 0, then events on the same stream, until the client ends it."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    reply = client.request(1, "SubscribeToTopic", b'{"topic": "t"}')
    assert headers(reply)[":message-flags"] == 0
    publish = b'{"topic": "t", "publishMessage": {"binaryMessage": {"message": "eA=="}}}'
    event, reply = client.request(2, "PublishToTopic", publish), client.receive()
    assert (event.headers[":stream-id"], event.headers[":message-flags"]) == (1, 0)
    assert event.headers["service-model-type"] == "aws.greengrass#SubscriptionResponseMessage"
    assert event.payload == b'{"binaryMessage":{"message":"eA==","context":{"topic":"t"}}}'
    assert reply.headers[":stream-id"] == 2
    client.send(0, 2, 1)
    assert client.request(3, "PublishToTopic", publish).headers[":stream-id"] == 3


def test_error_is_written_as_classic_writes_it(bench) -> None:
    """The bytes of an error that the classic nucleus was seen to send for a key that isn't there."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    error = client.request(1, "GetConfiguration", b'{"keyPath": ["randomKey"]}')
    assert headers(error) == {
        ":message-type": 1,
        ":message-flags": 2,
        ":stream-id": 1,
        ":content-type": "application/json",
        "service-model-type": "aws.greengrass#ResourceNotFoundError",
    }
    assert error.payload == (
        b'{"message":"Key not found","_service":"aws.greengrass#GreengrassCoreIPC",'
        b'"_message":"Key not found","_errorCode":"ResourceNotFoundError"}'
    )


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"[1]", b"\xff"])
def test_request_that_is_no_json_object_is_answered(bench, payload: bytes) -> None:
    """The stream gets an error; the connection goes on."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    error = client.request(1, "GetConfiguration", payload)
    assert error.headers["service-model-type"] == "aws.greengrass#InvalidArgumentsError"
    assert client.request(2, "GetConfiguration").headers[":message-type"] == 0


def test_half_a_surrogate_pair_becomes_a_question_mark(bench) -> None:
    """As in Java, which writes UTF-8 that way; whoever publishes it is not told."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    client.request(1, "SubscribeToTopic", b'{"topic": "t"}')
    message = rb'{"topic": "t", "publishMessage": {"jsonMessage": {"message": {"a": "\ud800"}}}}'
    event, reply = client.request(2, "PublishToTopic", message), client.receive()
    assert event.payload == b'{"jsonMessage":{"message":{"a":"?"},"context":{"topic":"t"}}}'
    assert reply.headers[":message-type"] == 0


def test_unknown_operation_is_a_service_error(bench) -> None:
    """As on both nuclei."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    error = client.request(1, "MakeCoffee")
    assert error.headers["service-model-type"] == "aws.greengrass#ServiceError"


def test_ping_is_answered(bench) -> None:
    """Classic answers pings; the payload comes back."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    client.send(2, payload=b"are you there")
    answer = client.receive()
    assert (answer.headers[":message-type"], answer.payload) == (3, b"are you there")


def test_what_needs_no_answer(bench) -> None:
    """A ping response, and a message on a stream that is open: nothing comes of either."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    client.request(1, "SubscribeToTopic", b'{"topic": "t"}')
    client.send(3, payload=b"I am here")
    client.send(0, 0, 1, b"{}")
    publish = b'{"topic": "t", "publishMessage": {"binaryMessage": {"message": "eA=="}}}'
    answers = [client.request(2, "PublishToTopic", publish), client.receive()]
    assert [answer.headers[":stream-id"] for answer in answers] == [1, 2]


@pytest.mark.parametrize("kind", [6, 7])
def test_client_that_reports_an_error_is_closed(bench, kind: int) -> None:
    """Without an answer: it has said that it can't go on."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    client.send(kind, payload=b'{"message": "oh"}')
    assert client.is_closed()


def request_before_connect(client, token) -> None:
    client.send(0, 0, 1, b"{}", operation="aws.greengrass#GetConfiguration")


def connect_twice(client, token) -> None:
    client.connect(token)
    client.send(4, payload=json.dumps({"authToken": token}).encode(), version="0.1.0")


def skip_a_stream_id(client, token) -> None:
    client.connect(token)
    client.send(0, 0, 2, b"{}", operation="aws.greengrass#GetConfiguration")


def terminate_a_stream_that_has_ended(client, token) -> None:
    client.connect(token)
    client.request(1, "GetConfiguration")
    client.send(0, 2, 1)


def ping_on_a_stream(client, token) -> None:
    client.connect(token)
    client.send(2, 0, 1)


def unheard_of_type(client, token) -> None:
    client.connect(token)
    client.send(99)


def request_without_operation(client, token) -> None:
    client.connect(token)
    client.send(0, 0, 1, b"{}")


@pytest.mark.parametrize(
    ("offence", "told"),
    [
        (request_before_connect, "A CONNECT message must be received"),
        (connect_twice, "only one CONNECT message is allowed"),
        (skip_a_stream_id, "incremented by more than 1"),
        (terminate_a_stream_that_has_ended, "lower than the last seen"),
        (ping_on_a_stream, "only allowed for messages of type APPLICATION_MESSAGE"),
        (unheard_of_type, "invalid value for message-type"),
        (request_without_operation, "names no operation"),
    ],
)
def test_protocol_error_is_told_then_closed(bench, offence, told: str) -> None:
    """The peer learns what it did (message type 6), its connection closes, and another one goes on."""
    token = bench.token("com.a")
    bystander = bench.raw()
    bystander.connect(token)
    offender = bench.raw()
    offence(offender, token)
    error = offender.receive()
    assert error.headers[":message-type"] == 6
    assert told in json.loads(error.payload)["message"]
    assert offender.is_closed()
    assert bystander.request(1, "GetConfiguration").headers[":message-type"] == 0


@pytest.mark.parametrize("damage", [b"\x00" * 12, b"GET / HTTP/1.1\r\n\r\n"])
def test_malformed_frame_closes_that_connection_only(bench, damage: bytes) -> None:
    """Bytes that are no frame end their own connection and no other."""
    token = bench.token("com.a")
    bystander, offender = bench.raw(), bench.raw()
    bystander.connect(token)
    offender.connect(token)
    offender.send_bytes(damage)
    assert offender.is_closed()
    assert bystander.request(1, "GetConfiguration").headers[":message-type"] == 0


def test_missing_fields_are_a_protocol_error(bench) -> None:
    """A frame without the three headers that every message has."""
    client = bench.raw()
    client.send_bytes(encode(Frame()))
    error = client.receive()
    assert "missing required fields" in json.loads(error.payload)["message"]
