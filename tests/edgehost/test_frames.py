"""The frame codec against frames that AWS's own programs wrote, and against AWS's own decoder."""

from __future__ import annotations

import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from edgehost.frames import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, encode
from lite_frames import CAPTURED, Captured

int32 = st.integers(-(2**31), 2**31 - 1)
header_names = st.text(min_size=1, max_size=60).filter(lambda name: len(name.encode()) < 256)
frames = st.builds(
    Frame, st.dictionaries(header_names, int32 | st.text(max_size=300), max_size=8), st.binary()
)


def read_by_botocore(raw: bytes) -> Frame:
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    message = next(iter(buffer))
    return Frame(message.headers, message.payload)


@pytest.mark.parametrize("case", CAPTURED.values(), ids=lambda case: case.about)
def test_captured_frame_is_read_and_written_byte_by_byte(case: Captured) -> None:
    """What AWS's programs wrote is read as what it says, also when it comes a byte at a time, and what the codec
    writes is what they wrote, header order included.
    """
    decoder = FrameDecoder()
    (frame,) = [frame for byte in case.raw for frame in decoder.feed(bytes([byte]))]
    assert list(frame.headers.items()) == list(read_by_botocore(case.raw).headers.items())
    assert frame.payload.decode() == case.payload
    assert encode(frame) == case.raw


@given(st.sampled_from(list(CAPTURED.values())), st.data())
def test_a_bit_flipped_anywhere_is_noticed(case: Captured, data: st.DataObject) -> None:
    """Lengths, checksums, headers, payload: no damaged frame is taken for one."""
    bit = data.draw(st.integers(0, 8 * len(case.raw) - 1))
    damaged = bytearray(case.raw)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FrameError):
        list(FrameDecoder().feed(bytes(damaged)))


def test_frame_over_the_limit_is_refused_before_it_has_come() -> None:
    """Its lengths are enough to know; the limit itself is allowed, and the same holds for writing."""
    raw = encode(Frame({}, bytes(84)), max_bytes=100)
    assert len(list(FrameDecoder(max_bytes=100).feed(raw))) == 1
    with pytest.raises(FrameError, match="over the limit of 99 bytes"):
        list(FrameDecoder(max_bytes=99).feed(raw[:12]))
    with pytest.raises(FrameError, match="over the limit of 99 bytes"):
        encode(Frame({}, bytes(84)), max_bytes=99)


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
    read = read_by_botocore(encode(frame))
    assert (read.headers, read.payload) == (dict(frame.headers), frame.payload)


def framed(headers: bytes, payload: bytes = b"") -> bytes:
    """A frame with correct lengths and CRCs around headers that may be anything."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def flipped(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


GOOD = CAPTURED["the client connects"].raw


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
