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
from inspector.examiner import Examiner, Judge, Judged
from inspector.housekeeping import Housekeeping
from inspector.line import Line
from inspector.models import Models, describe
from inspector.office import Office
from inspector.pipeline import HungError
from inspector.ports import Blocked
from inspector.shell.detector import Detector
from inspector.shell.greengrass import Greengrass
from inspector.succession import Succession

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
    model_refused: str | None
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
        self.models: Models | None = None
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
        self._examiner: Examiner | None = None
        self._line: Line | None = None
        self._lock: int | None = None

    @property
    def is_inspecting(self) -> bool:
        """Whether the line runs."""
        return self._line is not None

    @property
    def waits_for(self) -> str | None:
        """What will be there in a moment, where nothing needs to be mended."""
        is_preparing = self.models is not None and self.models.is_preparing and not self.models.is_ready
        return "the model is being tried and loaded" if is_preparing else None

    @property
    def has_failed(self) -> bool:
        """Whether a thread of what is built now has failed; others may fail in its wake."""
        return self._has_line_failed or self._has_office_failed

    def complete(self, settings: Settings) -> None:
        """Build what is missing, in the order in which one part needs the other; the line, once there is a model.

        Raises Blocked, also where there will be no model before something is mended.
        """
        self._take_lock()
        if self.models is None:
            self.models = Models(self.work)
        self.models.follow(settings)
        if self.housekeeping is None:
            self.housekeeping = Housekeeping(self.work, settings)
        if self.office is None:
            self._open_office(settings)
        self.housekeeping.check()
        if self.models.refusal and not self.models.in_use and not self.models.is_preparing:
            raise self.models.refusal
        if self.models.in_use and self.models.is_ready and self._line is None:
            self._start_line(settings, self.models.in_use, self.models.predecessor)

    def _start_line(self, settings: Settings, model: Detector, predecessor: Detector | None) -> None:
        assert self.office and self.housekeeping
        examiner = Examiner(self._thing, self.office.ledger.id, settings, model)
        if predecessor:
            examiner.exchange(model, predecessor)
        self._line = assemble(
            self.work,
            settings,
            examiner,
            self.office,
            self.housekeeping,
            self._inspected,
            self._line_failed,
        )
        self._examiner = examiner
        self._line.start()
        self.started_s = time.monotonic()
        log.info("inspecting", extra={"images": settings.image_directory} | describe(model))

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
            "model_refused": self._model_refused(),
        }

    def _model_refused(self) -> str | None:
        """Why what is deployed does not judge, where another model does; what blocks the line has its own reason."""
        refusal = self.models.refusal if self.models and self.models.in_use else None
        return str(refusal) if refusal else None

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
            model=self.models.in_use.info if self.models and self.models.in_use else None,
            model_refused=self._model_refused(),
            disk_free_bytes=shutil.disk_usage(self.work).free,
            archived_bytes=archive.size_bytes if archive else None,
            kept=keeper.count if keeper else None,
            kept_bytes=keeper.size_bytes if keeper else None,
        )

    def follow_model(self, settings: Settings) -> bool:
        """Take the model that a deployment has moved into place, between two frames; whether another judges now.

        The line goes on with the one in use until that one is accepted and loaded, or for good. Waits for nothing.
        """
        models = self.models
        if models is None:
            return False
        before = models.in_use
        if self._examiner:
            self._hear(models, self._examiner.succession)
        if models.follow(settings) and models.in_use and self._examiner:
            self._examiner.exchange(models.in_use, models.predecessor)
        return models.in_use is not before

    def _hear(self, models: Models, succession: Succession[Judge]) -> None:
        """What became of the probation."""
        if models.predecessor is None:
            return
        if succession.failure:
            models.give_up(succession.failure)
        elif succession.predecessor is None:
            models.prove()

    def stop_line(self) -> None:
        """Take no more images, finish the one under way. The couriers work on."""
        line, self._line = self._line, None
        if line:
            line.stop()
        if self.models and self._examiner:
            self._hear(self.models, self._examiner.succession)
        self._examiner = None
        self._has_line_failed = False

    def absolve_model(self) -> None:
        """Whatever ends the process from now on, it is not the model's doing."""
        if self.models:
            self.models.absolve()

    def abandon(self, error: Exception) -> None:
        """The process ends over this, and nothing is closed in order."""
        if self.models:
            self.models.cancel()
        if not (isinstance(error, HungError) and error.is_judging):
            self.absolve_model()

    def end(self) -> None:
        """Stop everything in order, for the process ends."""
        self.close()
        if self.models:
            self.models.end()

    def close(self) -> None:
        """Stop the line and the couriers in order; what they were doing is in the ledger. Models stay at hand."""
        self.close_office()
        self.housekeeping = None

    def close_office(self) -> None:
        """Stop all but housekeeping, which may be what makes room for the ledger."""
        self.stop_line()
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
