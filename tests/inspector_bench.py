"""The inspector from image directory to outbox, on real directories and a real ledger; only the model is a fake."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inspector.core.settings import Settings
from inspector.examiner import Examiner, Judged
from inspector.housekeeping import Housekeeping
from inspector.line import Line
from inspector.pipeline import Pipeline
from inspector.shell.claims import Claims
from inspector.shell.ledger import SqliteLedger
from inspector.shell.watcher import Watcher
from inspector_fakes import FakeDetector, eventually, rows

_QUICK = {
    "settle_milliseconds": 0,
    "rescan_seconds": 0.05,
    "disk_low_megabytes": 0,  # whatever disk the tests run on
    "disk_full_megabytes": 0,
}


class Bench:
    """A work directory, and runs of the process on it; a run that ``open`` began ends in order, or by ``kill``."""

    def __init__(self, work: Path, **settings: Any) -> None:
        self.work = work
        self.images = work / "images"
        self.images.mkdir(exist_ok=True)
        self.settings = Settings(**(_QUICK | settings))
        self.detector = FakeDetector()
        self.failures: list[Exception] = []
        self.report: Callable[[Judged], None] = lambda judged: None
        self.pipeline_type = Pipeline

    def open(self) -> Pipeline:
        """What a new process puts together."""
        self.housekeeping = Housekeeping(self.work, self.settings)
        self.ledger = SqliteLedger(self.work / "ledger.sqlite")
        self.housekeeping.ledger = self.ledger
        assert self.housekeeping.keeper
        claims, keeper = Claims(self.settings, self.housekeeping.archive), self.housekeeping.keeper
        examiner = Examiner("line-3", self.ledger.id, self.settings, self.detector)
        self.pipeline = self.pipeline_type(examiner, claims, self.ledger, keeper, ("iot_core",))
        self.watch()
        return self.pipeline

    def watch(self) -> Watcher:
        """A watcher that knows nothing yet."""
        self.watcher = Watcher(self.images, self.settings, self.ledger.is_inspected)
        return self.watcher

    def kill(self) -> None:
        """End as a killed process does: what is open is rolled back, and nobody says goodbye."""
        self.ledger._db.close()
        self.watcher._inotify.close()

    def line(self) -> Line:
        """Open, and set the line up."""
        pipeline = self.open()
        unsettled = self.ledger.unsettled()
        limit_s = self.settings.frame_timeout_seconds
        report = lambda each: self.report(each)  # noqa: E731  # a test may change it while the line runs
        return Line(pipeline, self.watcher.candidates, unsettled, limit_s, report, self._fail)

    def run(self, inspections: int) -> None:
        """Run until the ledger holds so many inspections and nothing is left to be done; end in order."""
        line = self.line()
        line.start()
        try:
            eventually(
                lambda: (self.ledger.last_seq() >= inspections and self.is_idle()) or self.failures,
                f"{inspections} inspections (there are {self.ledger.last_seq()})",
            )
        finally:
            line.stop()
            self.ledger.close()
        assert self.failures == []

    def take_by_hand(self) -> None:
        """What the threads of a line do, in this one: so that an effect can be cut off."""
        pipeline = self.open()
        for entry in self.ledger.unsettled():
            pipeline.resume(entry, threading.Event())
        stop = threading.Event()
        for candidate in self.watcher.candidates(stop):
            if taken := pipeline.take(candidate, stop):
                pipeline.record([pipeline.judge(taken)])
            stop.set()

    def is_idle(self) -> bool:
        """Nothing is claimed, nothing unsettled, and but for AfterInspection leave nothing is left."""
        is_left = self.settings.after_inspection == "leave"
        files = [path for path in self._files() if path.is_file() and not path.is_symlink()]
        return not self.ledger.unsettled() and (is_left or not files)

    def claimed(self) -> list[Path]:
        """What lies among the claimed files."""
        return [path for path in self._files() if path.parents[1].name == ".claimed"]

    def _files(self) -> list[Path]:
        """Every file, also while directories come and go, which pathlib's globs do not bear."""
        return [Path(directory, name) for directory, _, names in os.walk(self.images) for name in names]

    def waiting(self) -> list[Path]:
        """Files that are in place and not claimed."""
        return [path for path in self.images.iterdir() if path.is_file()]

    def results(self) -> list[dict[str, Any]]:
        """Every result message, in order of seq."""
        found = rows(self.work / "ledger.sqlite", "SELECT message FROM inspections ORDER BY seq")
        return [json.loads(message) for (message,) in found]  # type: ignore[arg-type]

    def outbox(self) -> int:
        """How many publishes are on record."""
        ((count,),) = rows(self.work / "ledger.sqlite", "SELECT count(*) FROM outbox")
        return int(count)  # type: ignore[call-overload, no-any-return]

    def names(self, directory: str) -> list[str]:
        """What lies in a directory of the work directory."""
        return sorted(path.name for path in (self.work / directory).iterdir())

    def archived(self) -> list[str]:
        """What is archived: ``<seq>-<name>``, without the id between them."""
        return [f"{name[:12]}{name[21:]}" for name in self.names("archive")]

    def _fail(self, error: Exception) -> None:
        self.failures.append(error)
