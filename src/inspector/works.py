"""The ledger, the couriers, the model and the line of one work directory: built where missing, stopped in order."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspector.assembly import assemble
from inspector.core.message import Alarm, ModelInfo
from inspector.core.settings import Settings
from inspector.core.verdict import VerdictName
from inspector.examiner import Judged
from inspector.housekeeping import Housekeeping
from inspector.line import Line
from inspector.office import Office
from inspector.ports import Blocked
from inspector.shell.detector import Detector, load
from inspector.shell.greengrass import Greengrass
from inspector.shell.package import PackageError, Trust

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What there is in a work directory, as the status tells it; None: it is not open."""

    ledger: str | None
    last_seq: int | None
    verdicts: dict[VerdictName, int]
    outbox: int | None
    parked: int | None
    model: ModelInfo | None
    disk_free_bytes: int
    archived_bytes: int | None
    kept: int | None
    kept_bytes: int | None


class Works:
    """``complete`` builds what is missing; ``report`` hears of each inspection, ``failed`` of what ends a thread."""

    def __init__(
        self,
        work: Path,
        thing: str,
        greengrass: Greengrass,
        report: Callable[[Judged], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.work = work
        self.office: Office | None = None
        self.housekeeping: Housekeeping | None = None
        self.detector: Detector | None = None
        self.started_s = 0.0
        """When the line was last started (monotonic)."""
        self._stalled: str | None = None
        """Which stage of the line takes too long."""
        self._thing = thing
        self._greengrass = greengrass
        self._report = report
        self._failed = failed
        self._has_line_failed = self._has_office_failed = False
        self._is_to_republish = True
        """The nucleus may have restarted, and lost what it had accepted; so it may have before this process began."""
        self._model_path: Path | None = None
        self._line: Line | None = None
        self._lock: int | None = None

    @property
    def is_inspecting(self) -> bool:
        """Whether the line runs."""
        return self._line is not None

    @property
    def has_failed(self) -> bool:
        """Whether a thread of what is built now has failed; others may fail in its wake."""
        return self._has_line_failed or self._has_office_failed

    def complete(self, settings: Settings) -> None:
        """Build what is missing, in the order in which one part needs the other. Raises Blocked."""
        self._take_lock()
        if self.housekeeping is None:
            self.housekeeping = Housekeeping(self.work, settings)
        if self.office is None:
            self._open_office(settings)
        self.housekeeping.check()
        if self.detector is None:
            self._model_path = self._find_model(settings)
            self.detector = _load(self._model_path, settings)
        elif self._line is None:
            self.follow_model(settings)
        if self._line is None:
            assert self.office
            self._line = assemble(
                self.work,
                self._thing,
                settings,
                self.detector,
                self.office,
                self.housekeeping,
                self._inspected,
                self._line_failed,
            )
            self._line.start()
            self.started_s = time.monotonic()
            log.info("inspecting", extra={"images": settings.image_directory} | _describe(self.detector))

    def _open_office(self, settings: Settings) -> None:
        self.office = Office(self.work, self._thing, settings, self._greengrass, self._office_failed)
        assert self.housekeeping
        self.housekeeping.ledger = self.office.ledger
        if self._is_to_republish:
            self.reconnected()

    def reconnected(self) -> None:
        """There is a new connection to Greengrass; the ledger may not be open yet."""
        self._is_to_republish = True
        if self.office:
            self.office.reconnected()
            self._is_to_republish = False

    def keep_house(self) -> bool:
        """Let housekeeping take a turn, whether or not the line runs; return whether there is more to do at once."""
        return self.housekeeping is not None and self.housekeeping.turn()

    def check(self) -> None:
        """Raises Blocked where housekeeping finds that the line must not go on, HungError as Line.look does."""
        if self.housekeeping and self._line:
            self.housekeeping.check()
        self._stalled = self._line.look() if self._line else None

    def alarms(self) -> dict[Alarm, str | None]:
        """What a person should look into, with its cause, None where there is nothing."""
        house, has_replaced = self.housekeeping, self.office is not None and self.office.has_replaced_ledger
        excess_bytes = house.ledger_excess_bytes if house else 0
        excess = f"{excess_bytes / 1e6:.1f} MB above LedgerMaxMegabytes wait to be published or settled"
        return {
            "disk_low": house.disk_low() if house else None,
            "ledger_full": excess if excess_bytes else None,
            "ledger_replaced": f"a damaged one lies in {self.work}" if has_replaced else None,
            "stalled": self._stalled,
        }

    def holdings(self) -> Holdings:
        """What there is, now. Raises LedgerBlocked."""
        ledger = self.office.ledger if self.office else None
        archive = self.housekeeping.archive if self.housekeeping else None
        keeper = self.housekeeping.keeper if self.housekeeping else None
        return Holdings(
            ledger=ledger.id if ledger else None,
            last_seq=ledger.last_seq() if ledger else None,
            verdicts=ledger.verdicts() if ledger else {},
            outbox=ledger.count("waiting") if ledger else None,
            parked=ledger.count("parked") if ledger else None,
            model=self.detector.info if self.detector else None,
            disk_free_bytes=shutil.disk_usage(self.work).free,
            archived_bytes=archive.size_bytes if archive else None,
            kept=keeper.count if keeper else None,
            kept_bytes=keeper.size_bytes if keeper else None,
        )

    def follow_model(self, settings: Settings) -> bool:
        """Take the model that a deployment has moved into place; whether there is a new one.

        One that fails is refused, once, and the old one goes on. The line is down afterwards if there is a new one.
        """
        path = self._find_model(settings)
        if path == self._model_path:
            return False
        self._model_path = path
        try:
            detector = _load(path, settings)
        except PackageError as error:
            log.error("new model refused, the old one goes on", extra={"cause": str(error)})
            return False
        self.stop_line()
        self.detector = detector
        log.info("model changed", extra=_describe(detector))
        return True

    def stop_line(self) -> None:
        """Take no more images, finish the one under way. The couriers work on."""
        line, self._line = self._line, None
        if line:
            line.stop()
        self._has_line_failed = False

    def close(self) -> None:
        """Stop the line and the couriers in order; what they were doing is in the ledger."""
        self.close_office()
        self.housekeeping = None

    def close_office(self) -> None:
        """Stop all but housekeeping, which may be what makes room for the ledger."""
        self.stop_line()
        self.detector = None
        if self.housekeeping:
            self.housekeeping.ledger = None
        office, self.office = self.office, None
        if office:
            office.close()
        self._has_office_failed = False

    def _line_failed(self, error: Exception) -> None:
        self._has_line_failed = True
        self._failed(error)

    def _office_failed(self, error: Exception) -> None:
        self._has_office_failed = True
        self._failed(error)

    def _inspected(self, judged: Judged) -> None:
        self._report(judged)
        if self.office:
            self.office.wake()

    def _find_model(self, settings: Settings) -> Path:
        """Where the model directory leads now: ``current`` is a symlink that a deployment moves."""
        return Path(os.path.realpath(self.work / settings.model_directory))

    def _take_lock(self) -> None:
        """A process that outlived its nucleus may still work in this directory; there must be one at a time."""
        if self._lock is not None:
            return
        name = f"work directory {self.work}"
        try:
            lock = os.open(self.work / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise Blocked(
                name, error.strerror, "let the component's user write there, and make room"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise Blocked(name, "another inspector works in it", "stop that one") from error
        except OSError as error:
            os.close(lock)
            raise Blocked(
                name, f"it cannot be locked: {error.strerror}", "put it on a local file system"
            ) from error
        self._lock = lock


def _load(path: Path, settings: Settings) -> Detector:
    trust = Trust(settings.public_key, settings.require_signature)
    return load(path, precision=settings.precision, threads=settings.inference_threads, trust=trust)


def _describe(detector: Detector) -> dict[str, str]:
    info = detector.info
    return {"model": info.name, "model_version": info.version, "precision": info.precision}
