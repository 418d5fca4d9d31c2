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
_LOOK_S = 0.1
"""How often one thread sees to it that the other is alive."""

Candidates = Callable[[threading.Event], Iterator[Candidate]]


class Line:
    """Works from ``start`` until ``stop``, or until an exception, which is handed to ``failed``.

    ``unsettled`` are entries that an earlier run decided and did not finish; ``report`` hears of each inspection.
    A frame over which an earlier run may have died is inspected alone, so that no other is blamed for it.
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
        self._taker = self._thread(self._take)
        self._concluder = self._thread(self._conclude)

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=self._guard, args=(work,), name=work.__name__.strip("_"), daemon=True)

    def start(self) -> None:
        """Start both threads."""
        self._concluder.start()
        self._taker.start()

    def stop(self) -> None:
        """Take no more frames, conclude the one under way, and return when that is done.

        Those that wait stay claimed, where the next run finds them.
        """
        self._stop.set()
        self._taker.join()
        self._concluder.join()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # whatever ends a thread must reach the component
            self._stop.set()
            self._failed(error)

    def _take(self) -> None:
        try:
            for entry in self._unsettled:
                if self._stop.is_set():
                    return
                self._pipeline.finish(entry)
            for candidate in self._candidates(self._stop):
                if self._stop.is_set():
                    break
                if taken := self._pipeline.take(candidate, self._stop):
                    self._hand_over(taken)
        finally:
            self._hand_over(None)

    def _hand_over(self, taken: Taken | None) -> None:
        """Put a frame into the queue; give up where the other thread has died and nobody takes it out."""
        while self._concluder.is_alive():
            try:
                self._taken.put(taken, timeout=_LOOK_S)
                break
            except queue.Full:
                continue
        if taken and taken.is_suspect:
            self._await_conclusion()

    def _await_conclusion(self) -> None:
        with self._taken.all_tasks_done:
            while self._taken.unfinished_tasks and self._concluder.is_alive():
                self._taken.all_tasks_done.wait(_LOOK_S)

    def _conclude(self) -> None:
        while (taken := self._taken.get()) is not None:
            if not self._stop.is_set():
                self._report(self._pipeline.conclude(taken))
            self._taken.task_done()
