"""Classic's message spool: what it takes, what it gives up, what it tries again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiomqtt
import pytest

from edgehost.classic.spool import Spool
from edgehost.errors import ServiceError
from edgehost.mqtt_message import MqttMessage

SPOOL_BYTES = 2_621_440  # 2.5 MiB


def message(payload: bytes = b"x", qos: int = 1) -> MqttMessage:
    return MqttMessage("t", payload, qos)


class Line:
    """What a spool sends, and how often it fails before that."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self.failures = failures
        self.attempts = 0

    async def publish(self, message: MqttMessage) -> None:
        self.attempts += 1
        if self.failures:
            self.failures -= 1
            raise aiomqtt.MqttError("the line is bad")
        self.sent.put_nowait(message.payload)


@pytest.fixture
async def spool() -> AsyncIterator[Spool]:
    """An empty one."""
    yield Spool()


async def send_all(spool: Spool, line: Line) -> None:
    """Connect again whenever sending fails, until nothing is left."""
    while len(spool):
        with pytest.raises((aiomqtt.MqttError, asyncio.TimeoutError)):
            await asyncio.wait_for(spool.send_with(line.publish), 0.05)


async def test_full_spool_gives_up_qos_0_and_no_other(spool: Spool) -> None:
    """First what has QoS 0, then the newcomer is refused."""
    half = bytes(SPOOL_BYTES // 2)
    spool.add(message(half, 0))
    spool.add(message(half))
    spool.add(message(half))
    assert (len(spool), spool.bytes) == (2, SPOOL_BYTES)
    with pytest.raises(
        ServiceError, match=r"^Publish to topic t failed: Message spool is full\. Message could"
    ):
        spool.add(message())
    assert spool.bytes == SPOOL_BYTES


async def test_message_as_large_as_the_spool(spool: Spool) -> None:
    """Fits; one more byte never will, and the reason is another."""
    with pytest.raises(ServiceError, match="Message is larger than the size of message spool"):
        spool.add(message(bytes(SPOOL_BYTES + 1)))
    spool.add(message(bytes(SPOOL_BYTES)))


@pytest.mark.parametrize(("failures", "arrives"), [(99, True), (100, False)])
async def test_message_is_tried_a_hundred_times(spool: Spool, failures: int, arrives: bool) -> None:
    """Then it is given up, and the next one has its turn."""
    spool.add(message(b"bad"))
    spool.add(message(b"next"))
    line = Line(failures)
    await send_all(spool, line)
    sent = [line.sent.get_nowait() for _ in range(line.sent.qsize())]
    assert sent == ([b"bad", b"next"] if arrives else [b"next"])


async def test_message_that_is_given_up_while_it_is_sent(spool: Spool) -> None:
    """What was spooled since then stays."""
    spool.add(message(b"old", 0))

    async def publish(sent: MqttMessage) -> None:
        if sent.payload == b"old":
            spool.drop_qos0()
            spool.add(message(b"new"))
        else:
            heard.set_result(sent.payload)

    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    sending = asyncio.create_task(spool.send_with(publish))
    assert await asyncio.wait_for(heard, 10) == b"new"
    sending.cancel()
