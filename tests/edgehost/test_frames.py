"""The frame codec against frames that AWS's own programs wrote, and against AWS's own decoder."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from edgehost.frames import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, encode

# Captured between the SDK's client and the Greengrass Lite daemons; headers and payload as botocore decodes them.
CAPTURED = [
    json.loads(line) for line in (Path(__file__).parent / "captured_frames.jsonl").read_text().splitlines()
]

int32 = st.integers(-(2**31), 2**31 - 1)
header_names = st.text(min_size=1, max_size=60).filter(lambda name: len(name.encode()) < 256)
frames = st.builds(
    Frame, st.dictionaries(header_names, int32 | st.text(max_size=300), max_size=8), st.binary()
)


def captured(case: dict[str, Any]) -> Frame:
    return Frame(dict(case["headers"]), case["payload"].encode())


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: case["about"])
def test_captured_frame_is_written_byte_by_byte(case: dict[str, Any]) -> None:
    """What the codec writes is what AWS's programs wrote, header order included."""
    assert encode(captured(case)).hex() == case["hex"]


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: case["about"])
def test_captured_frame_is_read(case: dict[str, Any]) -> None:
    """What AWS's programs wrote is read as what it says, also when it comes a byte at a time."""
    decoder = FrameDecoder()
    read = [frame for byte in bytes.fromhex(case["hex"]) for frame in decoder.feed(bytes([byte]))]
    assert [(list(frame.headers.items()), frame.payload) for frame in read] == [
        (list(captured(case).headers.items()), captured(case).payload)
    ]


@given(st.lists(frames, min_size=1, max_size=5), st.data())
def test_any_frames_survive_any_chunking(sent: list[Frame], data: st.DataObject) -> None:
    """Whatever frames are sent and however their bytes are cut, the same frames come out."""
    stream = b"".join(encode(frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder = FrameDecoder()
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[start:end])
    assert [(dict(frame.headers), frame.payload) for frame in received] == [
        (dict(frame.headers), frame.payload) for frame in sent
    ]


@given(frames)
def test_botocore_reads_what_is_written(frame: Frame) -> None:
    """AWS's own decoder sees the same headers and payload."""
    buffer = EventStreamBuffer()
    buffer.add_data(encode(frame))
    message = next(iter(buffer))
    assert (message.headers, message.payload) == (dict(frame.headers), frame.payload)


def framed(headers: bytes, payload: bytes = b"") -> bytes:
    """A frame with correct lengths and CRCs around headers that may be anything."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def flipped(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


GOOD = bytes.fromhex(CAPTURED[0]["hex"])


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (flipped(GOOD, 2), "prelude CRC"),
        (flipped(GOOD, 20), "message CRC"),
        (flipped(GOOD, len(GOOD) - 1), "message CRC"),
        (framed(b"\x03abc\x09\x00"), "type 9"),
        (framed(b"\x03abc\x07\x00\x10short"), "runs past"),
        (framed(b"\x03abc\x04\x00"), "cut short"),
        (framed(b"\x10abc"), "runs past"),
        (framed(b"\x02\xff\xff\x04\x00\x00\x00\x00"), "UTF-8"),
        (framed(b"\x03abc"), "cut short"),
        (struct.pack(">III", 15, 0, zlib.crc32(struct.pack(">II", 15, 0))), "can't hold"),
        (struct.pack(">III", 20, 8, zlib.crc32(struct.pack(">II", 20, 8))), "can't hold"),
        (struct.pack(">III", 2**32 - 1, 0, zlib.crc32(struct.pack(">II", 2**32 - 1, 0))), "over the limit"),
    ],
)
def test_malformed_bytes_raise_frame_error(raw: bytes, complaint: str) -> None:
    """Each kind of damage is named, and none is taken for a frame."""
    with pytest.raises(FrameError, match=complaint):
        list(FrameDecoder().feed(raw))


@pytest.mark.parametrize(
    "frame",
    [
        Frame({"n" * 256: 1}),
        Frame({"n": 2**31}),
        Frame({"n": "x" * 65536}),
        Frame({}, bytes(MAX_FRAME_BYTES)),
    ],
    ids=["name", "integer", "text", "payload"],
)
def test_what_does_not_fit_is_not_written(frame: Frame) -> None:
    """A header or frame too large for the format is an error, not a truncated frame."""
    with pytest.raises(FrameError):
        encode(frame)
