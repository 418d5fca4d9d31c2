"""Outbox → publish → ack: one courier for each target, so that neither waits for the other.

1. Live results go first; what an outage held up follows, oldest first, at a limited rate.
2. A result leaves the outbox only when its publish succeeded, so a crash between the two publishes it twice:
   consumers deduplicate by ``id``.
3. A failed publish is tried again after a pause that doubles up to a minute; every pause is in the log.
4. What is refused is parked at once, what is denied after some slow retries; parked results wait for a restart or
   a change of configuration.
"""

from __future__ import annotations

import logging
import random
import threading
import time

from inspector.ports import Denied, Ledger, Publish, Refused, Target, Unreachable

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 60.0
_DOUBLINGS = 10
DENIED_PAUSE_S = 10.0
DENIED_TRIES = 6
IDLE_S = 5.0
"""How long an idle courier sleeps before it looks into the outbox unasked."""


class Courier:
    """Publishes what waits for one target. ``run`` in a thread of its own."""

    def __init__(
        self, target: Target, topic: str, publish: Publish, ledger: Ledger, backlog_per_second: float
    ) -> None:
        self._target = target
        self._topic = topic
        self._publish = publish
        self._ledger = ledger
        self._backlog_pause_s = 1 / backlog_per_second
        self._wake = threading.Event()
        self._live_after = ledger.last_seq()
        self._next_backlog_s = 0.0
        self._retry_s = 0.0
        self._failures = 0
        self._denials = 0

    def wake(self) -> None:
        """There is something new in the outbox. A pause after a failure goes on all the same."""
        self._wake.set()

    def retry(self) -> None:
        """The connection is back, or a policy may have been mended: try at once."""
        self._retry_s = 0.0
        self._denials = 0
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Publish until ``stop`` is set; call ``wake`` after setting it."""
        while not stop.is_set():
            self._wake.clear()
            pause_s = self._work()
            if pause_s > 0 and not stop.is_set():
                self._wake.wait(pause_s)

    def _work(self) -> float:
        """Publish the next message, if any and if it is time; return how long to wait, in seconds."""
        now_s = time.monotonic()
        if now_s < self._retry_s:
            return self._retry_s - now_s
        messages = self._ledger.waiting(self._target, after=self._live_after)
        if not messages:
            if now_s < self._next_backlog_s:
                return self._next_backlog_s - now_s
            messages = self._ledger.waiting(self._target, after=0, upto=self._live_after)
            self._next_backlog_s = now_s + self._backlog_pause_s if messages else 0.0
        if not messages:
            return IDLE_S
        self._send(*messages[0])
        return 0.0

    def _send(self, seq: int, payload: bytes) -> None:
        try:
            self._publish(self._topic, payload)
        except Unreachable as error:
            self._failed(seq, error)
        except Denied as error:
            self._denied(seq, error)
        except Refused as error:
            self._park(seq, error)
        else:
            self._succeeded(seq)

    def _succeeded(self, seq: int) -> None:
        self._ledger.mark_published([seq], self._target)
        self._live_after = max(self._live_after, seq)  # what is published and waits again is not live
        if self._failures:
            log.info(
                "publishing again", extra={"target": self._target, "seq": seq, "failures": self._failures}
            )
        self._failures = self._denials = 0

    def _failed(self, seq: int, error: Unreachable) -> None:
        """What waits now becomes the backlog; pause for twice as long as last time, with jitter."""
        self._live_after = self._ledger.last_seq()
        pause_s = FIRST_PAUSE_S * 2.0 ** min(self._failures, _DOUBLINGS)
        pause_s = min(pause_s, LAST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311
        self._failures += 1
        self._pause("publish failed", seq, error, pause_s)

    def _denied(self, seq: int, error: Denied) -> None:
        """Authorization may be restarting: be slow to park the first, quick with the rest."""
        self._denials += 1
        if self._denials >= DENIED_TRIES:
            self._park(seq, error)
        else:
            self._pause("publish denied", seq, error, DENIED_PAUSE_S)

    def _pause(self, event: str, seq: int, error: Exception, pause_s: float) -> None:
        self._retry_s = time.monotonic() + pause_s
        extra = {"target": self._target, "seq": seq, "cause": str(error), "retry_s": round(pause_s, 1)}
        log.warning(event, extra=extra)

    def _park(self, seq: int, error: Exception) -> None:
        self._ledger.park(seq, self._target, str(error))
        log.error("result parked", extra={"target": self._target, "seq": seq, "cause": str(error)})
