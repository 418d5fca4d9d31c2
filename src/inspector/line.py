"""The running line: one thread takes frames, one judges them, one records what was judged, a few frames apart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from inspector.belt import Belt
from inspector.core.frame import Frame
from inspector.examiner import Judged, Taken
from inspector.pipeline import Pipeline
from inspector.ports import Candidate, Claimed, Entry

READ_AHEAD = 4
"""Frames that wait, decoded, for inference; what else arrives stays on disk."""
READ_AHEAD_BYTES = 200_000_000
"""Of their pixels and files: of large images fewer wait, so that memory stays flat."""
GROUP = 16
"""So many inspections at most are decided in one transaction: while one is flushed to the disk, others gather."""
_LOOK_S = 0.25

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
        limit_s: float,
        report: Callable[[Judged], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._pipeline = pipeline
        self._candidates = candidates
        self._unsettled = unsettled
        self._limit_s = limit_s
        self._report = report
        self._failed = failed
        self._stop = threading.Event()
        self._taken: Belt[Taken] = Belt(READ_AHEAD, READ_AHEAD_BYTES, _taken_bytes)
        self._judged: Belt[Judged] = Belt(GROUP, READ_AHEAD_BYTES, _judged_bytes)
        self._threads = [self._thread(work) for work in (self._take, self._judge, self._record)]

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=self._guard, args=(work,), name=work.__name__.strip("_"), daemon=True)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more frames, finish what is being judged and recorded, and return when that is done.

        Frames that wait stay claimed, where the next run finds them. Raises HungError as ``look`` does.
        """
        self._stop.set()
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_LOOK_S)
                self.look()

    def look(self) -> str | None:
        """What a file system holds the line up at for longer than a frame may take, if anything.

        Raises HungError where a frame itself takes longer: no thread can be ended from outside, only the process.
        """
        return self._pipeline.look(self._limit_s)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # whatever ends a thread must reach the component
            self._stop.set()
            self._taken.close()
            self._judged.close()
            self._failed(error)

    def _take(self) -> None:
        for entry in self._unsettled:
            if self._stop.is_set():
                break
            self._pipeline.resume(entry, self._stop)
        for candidate in self._candidates(self._stop):
            if self._stop.is_set():
                break
            if taken := self._pipeline.take(candidate, self._stop):
                self._hand_over(taken)
        self._taken.close()

    def _hand_over(self, taken: Taken) -> None:
        self._taken.put(taken)
        if taken.is_suspect:
            self._taken.wait_until_finished()
            self._judged.wait_until_finished()

    def _judge(self) -> None:
        while frames := self._taken.take(1):
            for taken in frames:
                if not self._stop.is_set():
                    self._judged.put(self._pipeline.judge(taken))
            self._taken.finished(len(frames))
        self._judged.close()

    def _record(self) -> None:
        while group := self._judged.take(GROUP):
            self._pipeline.record(group)
            for judged in group:
                self._report(judged)
            self._judged.finished(len(group))


def _taken_bytes(taken: Taken) -> int:
    pixels_bytes = taken.frame.pixels.nbytes if isinstance(taken.frame, Frame) else 0
    return pixels_bytes + _file_bytes(taken.claimed)


def _judged_bytes(judged: Judged) -> int:
    return _file_bytes(judged.taken.claimed)


def _file_bytes(claimed: Claimed) -> int:
    return len(claimed.data or b"")
