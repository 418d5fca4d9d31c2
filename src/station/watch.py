"""Watching: from the inbox through the tally to the view, until there is no reason to go on."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

from station.broker import Arrival, Inbox
from station.event import Event, Row
from station.expectation import Expectation
from station.message import MalformedError, read
from station.tally import Tally
from station.view import View

TICK_S = 0.25


def watch(
    inbox: Inbox,
    tally: Tally,
    view: View,
    expectation: Expectation,
    deadline_s: float,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Show what arrives until the expectation is met, ``time.monotonic()`` is at the deadline or it ended."""
    while not expectation.met and not ended() and (left_s := deadline_s - time.monotonic()) > 0:
        view.progress(tally.verdicts(), expectation)
        try:
            item = inbox.get(timeout=min(TICK_S, left_s))
        except queue.Empty:
            continue
        if not isinstance(item, Arrival):
            view.link(item.text, lost=item.state == "waiting")
            continue
        for event in _take(item, tally):
            view.show(event)
            if isinstance(event, Row):
                expectation.meet(event.result)


def _take(arrival: Arrival, tally: Tally) -> list[Event]:
    try:
        received = read(arrival.topic, arrival.payload)
    except MalformedError as error:
        return [tally.refuse(arrival.topic, str(error))]
    return tally.receive(received)
