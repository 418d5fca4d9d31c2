"""How the command line talks to the host that runs: JSON lines over a Unix socket, found by a file under the root.

A request is one line, ``{"command": "deploy", "arguments": {…}}``; the answer is one line, ``{"result": …}`` or
``{"error": "…"}``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from edgehost.deployment import DeploymentError
from edgehost.faults import FaultError
from edgehost.nucleus import EdgeHost, UnknownComponentError

log = logging.getLogger(__name__)

_MAX_LINE_BYTES = 4 * 1024 * 1024
Command = Callable[..., Awaitable[Any]]


class ControlError(Exception):
    """The running host can't be reached, or it refused."""


class ControlServer:
    """Serves a host's commands for as long as it is entered."""

    def __init__(self, host: EdgeHost) -> None:
        self._host = host
        self._path = host.socket_path.with_name("control.socket")
        self._commands: dict[str, Command] = {
            "status": self._status,
            "deploy": self._deploy,
            "fault": self._fault,
        }
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ControlServer:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_MAX_LINE_BYTES)
        self._path.chmod(0o600)
        about = {"control": str(self._path), "pid": os.getpid()}
        _about_file(self._host.root).write_text(json.dumps(about))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
        self._path.unlink(missing_ok=True)
        _about_file(self._host.root).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError) as error:
            log.info("a command ended early: %r", error)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = self._commands[request["command"]]
            return {"result": await command(**request["arguments"])}
        except (DeploymentError, FaultError, UnknownComponentError) as error:
            return {"error": str(error)}
        except (ValueError, KeyError, TypeError) as error:
            log.exception("a command could not be carried out")
            return {
                "error": f"the host could not carry out {line.decode(errors='replace').strip()}: {error!r}"
            }

    async def _status(self) -> dict[str, Any]:
        host = self._host
        return {
            "root": str(host.root),
            "profile": host.profile.name,
            "thing": host.thing_name,
            "socket": str(host.socket_path),
            "broker": host.broker_url,
            "online": host.iot_core.online.is_set(),
            "spooled_messages": len(host.iot_core.spool or ()),
            "faults": host.faults.in_force(),
            "components": host.status(),
        }

    async def _deploy(
        self, recipes: str, artifacts: str | None, versions: dict[str, str], config: dict[str, Any]
    ) -> list[dict[str, Any]]:
        await self._host.deploy(Path(recipes), Path(artifacts) if artifacts else None, versions, config)
        return self._host.status()

    async def _fault(self, fault: str, given: dict[str, Any]) -> list[str]:
        """Inject a fault by the name it has on the command line; return those in force."""
        faults = self._host.faults
        known: dict[str, Callable[..., object]] = {
            "broker-down": faults.broker_down,
            "daemon-restart": faults.daemon_restart,
            "ipc-cut": faults.ipc_cut,
            "ipc-slow": faults.ipc_slow,
            "error": faults.error,
            "spool-full": faults.spool_full,
            "clear": faults.clear,
            "list": faults.in_force,
        }
        if fault == "host-restart":
            await self._host.restart()
        elif fault in known:
            known[fault](**given)
        else:
            raise FaultError(f"there is no fault {fault!r}; there are {', '.join(known)}, host-restart")
        return faults.in_force()


def send(root: Path, command: str, **arguments: Any) -> Any:
    """Have the host under ``root`` carry out a command. Raises ControlError."""
    try:
        about = json.loads(_about_file(root).read_text())
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(about["control"])
            connection.sendall(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except (OSError, ValueError, KeyError) as error:
        raise ControlError(f"no host runs under {root}; start one: edgehost run --root {root}") from error
    answer = json.loads(line) if line else {"error": "the host stopped before it answered"}
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer["result"]


def _about_file(root: Path) -> Path:
    return Path(root).absolute() / "edgehost.json"
