"""The host that runs, as a command reaches it: JSON lines over a Unix socket, found by a file under the root.

A request is one line, ``{"command": "deploy", "arguments": {…}}``. The answer is any number of lines
``{"event": …}``, then one ``{"result": …}`` or ``{"error": "…"}``. ``edgehost.control`` is the other end.
"""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

MAX_REQUEST_BYTES = 64 * 1024 * 1024


class ControlError(Exception):
    """The running host can't be reached, or it refused."""


def send(root: Path, command: str, **arguments: Any) -> Any:
    """Have the host under ``root`` carry out a command; its result. Raises ControlError."""
    (result,) = (answer["result"] for answer in _answers(root, command, arguments) if "result" in answer)
    return result


def stream(root: Path, command: str, **arguments: Any) -> Generator[Any, None, None]:
    """The events of a command, as they come, until the host has carried it out. Raises ControlError."""
    with closing(_answers(root, command, arguments)) as answers:
        for answer in answers:
            if "event" in answer:
                yield answer["event"]


def about_file(root: Path) -> Path:
    """Where a host that runs under ``root`` says how to reach it."""
    return Path(root).absolute() / "edgehost.json"


def _answers(root: Path, command: str, arguments: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
    request = json.dumps({"command": command, "arguments": arguments}).encode() + b"\n"
    if len(request) > MAX_REQUEST_BYTES:
        raise ControlError(f"{command} has {len(request)} bytes; the host takes {MAX_REQUEST_BYTES} at most")
    with _connect(root) as connection, connection.makefile("rb") as lines:
        yield from _until_the_last(connection, request, lines)


def _connect(root: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(json.loads(about_file(root).read_text())["control"])
    except (OSError, ValueError, KeyError) as error:
        connection.close()
        start = f"edgehost run --root {shlex.quote(str(root))}"
        raise ControlError(f"no host runs under {root}; start one: {start}") from error
    return connection


def _until_the_last(
    connection: socket.socket, request: bytes, lines: Iterable[bytes]
) -> Generator[dict[str, Any], None, None]:
    try:
        connection.sendall(request)
        for line in lines:
            answer = json.loads(line)
            if "error" in answer:
                raise ControlError(answer["error"])
            yield answer
            if "result" in answer:
                return
    except (ConnectionError, ValueError) as error:
        raise ControlError(f"the host stopped before it had answered: {error}") from error
    raise ControlError("the host stopped before it had answered")
