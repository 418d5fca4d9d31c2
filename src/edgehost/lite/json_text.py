"""JSON as Greengrass Lite reads and writes it. Pure.

Source: ``json_encode.c`` and ``map_canonical.c`` of the component SDK that Lite is built on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# One object per value, 255 at most in a request: GG_MAX_OBJECT_SUBOBJECTS, and what each takes of that memory.
_MAX_OBJECTS = 255
_OBJECT_BYTES, _PAIR_BYTES = 11, 21
_ESCAPED = re.compile(r'["\\\x00-\x1f]')


def read(text: bytes) -> Any:
    """The value. Keys come sorted; of a key that is there twice the first counts. Raises ValueError.

    That is also raised where the values are too many for the memory that a request is read into.
    """
    value = json.loads(text.decode(), object_pairs_hook=_canonical, parse_constant=_refuse)
    if (needed := _bytes_of(value)) > (there := _MAX_OBJECTS * _OBJECT_BYTES):
        raise ValueError(f"its values take {needed} bytes of memory, and there are {there}")
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


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}" if match[0] in '"\\' else f"\\u{ord(match[0]):04X}"


def _canonical(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(sorted(dict(reversed(pairs)).items()))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _bytes_of(value: Any) -> int:
    match value:
        case dict():
            return sum(_PAIR_BYTES + _bytes_of(each) for each in value.values())
        case list():
            return sum(_OBJECT_BYTES + _bytes_of(each) for each in value)
    return 0
