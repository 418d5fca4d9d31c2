"""The running line: one thread takes frames, another concludes them, a few frames apart."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from inspector.examiner import Judged, Taken
from inspector.pipeline import Pipeline
from inspector.ports import Candidate, Entry

READ_AHEAD = 4
"""Frames that wait, decoded, for inference; what else arrives stays on disk."""

Candidates = Callable[[threading.Event], Iterator[Candidate]]


class Line:
    """Works from ``start`` until ``stop``, or until an exception, which is handed to ``failed``.

    ``unsettled`` are entries that an earlier run decided and did not finish; ``report`` hears of each inspection.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        candidates: Candidates,
        unsettled: Iterable[Entry],
        report: Callable[[Judged], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._pipeline = pipeline
        self._candidates = candidates
        self._unsettled = unsettled
        self._report = report
        self._failed = failed
        self._stop = threading.Event()
        self._taken: queue.Queue[Taken | None] = queue.Queue(READ_AHEAD)
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=work.__name__.strip("_"), daemon=True)
            for work in (self._take, self._conclude)
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more frames, conclude those taken, and return when that is done."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # whatever ends a thread must reach the component
            self._stop.set()
            self._failed(error)

    def _take(self) -> None:
        try:
            for entry in self._unsettled:
                self._pipeline.finish(entry)
            for candidate in self._candidates(self._stop):
                taken = self._pipeline.take(candidate, self._stop)
                if taken and not self._hand_over(taken):
                    break
        finally:
            self._hand_over(None)

    def _hand_over(self, taken: Taken | None) -> bool:
        """Put a frame into the queue; give up where the other thread has died and nobody takes it out."""
        while True:
            try:
                self._taken.put(taken, timeout=0.1)
            except queue.Full:
                if not self._threads[1].is_alive():
                    return False
            else:
                return True

    def _conclude(self) -> None:
        while (taken := self._taken.get()) is not None:
            self._report(self._pipeline.conclude(taken))
