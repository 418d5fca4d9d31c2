"""Outbox → publish → ack: one courier for each target, so that neither waits for the other.

1. Live results go first; what an outage held up follows, oldest first, at a limited rate, in the gaps or, where there
   are none, after every tenth live one; last what was published before.
2. A result leaves the outbox only when its publish succeeded, so a crash between the two publishes it twice:
   consumers deduplicate by ``id``.
3. As many are under way as the target bears. After a failure it is one at a time, after a pause that doubles up to a
   minute; every pause is in the log.
4. What is refused is parked at once, what is denied after some slow retries, what fails again and again while others
   get through as ``suspects`` says; parked results wait for a restart or a change of configuration.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass

from inspector.ports import TIMEOUT_S, Busy, Denied, Ledger, Publish, Refused, Target, Unreachable
from inspector.suspects import Suspect, Suspects

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 60.0
_DOUBLINGS = 10
DENIED_PAUSE_S = 10.0
DENIED_TRIES = 6
LIVE_IN_A_ROW = 10
"""So many live results go before one of the backlog, where there is no gap between them."""
IDLE_S = 5.0
"""How long an idle courier sleeps before it looks into the outbox unasked."""
BUSY_S = 0.05
"""How soon it tries again where the target had no room: what lingers in its budget is over without a word."""
TURN_S = 0.05
"""How long after the next try is due a result that failed may have its turn: another one goes first."""
LANDING_S = 1.0
"""How long what is under way is waited for when the process stops."""
_PAGE = 16


@dataclass(frozen=True, slots=True)
class _Flight:
    """A publish that is under way."""

    reply: Future[None]
    launched_s: float
    is_suspect: bool

    def outcome(self) -> BaseException | None:
        """What came of it, now; None: it was published."""
        if self.reply.cancel():
            return Unreachable(f"no reply within {TIMEOUT_S:g} s")
        return self.reply.exception()


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
        self._is_reconnected = self._is_to_retry = False
        self._flights: dict[int, _Flight] = {}
        self._suspects = Suspects()
        self._live_after = ledger.last_seq()
        self._live_in_a_row = 0
        self._next_backlog_s = 0.0
        self._retry_s = 0.0
        self._paused_s = -math.inf
        """When the last pause began: what was launched before and fails too is the same failure."""
        self._failures = 0
        self._denials = 0

    def wake(self) -> None:
        """There is something new in the outbox. A pause after a failure goes on all the same."""
        self._wake.set()

    def retry(self) -> None:
        """A policy may have been mended: try at once."""
        self._is_to_retry = True
        self._wake.set()

    def reconnected(self) -> None:
        """There is a new connection: try at once."""
        self._is_reconnected = True
        self.retry()

    def run(self, stop: threading.Event) -> None:
        """Publish until ``stop`` is set; call ``wake`` after setting it."""
        try:
            while not stop.is_set():
                self._wake.clear()
                pause_s = self._work()
                if pause_s > 0 and not stop.is_set():
                    self._wake.wait(pause_s)
            self._land()
        finally:
            for flight in self._flights.values():
                flight.reply.cancel()

    def _work(self) -> float:
        """Conclude what has ended, launch the next if it is time; return how long to wait, in seconds."""
        self._conclude()
        self._heed()
        now_s = time.monotonic()
        is_alone = self._is_probing or any(flight.is_suspect for flight in self._flights.values())
        if now_s >= self._retry_s and not (is_alone and self._flights) and (message := self._choose(now_s)):
            return self._launch(*message, now_s)
        return self._until_next(now_s)

    @property
    def _is_probing(self) -> bool:
        """Whether one goes at a time, for the next outcome tells what the last failure meant."""
        return bool(self._failures or self._denials or self._suspects.has_accused)

    def _heed(self) -> None:
        """Do what other threads asked for."""
        if self._is_reconnected:
            self._is_reconnected = False
            self._park_suspect(self._suspects.reconnected())
        if self._is_to_retry:
            self._is_to_retry = False
            self._suspects.release()
            self._failures = self._denials = 0
            self._retry_s, self._paused_s = 0.0, -math.inf

    def _choose(self, now_s: float) -> tuple[int, bytes] | None:
        """What goes next: a live result, unless the backlog has waited long enough."""
        live = self._ledger.waiting(self._target, after=self._live_after)
        if live and self._live_in_a_row < LIVE_IN_A_ROW:
            return live[0]
        backlog = self._oldest(now_s) if now_s >= self._next_backlog_s else None
        return backlog or (live[0] if live else None)

    def _oldest(self, now_s: float) -> tuple[int, bytes] | None:
        """The oldest of the backlog that is not under way and may be tried; after a failure rather no suspect."""
        suspect = None
        for seq, payload in self._backlog():
            if seq in self._flights or self._suspects.is_resting(seq, now_s):
                continue
            if not self._is_probing or seq not in self._suspects:
                return seq, payload
            suspect = suspect or (seq, payload)
        return suspect

    def _backlog(self) -> Iterator[tuple[int, bytes]]:
        """What was never published, then what is to be published again: it must not hold up what nobody has heard."""
        for was_published in (False, True):
            after = 0
            while page := self._ledger.waiting(
                self._target, after=after, upto=self._live_after, limit=_PAGE, was_published=was_published
            ):
                yield from page
                after = page[-1][0]

    def _launch(self, seq: int, payload: bytes, now_s: float) -> float:
        is_suspect = seq in self._suspects
        if is_suspect and self._flights:  # it goes alone; nothing overtakes it meanwhile, or it never would
            return self._until_next(now_s)
        try:
            reply = self._publish(self._topic, payload)
        except Busy:
            return BUSY_S
        self._flights[seq] = _Flight(reply, now_s, is_suspect)
        reply.add_done_callback(lambda _: self._wake.set())
        if seq > self._live_after:
            self._live_after = seq
            self._live_in_a_row += 1
        else:
            self._next_backlog_s = now_s + self._backlog_pause_s
            self._live_in_a_row = 0
        return 0.0

    def _until_next(self, now_s: float) -> float:
        """How long nothing is to be done, unless woken."""
        times_s = [flight.launched_s + TIMEOUT_S for flight in self._flights.values()]
        if now_s < self._retry_s:
            times_s.append(self._retry_s)
        else:
            times_s += [self._next_backlog_s, *self._suspects.due_s()]
        return min((each - now_s for each in times_s if each > now_s), default=IDLE_S)

    def _conclude(self) -> None:
        """Deal with every publish that has ended, or that has had its time."""
        end_s = time.monotonic() - TIMEOUT_S
        ended = [
            (seq, flight)
            for seq, flight in self._flights.items()
            if flight.reply.done() or flight.launched_s <= end_s
        ]
        if not ended:
            return
        outcomes = [(seq, self._flights.pop(seq), flight.outcome()) for seq, flight in ended]
        if published := [seq for seq, _, error in outcomes if error is None]:
            self._succeeded(published)
        for seq, flight, error in outcomes:
            match error:
                case Unreachable():
                    self._failed(seq, flight, error)
                case Denied():
                    self._denied(seq, flight, error)
                case Refused():
                    self._park(seq, error)
                case BaseException():
                    raise error

    def _succeeded(self, seqs: list[int]) -> None:
        self._ledger.mark_published(seqs, self._target)
        self._park_suspect(self._suspects.published(seqs))
        if self._failures:
            extra = {"target": self._target, "seq": seqs[0], "failures": self._failures}
            log.info("publishing again", extra=extra)
            self._suspects.release()
        self._failures = self._denials = 0

    def _failed(self, seq: int, flight: _Flight, error: Unreachable) -> None:
        """What waits now becomes the backlog; pause for twice as long as last time, with jitter."""
        now_s = time.monotonic()
        self._live_after = self._ledger.last_seq()
        if flight.is_suspect and not self._is_probing:  # what went before it got through: does the next?
            self._suspects.failed_alone(seq, error, now_s)
            self._warn("publish failed alone", seq, error, 0.0)
            return
        if flight.launched_s > self._paused_s:
            pause_s = FIRST_PAUSE_S * 2.0 ** min(self._failures, _DOUBLINGS)
            self._failures += 1
            self._pause("publish failed", seq, error, _jitter(min(pause_s, LAST_PAUSE_S)))
        self._suspects.failed(seq, error, self._retry_s + TURN_S)

    def _denied(self, seq: int, flight: _Flight, error: Denied) -> None:
        """Authorization may be restarting: be slow to park the first, quick with the rest."""
        is_new = flight.launched_s > self._paused_s
        self._denials += is_new
        if self._denials >= DENIED_TRIES:
            self._park(seq, error)
        elif is_new:
            self._pause("publish denied", seq, error, DENIED_PAUSE_S)

    def _pause(self, event: str, seq: int, error: Exception, pause_s: float) -> None:
        self._paused_s = time.monotonic()
        self._retry_s = self._paused_s + pause_s
        self._warn(event, seq, error, pause_s)

    def _warn(self, event: str, seq: int, error: Exception, pause_s: float) -> None:
        extra = {"target": self._target, "seq": seq, "cause": str(error), "retry_s": round(pause_s, 1)}
        log.warning(event, extra=extra)

    def _park_suspect(self, suspect: Suspect | None) -> None:
        if suspect:
            cause = f"it failed {suspect.strikes} times while others got through: {suspect.error}"
            self._park(suspect.seq, Unreachable(cause))

    def _park(self, seq: int, error: Exception) -> None:
        self._suspects.drop(seq)
        self._ledger.park(seq, self._target, str(error))
        log.error("result parked", extra={"target": self._target, "seq": seq, "cause": str(error)})

    def _land(self) -> None:
        """Wait a moment for what is under way; the rest waits for the next run, and may be published twice."""
        wait([flight.reply for flight in self._flights.values()], LANDING_S)
        published = [seq for seq, flight in self._flights.items() if flight.outcome() is None]
        if published:
            self._ledger.mark_published(published, self._target)


def _jitter(pause_s: float) -> float:
    return pause_s * random.uniform(0.5, 1.0)  # noqa: S311
