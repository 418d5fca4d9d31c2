"""What components and the host tell each other about state and updates: UpdateState, component updates, deferral.

Source: ``LifecycleIPCEventStreamAgent`` of the nucleus, messages included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from edgehost.call import Call, Handler
from edgehost.errors import InvalidArgumentsError, ResourceNotFoundError, ServiceError
from edgehost.lifecycle import Component
from edgehost.state import State


class UpdateService:
    """Reported states go to the components; deployments ask here before they touch anything."""

    def __init__(self, component: Callable[[str], Component | None]) -> None:
        self._component = component
        self._subscribers: set[Call] = set()
        self._answers: dict[str, asyncio.Future[float]] = {}

    def operations(self) -> dict[str, Handler]:
        """Operation name -> handler."""
        return {
            "UpdateState": self.update_state,
            "SubscribeToComponentUpdates": self.subscribe,
            "DeferComponentUpdate": self.defer,
        }

    async def update_state(self, call: Call) -> dict[str, Any]:
        """The caller is RUNNING or ERRORED."""
        state = call.request.get("state")
        if state not in ("RUNNING", "ERRORED"):
            raise InvalidArgumentsError(f"state {state!r} is neither RUNNING nor ERRORED")
        if (component := self._component(call.component)) is None:
            raise ResourceNotFoundError("Service with given name not found")
        component.report(State(state))
        return {}

    async def subscribe(self, call: Call) -> dict[str, Any]:
        """Tell the caller before and after updates."""
        if self._component(call.component) is None:
            raise ResourceNotFoundError("Service with given name not found currently in Greengrass")
        self._subscribers.add(call)
        call.on_end(lambda: self._subscribers.discard(call))
        return {}

    async def defer(self, call: Call) -> dict[str, Any]:
        """Take the caller's answer to a pre-update event: a delay, 0 for "go on"."""
        if not isinstance(call.request.get("deploymentId"), str):
            raise InvalidArgumentsError("deploymentId is required")
        delay_ms = call.request.get("recheckAfterMs") or 0
        if isinstance(delay_ms, bool) or not isinstance(delay_ms, (int, float)) or delay_ms < 0:
            raise InvalidArgumentsError("recheckAfterMs must be a number of milliseconds, 0 or more")
        if not any(subscriber.component == call.component for subscriber in self._subscribers):
            raise InvalidArgumentsError("Component is not subscribed to component update events")
        answer = self._answers.pop(call.component, None)
        if answer is None or answer.done():
            raise ServiceError("Time limit to respond to PreComponentUpdateEvent exceeded")
        answer.set_result(delay_ms / 1000)
        return {}

    async def consent(self, deployment: str, timeout_s: float) -> None:
        """Ask every subscriber until none defers. One that says nothing for ``timeout_s`` consents."""
        while delay_s := await self._ask(deployment, timeout_s):
            await asyncio.sleep(delay_s)

    def announce_done(self, deployment: str) -> None:
        """Tell every subscriber that the update is over."""
        for subscriber in list(self._subscribers):
            subscriber.send("ComponentUpdatePolicyEvents", {"postUpdateEvent": {"deploymentId": deployment}})

    async def _ask(self, deployment: str, timeout_s: float) -> float:
        """The longest delay that a subscriber asked for, 0 if all may be updated now."""
        loop = asyncio.get_running_loop()
        self._answers = {call.component: loop.create_future() for call in self._subscribers}
        answers = list(self._answers.values())
        event = {"deploymentId": deployment, "isGgcRestarting": False}
        for subscriber in list(self._subscribers):
            subscriber.send("ComponentUpdatePolicyEvents", {"preUpdateEvent": event})
        done = (await asyncio.wait(answers, timeout=timeout_s))[0] if answers else set()
        self._answers.clear()
        return max((answer.result() for answer in done), default=0.0)
