"""JSON as Greengrass Lite reads and writes it. Pure.

Source: ``json_decode.c``, ``json_encode.c`` and ``map_canonical.c`` of the component SDK that Lite is built on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

# What a list takes for each value, and a mapping for each pair: the size of a GgObject and of a GgKV.
_OBJECT_BYTES, PAIR_BYTES = 11, 21
MAX_REQUEST_BYTES = 255 * _OBJECT_BYTES
_ESCAPED = re.compile(r'["\\\x00-\x1f]')


def read(text: bytes) -> Any:
    """The value. Keys come sorted; of a key that is there twice the first counts. Raises ValueError.

    That is also raised where the values are too many for the memory that a request is read into, where a number has
    no place in 64 bits, and where a text holds half a surrogate pair.
    """
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_canonical,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_refuse,
        )
        write(value).encode()
    except RecursionError as error:
        raise ValueError(str(error)) from error
    if (needed := memory_bytes(value)) > MAX_REQUEST_BYTES:
        raise ValueError(f"its values take {needed} bytes of memory, and there are {MAX_REQUEST_BYTES}")
    return value


def write(value: Any) -> str:
    """Compact; a float with 17 significant digits, UTF-8 as it is, control characters as ``\\u00XX``."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case float():
            return f"{value:#.17g}"
        case int():
            return str(value)
        case str():
            return f'"{_ESCAPED.sub(_escape, value)}"'
        case Mapping():
            return f"{{{','.join(f'{write(name)}:{write(each)}' for name, each in value.items())}}}"
    return f"[{','.join(map(write, value))}]"


def memory_bytes(value: Any, *, with_texts: bool = False) -> int:
    """What a value takes in a daemon's memory; texts stay in the message that they came in, unless kept too."""

    def bytes_of(value: Any) -> int:
        match value:
            case Mapping():
                return sum(PAIR_BYTES + bytes_of(name) + bytes_of(each) for name, each in value.items())
            case list():
                return sum(_OBJECT_BYTES + bytes_of(each) for each in value)
            case str() if with_texts:
                return len(value.encode())
        return 0

    return bytes_of(value)


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}" if match[0] in '"\\' else f"\\u{ord(match[0]):04X}"


def _canonical(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(sorted(dict(reversed(pairs)).items()))


def _integer(digits: str) -> int:
    if not -(2**63) <= (value := int(digits)) < 2**63:
        raise ValueError(f"{digits} is out of range")
    return value


def _float(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise ValueError(f"{digits} is out of range")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
