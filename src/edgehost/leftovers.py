"""Processes that a killed host left behind: a service manager ends them before it starts the nucleus again.

They are known by their environment, which names the host's root; nobody else's has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_POLL_S = 0.02
_PATIENCE_S = 5.0


async def end_leftovers(root: Path) -> None:
    """SIGKILL what an earlier host's components still run under ``root``; only the host that has the root may."""
    if left := list(_processes(root)):
        log.warning("ending processes that a killed host left behind: %s", ", ".join(map(str, left)))
    deadline_s = asyncio.get_running_loop().time() + _PATIENCE_S
    while left:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if asyncio.get_running_loop().time() > deadline_s:
            log.error("processes of a killed host go on: %s; end them", ", ".join(map(str, left)))
            return
        await asyncio.sleep(_POLL_S)
        left = list(_processes(root))  # those too that were forked meanwhile


def _processes(root: Path) -> Iterator[int]:
    mark = f"GG_ROOT_CA_PATH={root / 'rootCA.pem'}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        pid = int(environment.parent.name)
        with contextlib.suppress(OSError):  # gone, or somebody else's
            if pid != os.getpid() and mark in environment.read_bytes().split(b"\0"):
                yield pid
