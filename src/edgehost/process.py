"""One lifecycle script as a process group: its output goes to the component's log, and it can be stopped whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

_POLL_S = 0.02
_DRAIN_S = 1.0
_MAX_LINE_BYTES = 64 * 1024

# (stream name, lines), as they are printed.
WriteLines = Callable[[str, list[str]], None]


class ScriptProcess:
    """``sh -c script`` leading a process group of its own."""

    def __init__(self, process: asyncio.subprocess.Process, outputs: list[_Lines]) -> None:
        self._process = process
        self._outputs = outputs

    @classmethod
    async def start(
        cls, script: str, environment: Mapping[str, str], cwd: Path, write_lines: WriteLines
    ) -> ScriptProcess:
        """Start the script; the lines it or its children print are passed to ``write_lines``."""
        out, err = os.pipe(), os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                "sh",
                "-c",
                script,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out[1],
                stderr=err[1],
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
        finally:
            os.close(out[1])
            os.close(err[1])
        outputs = [
            await _read_lines(out[0], "stdout", write_lines),
            await _read_lines(err[0], "stderr", write_lines),
        ]
        return cls(process, outputs)

    @property
    def pid(self) -> int:
        """Process id of the shell, which is the group's id too."""
        return self._process.pid

    async def wait(self) -> int:
        """The exit code of the script; negative where a signal ended it."""
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """SIGTERM to the whole group, SIGKILL after the grace to what is left of it; returns when nothing is."""
        self._signal(signal.SIGTERM)
        if not await self._gone_within(grace_s):
            self._signal(signal.SIGKILL)
            await self._gone_within(grace_s)
        await self._process.wait()
        await self._drain()

    def kill(self) -> None:
        """SIGKILL to the whole group, as the kernel's out-of-memory killer would."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def _gone_within(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while group_is_alive(self.pid):
            if loop.time() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def _drain(self) -> None:
        """Read what is left; a process that left the group may hold the pipes open for ever, so not for long."""
        ended = [asyncio.ensure_future(output.ended.wait()) for output in self._outputs]
        # Not wait_for, which before Python 3.12 forgets a cancellation that comes as they end.
        try:
            await asyncio.wait(ended, timeout=_DRAIN_S)
        finally:
            for each in ended:
                each.cancel()
            for output in self._outputs:
                output.close()


def group_is_alive(group: int) -> bool:
    """Whether any process of the group still runs. A zombie does not: its parent may never collect it."""
    return any(_is_live_member(stat, group) for stat in Path("/proc").glob("[0-9]*/stat"))


def _is_live_member(stat: Path, group: int) -> bool:
    try:
        # pid (name) state ppid pgrp …; the name may hold spaces and parentheses.
        state, _, process_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return int(process_group) == group and state not in ("Z", "X")


async def _read_lines(descriptor: int, stream: str, write_lines: WriteLines) -> _Lines:
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    _, lines = await asyncio.get_running_loop().connect_read_pipe(lambda: _Lines(stream, write_lines), pipe)
    return lines


class _Lines(asyncio.Protocol):
    """Cuts a pipe's bytes into lines; one that never ends is cut at 64 KiB."""

    def __init__(self, stream: str, write_lines: WriteLines) -> None:
        self.ended = asyncio.Event()
        self._stream = stream
        self._write_lines = write_lines
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        if lines:
            self._write(lines)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._write([self._rest])
        self.ended.set()

    def close(self) -> None:
        """Read no more."""
        if self._transport:
            self._transport.close()

    def _write(self, lines: list[bytes]) -> None:
        self._write_lines(self._stream, [line.rstrip(b"\r").decode(errors="replace") for line in lines])
