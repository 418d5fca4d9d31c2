"""Greengrass Lite's protocol, checked on raw connections."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from edgehost.frames import Frame, encode
from edgehost.profile import LITE, Profile
from ipc_bench import DEADLINE_S, Bench, RawClient
from mosquitto_broker import until


@pytest.fixture
def profile() -> Profile:
    """What ``bench`` plays here."""
    return LITE


NO_MESSAGE = b'{"_message":"","_errorCode":"ServiceError"}'


@pytest.fixture
def client(bench: Bench) -> RawClient:
    """A connection that is accepted."""
    client = bench.raw()
    client.connect(bench.token("com.a"))
    return client


def is_service_error(frame: Frame, stream: int) -> bool:
    about = [frame.headers[name] for name in (":message-type", ":message-flags", ":stream-id")]
    return (about, frame.payload) == ([1, 2, stream], NO_MESSAGE)


def connect_frame(token: str, **changes: Any) -> tuple[dict[str, Any], bytes]:
    headers = {":message-type": 4, ":message-flags": 0, ":stream-id": 0, ":version": "0.1.0"}
    return headers | changes, json.dumps({"authToken": token}).encode()


@pytest.mark.parametrize(
    "payload",
    [
        b'{"authToken": "AAAAAAAAAAAAAAAA"}',
        b'{"authToken": 7}',
        b'{"componentName": "com.a"}',
        b"{}",
        b"[]",
        b"not JSON",
        b'{"authToken": NaN}',
        b"\xff",
    ],
)
def test_refused_handshake_closes_without_a_word(bench: Bench, payload: bytes) -> None:
    """No CONNECT_ACK comes before the end."""
    bench.token("com.a")
    client = bench.raw()
    client.send(4, payload=payload, version="0.1.0")
    assert client.is_closed()


@pytest.mark.parametrize(
    "changes",
    [
        {":version": "0.2.0"},
        {":version": 1},
        {":message-type": 0, "operation": "aws.greengrass#GetConfiguration", ":stream-id": 1},
        {":message-type": 2},
        {":message-flags": 1},
        {":stream-id": 1},
        {":stream-id": "0"},
    ],
    ids=str,
)
def test_anything_but_a_proper_connect_closes(bench: Bench, changes: dict[str, Any]) -> None:
    """The version, the flags and the stream count, whatever the token."""
    headers, payload = connect_frame(bench.token("com.a"), **changes)
    client = bench.raw()
    client.send_bytes(encode(Frame(headers, payload)))
    assert client.is_closed()


@pytest.mark.parametrize(("name", "is_accepted"), [("com.a", True), ("com.b", False)])
def test_a_name_beside_the_token_must_be_its_own(bench: Bench, name: str, is_accepted: bool) -> None:
    """A client may say its component's name too."""
    claims = {"authToken": bench.token("com.a"), "componentName": name}
    client = bench.raw()
    client.send(4, payload=json.dumps(claims).encode())  # without a version, which is none of Lite's business
    assert client.receive().headers[":message-type"] == 5 if is_accepted else client.is_closed()


def test_a_component_keeps_its_token(bench: Bench) -> None:
    """As long as the daemon that issued it runs."""
    assert bench.host.tokens.issue("com.a") == bench.host.tokens.issue("com.a")


def test_replies_leave_their_streams_open(client: RawClient) -> None:
    """No flag 2; the same headers in the same order; and the client may end the stream or not."""
    for stream in (1, 2):
        reply = client.request(stream, "GetConfiguration")
        assert list(reply.headers.items()) == [
            (":message-type", 0),
            (":message-flags", 0),
            (":stream-id", stream),
            (":content-type", "application/json"),
            ("service-model-type", "aws.greengrass#GetConfigurationResponse"),
        ]
    client.send(0, 2, 1)
    assert client.request(3, "GetConfiguration").headers[":stream-id"] == 3


def test_replies_leave_nothing_behind(bench: Bench, client: RawClient) -> None:
    """What a client never ends, the host forgets all the same."""
    for stream in range(1, 101):
        client.request(stream, "GetConfiguration")
    (connection,) = bench.host.ipc._connections
    until(lambda: connection._calls == {}, "nothing is left")


