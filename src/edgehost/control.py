"""What the host does for the command line while it runs; ``edgehost.running_host`` is the other end.

A command is answered once. A conversation tells events too, for as long as the other end listens: when that goes, the
conversation is over, but not a deployment, which the host carries out to its end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from edgehost.deployment import DeploymentError, Policy
from edgehost.faults import FaultError
from edgehost.local_console import LocalConsole, LocalConsoleError
from edgehost.nucleus import EdgeHost, UnknownComponentError
from edgehost.packages import Layout
from edgehost.running_host import MAX_REQUEST_BYTES, about_file

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.05
_SHOWN_BYTES = 500

Command = Callable[..., Awaitable[Any]]
Conversation = Callable[..., AsyncGenerator[Any, None]]
_REFUSALS = (DeploymentError, FaultError, UnknownComponentError, LocalConsoleError)


class ControlServer:
    """Serves a host's commands for as long as it is entered."""

    def __init__(self, host: EdgeHost) -> None:
        self._host = host
        self._path = host.socket_path.with_name("control.socket")
        console = LocalConsole(host)
        self._commands: dict[str, Command] = {
            "status": self._status,
            "fault": self._fault,
            "component": self._component,
            "configuration": self._configuration,
            "configure": self._configure,
            "broker": self._broker,
            "publish": console.publish,
        }
        self._conversations: dict[str, Conversation] = {
            "deploy": self._deploy,
            "subscribe": console.subscribe,
        }
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> ControlServer:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_REQUEST_BYTES)
        self._path.chmod(0o600)
        about = {"control": str(self._path), "pid": os.getpid()}
        about_file(self._host.root).write_text(json.dumps(about))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
        self._path.unlink(missing_ok=True)
        about_file(self._host.root).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(await reader.readline(), reader, writer)
        # ValueError: a line of more than the limit, by no client of this project's.
        except (ConnectionError, ValueError, asyncio.CancelledError) as error:
            log.info("a command ended early: %r", error)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(line)
            name, arguments = request["command"], request["arguments"]
            if conversation := self._conversations.get(name):
                await self._converse(conversation(**arguments), reader, writer)
                answer: dict[str, Any] = {"result": None}
            else:
                answer = {"result": await self._commands[name](**arguments)}
        except _REFUSALS as error:
            answer = {"error": str(error)}
        except ConnectionError:  # the other end has gone
            raise
        except Exception as error:  # whatever it is, the other end must be told, and others served
            log.exception("a command could not be carried out")
            text = line[:_SHOWN_BYTES].decode(errors="replace").strip()
            answer = {"error": f"the host could not carry out {text}: {error!r}"}
        await _write(writer, answer)

    async def _converse(
        self, events: AsyncGenerator[Any, None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Tell the events until there are no more, or until the other end has gone."""

        async def tell() -> None:
            async with aclosing(events):
                async for event in events:
                    await _write(writer, {"event": event})

        telling, gone = asyncio.ensure_future(tell()), asyncio.ensure_future(reader.read())
        gone.add_done_callback(lambda _: telling.cancel())
        try:
            await telling
        finally:
            gone.cancel()

    async def _status(self) -> dict[str, Any]:
        host = self._host
        return {
            "root": str(host.root),
            "profile": host.profile.name,
            "version": host.profile.version,
            "thing": host.thing_name,
            "socket": str(host.socket_path),
            "broker": host.broker_url,
            "online": host.iot_core.online.is_set(),
            "spooled_messages": len(host.iot_core.spool or ()),
            "logs": str(Layout(host.root).logs()),
            "faults": host.faults.in_force(),
            "deploying": host.is_deploying,
            "last_deployment": host.last_deployment(),
            "components": host.status(),
        }

    async def _deploy(
        self,
        recipes: str | None,
        artifacts: str | None,
        versions: dict[str, str],
        config: dict[str, Any],
        remove: Iterable[str] = (),
        policy: Policy = "rollback",
    ) -> AsyncGenerator[Any, None]:
        """Tell of the components whenever something about them has changed, and last what became of it all."""
        places = [Path(place) if place else None for place in (recipes, artifacts)]
        deployment = asyncio.ensure_future(
            self._host.deploy(places[0], places[1], versions, config, remove=remove, policy=policy)
        )
        told: list[dict[str, Any]] | None = None
        try:
            while not deployment.done():
                if (components := self._host.status()) != told:
                    yield {"components": components}
                    told = components
                await asyncio.wait((deployment,), timeout=_LOOK_AGAIN_S)
        finally:
            deployment.cancel()  # the waiting alone
        yield {"components": self._host.status(), "deployment": self._host.last_deployment()}
        deployment.result()

    async def _component(self, action: str, name: str) -> dict[str, Any]:
        """Start, stop or restart a component; return how it is then."""
        host = self._host
        actions = {
            "start": host.start_component,
            "stop": host.stop_component,
            "restart": host.restart_component,
        }
        await actions[action](name)
        return next(each for each in host.status() if each["name"] == name)

    async def _configuration(self, name: str) -> Any:
        self._host.component(name)
        return self._host.configuration.value(name)

    async def _configure(self, name: str, values: dict[str, Any]) -> Any:
        await self._host.configure(name, values)
        return await self._configuration(name)

    async def _broker(self) -> dict[str, Any]:
        return dataclasses.asdict(self._host.broker_address)

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


async def _write(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()
