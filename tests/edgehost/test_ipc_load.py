"""The IPC server under load: who stops at the wrong moment, who doesn't read, who dies amid a request."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from contextlib import suppress
from pathlib import Path

import pytest

from edgehost.connection import _MAX_UNREAD_BYTES
from edgehost.frames import Frame, encode
from edgehost.ipc import IpcServer
from edgehost.profile import CLASSIC, LITE, PROFILES
from ipc_bench import DEADLINE_S, Bench
from mosquitto_broker import until

BOTH = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


@pytest.mark.parametrize("turns", range(8))
async def test_server_stops_while_clients_connect(tmp_path: Path, turns: int) -> None:
    """Whenever it stops, nobody who has just connected is left hanging."""
    server = IpcServer(tmp_path / "ipc.socket", lambda token: None, {}, CLASSIC.wire)
    await server.start()
    connecting = [asyncio.create_task(asyncio.open_unix_connection(server.path)) for _ in range(5)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(server.stop(), DEADLINE_S)
    for outcome in await asyncio.gather(*connecting, return_exceptions=True):
        if isinstance(outcome, OSError):  # it came too late
            continue
        reader, writer = outcome
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        writer.close()


@BOTH
def test_who_does_not_read_loses_the_connection(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What the host keeps for a subscriber is bounded, and whoever publishes is served all the while."""
    slow, publisher = bench.raw(), bench.raw()
    token = bench.token("com.a")
    slow.connect(token)
    publisher.connect(token)
    slow.request(1, "SubscribeToTopic", b'{"topic": "t"}')
    (connection,) = [each for each in bench.host.ipc._connections if each.subscriptions]
    size = min(7_000, bench.host.profile.wire.max_received_bytes) if bench.host.profile is LITE else 2**20
    message = {"topic": "t", "publishMessage": {"binaryMessage": {"message": "A" * size}}}
    payload = json.dumps(message).encode()
    for stream in range(1, 2 + _MAX_UNREAD_BYTES // size):
        assert publisher.request(stream, "PublishToTopic", payload).headers[":message-type"] == 0
        if connection.closed.is_set():
            break
    until(connection.closed.is_set, "the connection is cut")
    assert [record.message for record in caplog.records if "unread" in record.message]


@BOTH
def test_connections_leave_nothing_behind(bench: Bench) -> None:
    """Neither a file nor an entry, however they end."""
    token = bench.token("com.a")
    bench.raw().connect(token)  # whatever is opened once is open now
    before = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        client = bench.raw()
        if number % 2:
            client.connect(token)
            client.request(1, "SubscribeToTopic", b'{"topic": "t"}')
        client.close()
    until(lambda: len(bench.host.ipc._connections) == 1, "they are forgotten")
    until(lambda: len(os.listdir("/proc/self/fd")) <= before, "their files are closed")


@pytest.mark.parametrize("profile", [LITE], ids=["lite"])
def test_component_that_dies_amid_its_publishes(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Its refused messages are nobody's any more, and no error of the host's."""
    caplog.set_level(logging.ERROR)
    token = bench.token("com.a")
    name = "aws.greengrass#PublishToIoTCore"
    headers = {":message-type": 0, ":message-flags": 0, "operation": name}
    payload = b'{"topicName": "t", "qos": "1", "payload": "eA=="}'
    burst = b"".join(encode(Frame({**headers, ":stream-id": stream}, payload)) for stream in range(1, 20))
    for _ in range(20):
        client = bench.raw()
        client.connect(token)
        client.send_bytes(burst)
        client.close()
    until(lambda: not bench.host.ipc._connections, "they are gone")
    assert [record.getMessage() for record in caplog.records] == []


DEEP = b"[" * 5_000


@BOTH
def test_json_that_is_too_deep(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It is refused as what can't be read, in CONNECT and in a request, and the host goes on."""
    caplog.set_level(logging.ERROR)
    token = bench.token("com.a")
    client, other = bench.raw(), bench.raw()
    client.connect(token)
    model = client.request(1, "GetConfiguration", DEEP).headers["service-model-type"]
    assert (
        model == f"aws.greengrass#{'ServiceError' if bench.host.profile is LITE else 'InvalidArgumentsError'}"
    )
    other.send(4, payload=DEEP, version="0.1.0")
    if bench.host.profile is not LITE:
        assert other.receive().headers[":message-flags"] == 0
    assert other.is_closed()
    assert [record.getMessage() for record in caplog.records] == []
