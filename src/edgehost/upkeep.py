"""How a nucleus keeps components up: the values in which the two differ, and when errors are too many.

Sources: ``Lifecycle.internalReportState`` of the nucleus; the systemd units that modules/recipe2unit of Greengrass
Lite writes: Restart=on-failure, RestartSec=1, StartLimitBurst=3, StartLimitInterval=3600, TimeoutSec=120.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgehost.state import State

MAX_ERRORS = 3
_MEMORY_S = 3600


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How a nucleus keeps components up and stops them, where the two differ. Seconds."""

    retry_delay_s: float = 0.0
    """How long after a failure a component is started again."""
    stop_grace_s: float = 5.0
    """How long after SIGTERM SIGKILL follows."""
    counts_starts: bool = False
    """Whether starts count, within an hour of the first, or errors in one state, each within an hour of the last."""
    limits_run: bool = True
    """Whether Timeout ends ``run``, or tells how long it may take to stop."""
    installs_again: bool = True
    """Whether ``install`` runs again when the nucleus restarts."""
    notifies_startup: bool = False
    """Whether ``startup`` must reach its last line, and ends the component there, or stays up with what it left."""
    heeds_errored: bool = True
    """Whether a component that reports ERRORED is restarted."""


class Errors:
    """The errors of one component that are not forgotten yet."""

    def __init__(self, upkeep: Upkeep, most: int) -> None:
        self.most = most
        self._counts_starts = upkeep.counts_starts
        self._times: dict[State, list[float]] = {}
        self._began = 0.0

    def clear(self) -> None:
        """Forget all, as when it is started by hand."""
        self._times.clear()

    def begin(self) -> None:
        """A step begins."""
        self._began = time.monotonic()

    def forget(self, state: State) -> None:
        """A state was left without an error, which on classic makes up for those before."""
        if not self._counts_starts:
            self._times.pop(state, None)

    def add(self, state: State) -> bool:
        """One more error in a state; whether that makes too many."""
        now = time.monotonic()
        if self._counts_starts:
            # systemd counts by unit, of which install has its own, and each start from the first of the hour on.
            times = self._times.setdefault(State.NEW if state == State.NEW else State.RUNNING, [])
            times.append(self._began)
            if now - times[0] >= _MEMORY_S:
                times.clear()
        else:
            times = self._times.setdefault(state, [])
            if times and now - times[-1] >= _MEMORY_S:
                times.clear()
            times.append(now)
        return len(times) >= self.most
