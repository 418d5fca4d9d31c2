"""The states a component passes through, and waiting for one of them."""

from __future__ import annotations

import asyncio
from enum import Enum


class State(str, Enum):
    """Lifecycle states as Greengrass names them."""

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    FINISHED = "FINISHED"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"


SETTLED = frozenset({State.RUNNING, State.FINISHED, State.BROKEN})


class Progress:
    """The state now. Whoever waits for a state hears of it, also when it passes at once."""

    def __init__(self) -> None:
        self.state = State.NEW
        self._waiting: list[tuple[frozenset[State], asyncio.Future[State]]] = []

    def enter(self, state: State) -> None:
        """Change the state."""
        self.state = state
        waiting, self._waiting = self._waiting, []
        for states, reached in waiting:
            if state not in states:
                self._waiting.append((states, reached))
            elif not reached.done():
                reached.set_result(state)

    async def one_of(self, states: frozenset[State]) -> State:
        """Wait for one of the states, which may be the one now."""
        if self.state in states:
            return self.state
        reached: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._waiting.append((states, reached))
        return await reached
