"""The host beside the real Greengrass Lite: the same requests on the same streams, the same bytes in return."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgehost.frames import FrameDecoder, encode
from edgehost.profile import LITE
from edgehost.thread import run_in_thread
from ipc_bench import DEADLINE_S, Bench, RawClient
from lite_frames import CAPTURED, FROM_CLIENT, FROM_SERVER, Captured
from mosquitto_broker import until

PROBE = "com.example.Probe"
TOKEN = "mdP91YBEyu9+IhzQ"  # the one in the captured CONNECT
CONFIGURATION = json.loads(CAPTURED["the whole configuration"].payload)["value"]

Fault = Callable[[Bench], None]


def offline(bench: Bench) -> None:
    """The broker is gone."""
    _call(bench, lambda: bench.host.faults.broker_down(3600))
    until(lambda: not bench.host.iot_core.online.is_set(), "the host is offline")


def pubsub_away(bench: Bench) -> None:
    """The daemon for local messages is away."""
    _call(bench, lambda: bench.host.faults.daemon_restart("ggpubsubd"))


def _call(bench: Bench, function: Callable[[], None]) -> None:
    async def call() -> None:
        function()

    bench.call(call(), DEADLINE_S)


@dataclass(frozen=True)
class Row:
    """``requests``, as (stream, operation, request), are answered by ``answers`` frames, ``about`` among them."""

    about: str
    requests: tuple[tuple[int, str, dict[str, Any]], ...]
    answers: int = 1
    fault: Fault | None = None


def update(stream: int, values: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
    return stream, "UpdateConfiguration", {"keyPath": [], "timestamp": time.time(), "valueToMerge": values}


LOCAL = {"x": 1, "f": 1.5, "s": "é", "l": [None, True], "n": {}}
SUBSCRIBE_LOCALLY = (1, "SubscribeToTopic", {"topic": "inspect/a"})
PUBLISH_LOCALLY = (
    8,
    "PublishToTopic",
    {"topic": "inspect/a", "publishMessage": {"jsonMessage": {"message": LOCAL}}},
)
SUBSCRIBE_TO_CONFIGURATION = (20, "SubscribeToConfigurationUpdate", {})
PUBLISH = {"topicName": "inspect/r", "qos": "0", "payload": "aGVsbG8="}
SUBSCRIBE = {"topicName": "inspect/cmd", "qos": "1"}
UP = {"topicName": "thing1/up", "qos": "1"}

ROWS = [
    Row("the whole configuration", ((1, "GetConfiguration", {}),)),
    Row("a key that isn't there", ((12, "GetConfiguration", {"keyPath": ["none"]}),)),
    Row("a subscription to configuration", (SUBSCRIBE_TO_CONFIGURATION,)),
    Row(
        "a subscription to a key that isn't there",
        ((23, "SubscribeToConfigurationUpdate", {"keyPath": ["none"]}),),
    ),
    Row("a configuration event", (SUBSCRIBE_TO_CONFIGURATION, update(26, {"threshold": 0.7})), answers=3),
    Row("a configuration update", (update(26, {"threshold": 0.7}),)),
    Row("an update without a timestamp", ((36, "UpdateConfiguration", {"valueToMerge": {"a": 1}}),)),
    Row("an update of accessControl", (update(38, {"accessControl": {}}),)),
    Row("a mapping in place of a leaf", (update(40, {"threshold": {"a": 1}}),)),
    Row("an unknown operation", ((44, "PutComponentMetric", {"metrics": []}),)),
    Row("a state that can't be updated", ((52, "UpdateState", {"state": "RUNNING"}),)),
    Row("a token validated for somebody else", ((55, "ValidateAuthorizationToken", {"token": TOKEN}),)),
    Row(
        "a deployment that isn't authorized",
        ((59, "CreateLocalDeployment", {"rootComponentVersionsToAdd": {"a": "1.0.0"}}),),
    ),
    Row("a restart that isn't authorized", ((60, "RestartComponent", {"componentName": PROBE}),)),
    Row("a local subscription", (SUBSCRIBE_LOCALLY,)),
    Row("a topic that isn't authorized", ((5, "SubscribeToTopic", {"topic": "elsewhere"}),)),
    Row("a local message", (SUBSCRIBE_LOCALLY, PUBLISH_LOCALLY), answers=3),
    Row("a local publish", (PUBLISH_LOCALLY,)),
    Row("a local publish without a message", ((12, "PublishToTopic", {"topic": "inspect/a"}),)),
    Row("a local subscription that fails", ((9, "SubscribeToTopic", {"topic": "lab/#"}),), fault=pubsub_away),
    Row("a subscription to IoT Core", ((1, "SubscribeToIoTCore", SUBSCRIBE),)),
    Row("a publish to IoT Core", ((11, "PublishToIoTCore", PUBLISH),)),
    Row("a quality of service that is none", ((17, "PublishToIoTCore", PUBLISH | {"qos": "5"}),)),
    Row(
        "a message from IoT Core",
        ((8, "SubscribeToIoTCore", UP), (9, "PublishToIoTCore", UP | {"payload": "eA=="})),
        answers=3,
    ),
    Row("a publish offline", ((4, "PublishToIoTCore", PUBLISH),), fault=offline),
    Row("a subscription offline", ((6, "SubscribeToIoTCore", SUBSCRIBE),), fault=offline),
]


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[Bench]:
    """A host that knows the component which the frames were captured from, by its configuration and its token."""
    with (
        run_in_thread(tmp_path / "root", profile=LITE, thing_name="thing1") as threaded,
        ExitStack() as clients,
    ):
        threaded.call(threaded.host.iot_core.online.wait(), DEADLINE_S)
        bench = Bench(threaded, clients)
        bench.configure(PROBE, CONFIGURATION)
        bench.host.tokens._tokens[PROBE] = TOKEN
        yield bench


@pytest.fixture
def client(probe: Bench) -> RawClient:
    """A connection as that component, which the captured CONNECT opened."""
    client = probe.raw()
    client.send_bytes(CAPTURED["the client connects"].raw)
    assert encode(client.receive()) == CAPTURED["the connection is accepted"].raw
    return client


def test_every_frame_of_the_server_has_its_row() -> None:
    """None is left out; the acknowledgement of CONNECT opens every row's connection."""
    assert {row.about for row in ROWS} | {"the connection is accepted"} == {
        frame.about for frame in FROM_SERVER
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.about)
def test_server_writes_what_lite_writes(probe: Bench, client: RawClient, row: Row) -> None:
    """Type, flags, headers, their order, the payload: byte by byte."""
    if row.fault:
        row.fault(probe)
    answers = []
    for stream, operation, request in row.requests:
        answers.append(client.request(stream, operation, json.dumps(request).encode()))
    answers += [client.receive() for _ in range(row.answers - len(answers))]
    assert CAPTURED[row.about].raw in [encode(answer) for answer in answers]


REQUESTS = [frame for frame in FROM_CLIENT if frame.about.startswith("the client asks")]


@pytest.mark.parametrize("request_frame", REQUESTS, ids=lambda frame: frame.about)
def test_sdk_requests_are_taken(client: RawClient, request_frame: Captured) -> None:
    """Each request that the SDK's client wrote is answered on its own stream."""
    client.send_bytes(request_frame.raw)
    (sent,) = FrameDecoder().feed(request_frame.raw)
    answer = client.receive()
    assert answer.headers[":stream-id"] == sent.headers[":stream-id"]
    assert answer.headers[":message-type"] in (0, 1)


def test_sdk_ends_a_stream(client: RawClient) -> None:
    """The SDK's TERMINATE gets no answer, whether its stream is open or not."""
    client.send_bytes(CAPTURED["the client asks: SubscribeToTopic"].raw)
    client.receive()
    for _ in range(2):
        client.send_bytes(CAPTURED["the client ends a stream"].raw)
    assert client.request(7, "GetConfiguration").headers[":stream-id"] == 7