@pytest.mark.parametrize("streams", [(7, 3, 5), (1, 1), (2**31 - 1, -1)])
def test_any_stream_id_will_do(client: RawClient, streams: tuple[int, ...]) -> None:
    """In any order, and again."""
    for stream in streams:
        assert client.request(stream, "GetConfiguration").headers[":stream-id"] == stream


def test_two_subscriptions_on_one_stream(client: RawClient) -> None:
    """Both live, and each TERMINATE ends one of them."""
    publish = {"topic": "t", "publishMessage": {"binaryMessage": {"message": "eA=="}}}
    for _ in range(2):
        client.request(5, "SubscribeToTopic", b'{"topic": "t"}')
    for events in (2, 1, 0):
        answers = [client.request(6, "PublishToTopic", json.dumps(publish).encode())]
        answers += [client.receive() for _ in range(events)]
        assert sorted(answer.headers[":stream-id"] for answer in answers) == [5] * events + [6]
        client.send(0, 2, 5)


@pytest.mark.parametrize("kind", [0, 2, 4, 99])
def test_end_of_a_stream_that_is_none_is_nothing(client: RawClient, kind: int) -> None:
    """Neither an answer nor the end of the connection, whatever the message's type."""
    client.send(kind, 2, 99)
    assert client.request(1, "GetConfiguration").headers[":stream-id"] == 1


@pytest.mark.parametrize(
    ("kind", "flags", "headers"),
    [
        (0, 0, {"operation": "aws.greengrass#MakeCoffee"}),
        (0, 0, {"operation": "GetConfiguration"}),
        (0, 0, {"operation": 5}),
        (0, 0, {}),
        (0, 1, {"operation": "aws.greengrass#GetConfiguration"}),
        (2, 0, {}),
        (4, 0, {}),
        (99, 0, {}),
    ],
)
def test_what_is_no_request_on_a_stream(
    client: RawClient, kind: int, flags: int, headers: dict[str, Any]
) -> None:
    """A ServiceError with an empty message; the connection goes on."""
    client.send(kind, flags, 3, b"{}", **headers)
    assert is_service_error(client.receive(), 3)
    assert client.request(4, "GetConfiguration").headers[":message-type"] == 0


def test_message_type_is_application_message_unless_it_says_otherwise(client: RawClient) -> None:
    """The headers that every message should carry count as zeros where they are missing."""
    client.send_bytes(encode(Frame({":stream-id": 3, "operation": "aws.greengrass#GetConfiguration"}, b"{}")))
    assert client.receive().headers[":message-type"] == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"[1]",
        b"\xff",
        b'{"keyPath": [NaN]}',
        json.dumps({"keyPath": [""] * 254}).encode(),
    ],
    ids=["nothing", "nonsense", "list", "no UTF-8", "NaN", "too many values"],
)
def test_request_that_can_not_be_read(client: RawClient, payload: bytes) -> None:
    """The stream gets a ServiceError with an empty message; the connection goes on."""
    assert is_service_error(client.request(1, "GetConfiguration", payload), 1)
    assert client.request(2, "GetConfiguration").headers[":message-type"] == 0


def ping(client: RawClient) -> None:
    client.send(2, payload=b"are you there")


def connect_again(client: RawClient) -> None:
    client.send(4, payload=b'{"authToken": "AAAAAAAAAAAAAAAA"}', version="0.1.0")


def no_headers(client: RawClient) -> None:
    client.send_bytes(encode(Frame()))


def type_in_words(client: RawClient) -> None:
    client.send_bytes(encode(Frame({":message-type": "0", ":stream-id": 1})))


def end_of_stream_0(client: RawClient) -> None:
    client.send(0, 2, 0)


@pytest.mark.parametrize("offence", [ping, connect_again, no_headers, type_in_words, end_of_stream_0])
def test_offence_closes_without_a_word(bench: Bench, client: RawClient, offence: Any) -> None:
    """No protocol error is told; another connection goes on."""
    offender = bench.raw()
    offender.connect(bench.token("com.a"))
    offence(offender)
    assert offender.is_closed()
    assert client.request(1, "GetConfiguration").headers[":message-type"] == 0


def padded(total: int) -> bytes:
    """A request of so many bytes in all, prelude and checksum included."""
    headers = {":message-type": 0, ":message-flags": 0, ":stream-id": 1, "operation": "aws.greengrass#Any"}
    size = len(encode(Frame(headers)))
    return encode(Frame(headers, b"{}".ljust(total - size)))


