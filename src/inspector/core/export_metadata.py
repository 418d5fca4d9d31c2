"""What Ultralytics writes into an ONNX file at export: texts, which come from outside like everything in the file.

Both are the ``repr`` of a Python value. They are not evaluated as a whole: an expression that is nested deeply
enough kills the interpreters that would parse it.
"""

from __future__ import annotations

import ast
import re

MAX_CHARACTERS = 100_000
_LABEL = re.compile(r"""\s*(\d{1,6})\s*:\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*(?:,|$)""")
_SIZE = re.compile(r"[\[(](\d{1,5}), ?(\d{1,5})[\])]")


def parse_labels(names: str) -> tuple[str, ...]:
    """``{0: 'scratch', 1: 'dent'}`` -> the labels in order of their class; ValueError, SyntaxError where it isn't."""
    if len(names) > MAX_CHARACTERS or names[:1] != "{" or names[-1:] != "}":
        raise ValueError(f"{names[:40]!r} is no dictionary of names")
    labels: dict[int, str] = {}
    position, end = 1, len(names) - 1
    while position < end:
        found = _LABEL.match(names, position, end)
        if found is None:
            raise ValueError(f"{names[position : position + 40]!r} names no class")
        labels[int(found[1])] = ast.literal_eval(found[2])  # one string, so nothing that could be nested
        position = found.end()
    if not labels or sorted(labels) != list(range(len(labels))):
        raise ValueError("the classes are not numbered from 0")
    return tuple(labels[class_id] for class_id in range(len(labels)))


def parse_size(imgsz: str) -> tuple[int, int]:
    """``[480, 480]`` -> (height, width) in pixels; ValueError where it isn't."""
    found = _SIZE.fullmatch(imgsz)
    if found is None:
        raise ValueError(f"{imgsz[:40]!r} is no size")
    return int(found[1]), int(found[2])
