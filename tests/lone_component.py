"""The real component as a process of its own beside a simulated nucleus, without a deployment around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge import INSPECTOR, QUICK
from edgehost.configuration import now_ms
from edgehost.thread import ThreadedHost

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
STOP_S = 30


class LoneComponent:
    """A component that works in ``work``; its output is in ``log``."""

    def __init__(self, process: subprocess.Popen[bytes], work: Path, output: Path) -> None:
        self.process = process
        self.work = work
        self._output = output

    @property
    def log(self) -> str:
        return self._output.read_text()

    def stop(self) -> int:
        """As Greengrass does: SIGTERM to the whole process group. The exit status."""
        os.killpg(self.process.pid, signal.SIGTERM)
        return self.process.wait(STOP_S)


def environment(threaded: ThreadedHost, token: str) -> dict[str, str]:
    """What Greengrass gives, and where the sources are."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    return kept | {
        "SVCUID": token,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(threaded.host.socket_path),
        "AWS_IOT_THING_NAME": threaded.host.thing_name,
        "PYTHONPATH": str(ROOT / "src"),
    }


@contextmanager
def running(
    threaded: ThreadedHost,
    work: Path,
    *,
    prefix: Sequence[str] = (),
    variables: dict[str, str] | None = None,
    **configuration: Any,
) -> Iterator[LoneComponent]:
    """A component that runs from here to the end of the block, its umask as loose as can be."""
    work.mkdir(exist_ok=True)
    defaults = QUICK | {"ModelDirectory": str(MODELS)} | configuration
    threaded.host.configuration.merge(INSPECTOR, (), defaults, now_ms())
    given = environment(threaded, threaded.host.tokens.issue(INSPECTOR)) | (variables or {})
    command = [*prefix, sys.executable, "-B", "-m", "inspector", "run"]
    output = work.with_name(f"{work.name}.log")
    with output.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=work, env=given, stdout=log, stderr=log, start_new_session=True, umask=0
        )
    component = LoneComponent(process, work, output)
    try:
        yield component
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_S)
        print(component.log)
