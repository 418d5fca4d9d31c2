"""Faults of a host, made on purpose: what a component has to live through on a real device.

Each ends by itself: after its time, its number of requests, or at once. The same fault injected again replaces the
one before. A request whose answer is withheld is carried out first where ``carried_out`` says so: then the component
can't know what became of it, which is what a cut line does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from edgehost.call import Call, Handler
from edgehost.daemon import Daemon
from edgehost.errors import (
    FailedUpdateConditionCheckError,
    InvalidArgumentsError,
    IpcError,
    ResourceNotFoundError,
    ServiceError,
    UnauthorizedError,
)
from edgehost.services import IoTCore

log = logging.getLogger(__name__)

NO_ANSWER = "NoAnswer"
CONNECTION_CLOSED = "ConnectionClosed"
ERRORS: Mapping[str, type[IpcError]] = {
    error.__name__: error
    for error in (
        FailedUpdateConditionCheckError,
        InvalidArgumentsError,
        ResourceNotFoundError,
        ServiceError,
        UnauthorizedError,
    )
}
ANSWERS = (*ERRORS, NO_ANSWER, CONNECTION_CLOSED)
"""What a request can be answered with in place of its own answer."""


DAEMON_AWAY_S = 1.0
"""A daemon is back after this time: RestartSec of its unit."""
_BROKER_DOWN = "broker-down"


class FaultError(Exception):
    """There is no such fault; the message says which there are."""


@dataclass(slots=True)
class _Answer:
    """So many more requests of an operation are answered like this."""

    answer: str
    count: int
    carried_out: bool


class Ipc(Protocol):
    """The connections of all components."""

    def disconnect_all(self) -> None:
        """Cut every connection."""

    def end_subscriptions(self, operations: Container[str]) -> None:
        """End the subscriptions made by these operations, and say nothing of it to their clients."""


class Host(Protocol):
    """What faults befall."""

    iot_core: IoTCore
    ipc: Ipc

    def void_tokens(self) -> None:
        """No token issued until now is good any more."""


class Faults:
    """The faults of one host. Called in its event loop. ``daemons``: those of its nucleus, by name."""

    def __init__(self, host: Host, daemons: Mapping[str, Daemon]) -> None:
        self._host = host
        self._daemons = daemons
        self._away: dict[str, Daemon] = {}
        self._delay_s = 0.0
        self._answers: dict[str, _Answer] = {}
        self._ends: dict[str, tuple[asyncio.TimerHandle, Callable[[], None]]] = {}

    def broker_down(self, seconds: float) -> None:
        """The broker can't be reached for a while; what is published waits in the spool."""
        self._host.iot_core.cut()
        self._end_after(_BROKER_DOWN, seconds, self._host.iot_core.mend)

    def spool_full(self, seconds: float) -> None:
        """The spool takes no message for a while, as if it were full."""
        if (spool := self._host.iot_core.spool) is None:
            raise FaultError("this nucleus has no spool; offline, it refuses what is published")
        spool.is_jammed = True
        self._end_after("spool-full", seconds, partial(setattr, spool, "is_jammed", False))

    def ipc_slow(self, delay_s: float, seconds: float) -> None:
        """For a while every request waits before it is carried out and answered."""
        self._delay_s = delay_s
        self._end_after("ipc-slow", seconds, self._hurry)

    def ipc_cut(self) -> None:
        """Cut every connection of every component, once; they may connect again at once."""
        self._host.ipc.disconnect_all()

    def daemon_restart(self, name: str) -> None:
        """Restart one of the nucleus's daemons, where it has any: it is away for a second.

        Subscriptions that depend on it die without a word. With the one that holds the connections, these are cut,
        and only who is started again gets a token that is good.
        """
        daemon = self._daemon(name)
        self._away[name] = daemon
        self._host.ipc.end_subscriptions(daemon.subscriptions)
        if daemon.holds_connections:
            self._host.void_tokens()
            self._host.ipc.disconnect_all()
        if daemon.holds_broker:
            self._host.iot_core.cut()
        self._end_after(f"daemon-restart {name}", DAEMON_AWAY_S, partial(self._bring_back, name))

    def _daemon(self, name: str) -> Daemon:
        if not self._daemons:
            raise FaultError(
                "this nucleus is one process, without daemons; restart it as a whole: host-restart"
            )
        if name not in self._daemons:
            raise FaultError(f"there is no daemon {name!r}; there are {', '.join(self._daemons)}")
        return self._daemons[name]

    def _bring_back(self, name: str) -> None:
        if self._away.pop(name).holds_broker and _BROKER_DOWN not in self._ends:
            self._host.iot_core.mend()

    def error(self, answer: str, operation: str, count: int = 1, *, carried_out: bool = False) -> None:
        """Answer the next requests of an operation with an error, not at all, or by closing the connection.

        An error is the answer of a request that was refused; only the others can be carried out all the same.
        """
        if answer not in ANSWERS:
            raise FaultError(f"{answer!r} is no answer; there are {', '.join(ANSWERS)}")
        if carried_out and answer in ERRORS:
            raise FaultError(f"what is answered with {answer} is not carried out")
        self._answers[operation] = _Answer(answer, count, carried_out)

    def clear(self) -> None:
        """End all of them now."""
        self._answers.clear()
        for handle, end in self._ends.values():
            handle.cancel()
            end()
        self._ends.clear()

    def in_force(self) -> list[str]:
        """Those that are not over, in words."""
        now_s = asyncio.get_running_loop().time()
        timed = [f"{name}, {handle.when() - now_s:.1f} s more" for name, (handle, _) in self._ends.items()]
        return timed + [
            f"error {each.answer} to {operation}, {each.count} more"
            for operation, each in self._answers.items()
        ]

    def around(self, handler: Handler) -> Handler:
        """A handler that the faults get in the way of."""

        async def answer(call: Call) -> dict[str, Any]:
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            self._check_there(call.operation)
            planted = self._next(call.operation)
            return await (self._spoil(planted, call, handler) if planted else handler(call))

        return answer

    def _check_there(self, operation: str) -> None:
        """Raise what an operation is answered with, where a daemon that it needs is away."""
        for daemon in self._away.values():
            if operation in daemon.answers:
                error, message = daemon.answers[operation]
                raise error(message)

    def _next(self, operation: str) -> _Answer | None:
        planted = self._answers.get(operation)
        if planted:
            planted.count -= 1
            if planted.count <= 0:
                del self._answers[operation]
        return planted

    async def _spoil(self, planted: _Answer, call: Call, handler: Handler) -> dict[str, Any]:
        log.info("%s of %s: %s, on purpose", call.operation, call.component, planted.answer)
        if error := ERRORS.get(planted.answer):
            raise error(f"{call.operation} fails on purpose")
        if planted.carried_out:
            await handler(call)
        if planted.answer == CONNECTION_CLOSED:
            call.cut()
        over = asyncio.Event()
        call.on_end(over.set)
        await over.wait()
        return {}  # to a stream that has ended, which is no answer

    def _end_after(self, name: str, seconds: float, end: Callable[[], None]) -> None:
        if earlier := self._ends.pop(name, None):
            earlier[0].cancel()

        def over() -> None:
            del self._ends[name]
            end()

        self._ends[name] = asyncio.get_running_loop().call_later(seconds, over), end

    def _hurry(self) -> None:
        self._delay_s = 0.0