def test_longest_frame_and_one_byte_more(bench: Bench, client: RawClient) -> None:
    """10,012 bytes are answered; one more closes the connection."""
    client.send_bytes(padded(10_012))
    assert is_service_error(client.receive(), 1)
    client.send_bytes(padded(10_013))
    assert client.is_closed()


@pytest.mark.parametrize("profile", [replace(LITE, wire=replace(LITE.wire, stall_s=0.05))], ids=["impatient"])
def test_client_that_stops_amid_a_frame_loses_its_connection(bench: Bench, client: RawClient) -> None:
    """Between frames it may be silent for as long as it likes."""
    idle = bench.raw()
    idle.connect(bench.token("com.a"))
    client.send_bytes(padded(100)[:50])
    assert client.is_closed()
    assert idle.request(1, "GetConfiguration").headers[":message-type"] == 0


def test_reply_that_does_not_fit_is_an_error(bench: Bench, client: RawClient) -> None:
    """Whole configurations can be too large to be read, while their leaves can be."""
    bench.configure("com.a", {f"leaf{number}": "x" * 1000 for number in range(10)})
    assert is_service_error(client.request(1, "GetConfiguration"), 1)
    reply = client.request(2, "GetConfiguration", b'{"keyPath": ["leaf0"]}')
    assert json.loads(reply.payload)["value"] == {"leaf0": "x" * 1000}


def test_longest_reply_and_one_byte_more(bench: Bench, client: RawClient) -> None:
    """10,000 bytes are sent."""
    bench.configure("com.a", {"x": ""})
    rest = 10_000 - len(encode(client.request(1, "GetConfiguration", b'{"keyPath": ["x"]}')))
    bench.configure("com.a", {"y": "y" * rest, "z": "z" * (rest + 1)})
    assert len(encode(client.request(2, "GetConfiguration", b'{"keyPath": ["y"]}'))) == 10_000
    assert is_service_error(client.request(3, "GetConfiguration", b'{"keyPath": ["z"]}'), 3)


def test_fifty_clients(bench: Bench) -> None:
    """The next one is closed at once; when one of them goes, there is room again."""
    token = bench.token("com.a")
    clients = [bench.raw() for _ in range(50)]
    for client in clients:
        assert client.connect(token).headers[":message-flags"] == 1
    assert bench.raw().is_closed()
    clients[0].send(2)
    assert clients[0].is_closed()
    assert bench.raw().connect(token).headers[":message-flags"] == 1


def test_hundred_subscriptions_of_all_clients(bench: Bench) -> None:
    """One more fails as its operation fails, whoever asks; when one of them goes, there is room again."""
    one, other = bench.raw(), bench.raw()
    token = bench.token("com.a")
    one.connect(token)
    other.connect(token)
    for stream in range(1, 51):
        assert one.request(stream, "SubscribeToTopic", b'{"topic": "t"}').headers[":message-type"] == 0
        assert other.request(stream, "SubscribeToConfigurationUpdate").headers[":message-type"] == 0
    error = one.request(51, "SubscribeToTopic", b'{"topic": "t"}')
    assert json.loads(error.payload)["_message"] == "Failed to bind subscription."
    error = one.request(52, "SubscribeToConfigurationUpdate")
    assert json.loads(error.payload)["_message"] == "Failed to subscribe to configuration update."
    error = one.request(53, "SubscribeToIoTCore", b'{"topicName": "t"}')
    assert json.loads(error.payload)["_message"] == "Failed to bind the subscription."
    other.send(0, 2, 1)
    other.request(53, "GetConfiguration")
    assert one.request(54, "SubscribeToConfigurationUpdate").headers[":message-type"] == 0


def test_event_that_does_not_fit_is_left_out(bench: Bench, client: RawClient) -> None:
    """The next one comes."""
    client.request(1, "SubscribeToTopic", b'{"topic": "t"}')

    async def tell() -> None:
        (connection,) = bench.host.ipc._connections
        (call,) = connection.subscriptions
        call.send("SubscriptionResponseMessage", {"binaryMessage": {"message": "x" * 10_000}})
        call.send("SubscriptionResponseMessage", {"binaryMessage": {"message": "short"}})

    bench.call(tell(), DEADLINE_S)
    assert client.receive().payload == b'{"binaryMessage":{"message":"short"}}'
