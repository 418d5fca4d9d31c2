"""Event-stream frames: encode one, decode many from arbitrary chunks.

Format (AWS event-stream encoding, big-endian throughout)::

    u32 total_length   u32 headers_length   u32 crc32(the 8 bytes before)
    headers            payload              u32 crc32(everything before)

A header is ``u8 name_length, name, u8 type, value``. IPC uses two types: 4, a signed 32-bit integer, and 7, UTF-8
text behind a u16 length. Pure: bytes in, values out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

HeaderValue = int | str

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_INT32, _STRING = 4, 7
_SMALLEST_FRAME_BYTES = _PRELUDE.size + _CRC.size
# The limits of aws-c-event-stream, which both the nucleus and the SDK are built on.
MAX_FRAME_BYTES = 24 * 1024 * 1024
MAX_HEADERS_BYTES = 128 * 1024


class FrameError(ValueError):
    """Bytes that are no event-stream frame; the connection that carried them can't go on."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: headers in their order on the wire, and the payload."""

    headers: Mapping[str, HeaderValue] = field(default_factory=lambda: MappingProxyType({}))
    payload: bytes = b""


def encode(frame: Frame, max_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """The frame's bytes. Raises FrameError where a header or the whole is too long to be written."""
    headers = b"".join(_encode_header(name, value) for name, value in frame.headers.items())
    total = _SMALLEST_FRAME_BYTES + len(headers) + len(frame.payload)
    _check_lengths(total, len(headers), max_bytes)
    lengths = struct.pack(">II", total, len(headers))
    body = lengths + _CRC.pack(zlib.crc32(lengths)) + headers + frame.payload
    return body + _CRC.pack(zlib.crc32(body))


class FrameDecoder:
    """Collects bytes as they arrive and gives the frames that are complete, of ``max_bytes`` each at most."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    @property
    def is_amid_a_frame(self) -> bool:
        """Whether the rest of a frame is to come."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield each frame that ``data`` completes. Raises FrameError at the first that is malformed."""
        self._buffer += data
        while (total := self._next_length()) is not None and len(self._buffer) >= total:
            raw = bytes(self._buffer[:total])
            del self._buffer[:total]
            yield _decode(raw)

    def _next_length(self) -> int | None:
        if len(self._buffer) < _PRELUDE.size:
            return None
        total, headers, crc = _PRELUDE.unpack_from(self._buffer)
        if crc != zlib.crc32(self._buffer[:8]):
            raise FrameError(
                f"prelude CRC is {crc:#010x}, the lengths give {zlib.crc32(self._buffer[:8]):#010x}"
            )
        _check_lengths(total, headers, self._max_bytes)
        return int(total)


def _check_lengths(total: int, headers: int, max_bytes: int) -> None:
    if total > max_bytes or headers > MAX_HEADERS_BYTES:
        raise FrameError(
            f"frame of {total} bytes with {headers} bytes of headers is over the limit of {max_bytes} bytes"
        )
    if total < _SMALLEST_FRAME_BYTES + headers:
        raise FrameError(f"frame of {total} bytes can't hold {headers} bytes of headers")


def _decode(raw: bytes) -> Frame:
    (crc,) = _CRC.unpack_from(raw, len(raw) - _CRC.size)
    if crc != (actual := zlib.crc32(raw[: -_CRC.size])):
        raise FrameError(f"message CRC is {crc:#010x}, the bytes give {actual:#010x}")
    headers_end = _PRELUDE.size + struct.unpack_from(">I", raw, 4)[0]
    headers = dict(_decode_headers(raw[_PRELUDE.size : headers_end]))
    return Frame(MappingProxyType(headers), raw[headers_end : -_CRC.size])


def _encode_header(name: str, value: HeaderValue) -> bytes:
    encoded = name.encode()
    try:
        start = struct.pack(">B", len(encoded)) + encoded
        if isinstance(value, int):
            return start + struct.pack(">Bi", _INT32, value)
        text = value.encode()
        return start + struct.pack(">BH", _STRING, len(text)) + text
    except struct.error as error:
        raise FrameError(f"header {name!r} can't be encoded: {error}") from error


def _decode_headers(raw: bytes) -> Iterator[tuple[str, HeaderValue]]:
    offset = 0
    try:
        while offset < len(raw):
            name, offset = _take_text(raw, offset, ">B")
            kind = raw[offset]
            if kind == _INT32:
                yield name, struct.unpack_from(">i", raw, offset + 1)[0]
                offset += 5
            elif kind == _STRING:
                text, offset = _take_text(raw, offset + 1, ">H")
                yield name, text
            else:
                raise FrameError(
                    f"header {name!r} has type {kind}; only 4 (int32) and 7 (text) are spoken here"
                )
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FrameError(f"headers are cut short or not UTF-8: {error}") from error


def _take_text(raw: bytes, offset: int, length_format: str) -> tuple[str, int]:
    (length,) = struct.unpack_from(length_format, raw, offset)
    start = offset + struct.calcsize(length_format)
    if start + length > len(raw):
        raise FrameError(f"header text of {length} bytes runs past the headers")
    return raw[start : start + length].decode(), start + length
