"""Whatever comes over one connection, on either nucleus: it ends that connection at most, and no other."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehost.frames import Frame, encode
from edgehost.profile import PROFILES
from edgehost.thread import run_in_thread
from edgehost.wire import Type
from ipc_bench import DEADLINE_S, Bench
from lite_frames import CAPTURED

EXAMPLES = settings(max_examples=60, deadline=None)


class Served:
    """A host, a component's token, and a client that is served all the while."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.token = bench.token("com.a")
        self.bystander = bench.raw()
        self.bystander.connect(self.token)
        self._stream = 0

    def send(self, data: bytes, *, after_connect: bool, closes: bool) -> None:
        """Send bytes on a connection of their own, and see that the bystander is still served."""
        client = self.bench.raw()
        try:
            if after_connect:
                client.connect(self.token)
            client.send_bytes(data)
            if closes:
                client.drain()
        finally:
            client.close()
        self._stream += 1
        reply = self.bystander.request(self._stream, "GetConfiguration")
        assert (reply.headers[":message-type"], reply.headers[":stream-id"]) == (0, self._stream)


@pytest.fixture(scope="module", params=PROFILES.values(), ids=list(PROFILES))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A host for all examples of a test."""
    root = tmp_path_factory.mktemp("root")
    with run_in_thread(root, profile=request.param) as threaded, ExitStack() as clients:
        threaded.call(threaded.host.iot_core.online.wait(), DEADLINE_S)
        yield Served(Bench(threaded, clients))


def with_checksums(headers: bytes, payload: bytes, headers_length: int) -> bytes:
    """A frame whose checksums are right, around headers that may be anything."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), headers_length)
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


@EXAMPLES
@given(data=st.binary(min_size=12, max_size=200), after_connect=st.booleans())
def test_bytes_that_are_no_frame(served: Served, data: bytes, after_connect: bool) -> None:
    """Their connection is closed."""
    served.send(data, after_connect=after_connect, closes=True)


@EXAMPLES
@given(
    frame=st.sampled_from(list(CAPTURED.values())), bit=st.integers(0, 8 * 300), after_connect=st.booleans()
)
def test_frames_with_a_flipped_bit(served: Served, frame, bit: int, after_connect: bool) -> None:
    """So is that of a frame of AWS's own that was damaged on its way."""
    damaged = bytearray(frame.raw)
    bit %= 8 * len(damaged)
    damaged[bit // 8] ^= 1 << bit % 8
    served.send(bytes(damaged), after_connect=after_connect, closes=True)


@EXAMPLES
@given(headers=st.binary(max_size=60), payload=st.binary(max_size=60), after_connect=st.booleans())
def test_frames_of_nonsense(served: Served, headers: bytes, payload: bytes, after_connect: bool) -> None:
    """A frame in which only the checksums are right is answered or not; nothing else suffers."""
    served.send(with_checksums(headers, payload, len(headers)), after_connect=after_connect, closes=False)


message_headers = st.fixed_dictionaries(
    {},
    optional={
        ":message-type": st.sampled_from([*map(int, Type), -1, 99]) | st.text(max_size=3),
        ":message-flags": st.integers(0, 3) | st.text(max_size=3),
        ":stream-id": st.integers(-2, 3) | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=3),
        ":version": st.sampled_from(["0.1.0", "0.2.0", 1]),
        "operation": st.sampled_from(
            [f"aws.greengrass#{name}" for name in ("GetConfiguration", "SubscribeToTopic", "PublishToTopic")]
        )
        | st.text(max_size=5),
    },
)
payloads = st.binary(max_size=40) | st.sampled_from(
    [
        b"{}",
        b'{"topic": "t"}',
        b'{"topic": "t", "publishMessage": {"jsonMessage": {"message": {"a": "\\ud800"}}}}',
    ]
)


@EXAMPLES
@given(frames=st.lists(st.builds(Frame, message_headers, payloads), max_size=5), after_connect=st.booleans())
def test_messages_of_any_kind(served: Served, frames: list[Frame], after_connect: bool) -> None:
    """So with well-formed frames in any order, whatever their headers and payload say."""
    served.send(b"".join(map(encode, frames)), after_connect=after_connect, closes=False)


@pytest.mark.parametrize("length", [16, 10_012, 10_013, 24 * 1024 * 1024, 24 * 1024 * 1024 + 1, 2**32 - 1])
def test_lengths_at_the_limits(served: Served, length: int) -> None:
    """A frame that is too long is refused as soon as its lengths are known."""
    lengths = struct.pack(">II", length, 0)
    longest = served.bench.host.profile.wire.max_received_bytes
    prelude = lengths + struct.pack(">I", zlib.crc32(lengths))
    served.send(prelude, after_connect=True, closes=length > longest)
