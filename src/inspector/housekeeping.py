"""What lies on the disk stays within its bounds: the archive, the kept images, the ledger, and room for others.

1. Where room is short things go in this order: archived images, the oldest first; kept images, the least informative
   first. Never a result that is not published, never an image that is not inspected.
2. A kept image goes on record as evicted before its files are removed: what a crash leaves of them is recognised.
3. Each turn is short: some files, some rows. It takes place also while nothing is inspected, and while the ledger
   cannot be opened: on a full disk it is what makes room for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from inspector.core.settings import Settings
from inspector.every import Every
from inspector.ports import Blocked, LedgerBlocked
from inspector.shell.archive import Archive
from inspector.shell.disk import Disk
from inspector.shell.keeper import DirectoryKeeper
from inspector.shell.ledger import SqliteLedger
from inspector.shell.memory import give_back
from inspector.shell.sweep import Sweep

log = logging.getLogger(__name__)

STEP = 100
"""Files that are removed, or looked up, in one turn."""
GIVE_BACK_S = 5.0
"""How often unused memory goes back to the system."""
MB = 1_000_000
DAY_S = 86_400


class Housekeeping:
    """Owns the archive and the keeper of one work directory. ``turn`` it about once a second, in one thread."""

    def __init__(self, work: Path, settings: Settings) -> None:
        self.archive: Archive | None = None
        """None also where nothing is archived."""
        self.keeper: DirectoryKeeper | None = None
        self.ledger: SqliteLedger | None = None
        """Whoever opens it says so, here, and when it is closed."""
        self.ledger_excess_bytes = 0
        """By how much the ledger is too large, though all has gone that may."""
        self._work = work
        self._settings = settings
        is_archiving = settings.after_inspection == "archive" and settings.source_mode == "watch"
        self._archive_directory = work / settings.archive_directory if is_archiving else None
        self._sweep = Sweep(work / settings.image_directory)
        self._disks = {work.stat().st_dev: self._disk(work)}
        self._archive_disk: Disk | None = None
        self._unfinished: list[str] = []
        """Kept images of an earlier run, of which it may have meant to remove some."""
        self._loose: list[str] = []
        """Those that are not whole, which nobody is known to have removed."""
        self._troubles: list[Blocked] = []
        self._give_back_every = Every(GIVE_BACK_S)
        self.turn()

    def turn(self) -> bool:
        """Do a little of what is due; whether there is more. Raises LedgerBlocked."""
        self._troubles = []
        # Kept images before archived ones: they go only where there was no archive left when the disk was looked at.
        chores = (
            self._furnish,
            self._look,
            self._recount,
            self._evict,
            self._shrink_archive,
            self._finish_evictions,
            self._trim,
            self._forget,
            self._give_back,
        )
        is_more = False
        for chore in chores:
            is_more |= self._is_unfinished(chore)
        for reason in self._troubles:
            if isinstance(reason, LedgerBlocked):
                raise reason
        return is_more

    def check(self) -> None:
        """Raises Blocked where nothing may be inspected: a disk is full, or a directory cannot be used."""
        for reason in (*(disk.full for disk in self._disks.values()), *self._troubles):
            if reason:
                raise reason

    def disk_low(self) -> str | None:
        """Which disk has little room, and how little; None: neither."""
        return "; ".join(filter(None, (disk.low() for disk in self._disks.values()))) or None

    def _is_unfinished(self, chore: Callable[[], bool]) -> bool:
        try:
            return chore()
        except Blocked as reason:  # the other chores go on
            self._troubles.append(reason)
            return False

    def _disk(self, directory: Path) -> Disk:
        settings = self._settings
        return Disk(directory, settings.disk_low_megabytes * MB, settings.disk_full_megabytes * MB)

    def _furnish(self) -> bool:
        """Open what could not be opened before."""
        if self.keeper is None:
            self.keeper = DirectoryKeeper(self._work)
            self._unfinished = list(self.keeper.found())
        if self._archive_directory and self.archive is None:
            self.archive = Archive(self._archive_directory)
            device, disk = self._archive_directory.stat().st_dev, self._disk(self._archive_directory)
            self._archive_disk = self._disks.setdefault(device, disk)
        return False

    def _look(self) -> bool:
        for disk in self._disks.values():
            disk.look()
        return False

    def _recount(self) -> bool:
        """Kept images are there to be taken away: those that were do not count against the budget."""
        if self.keeper:
            self.keeper.recount(STEP)
        return False

    def _finish_evictions(self) -> bool:
        """Remove what is on record as evicted, and still there."""
        if not self.ledger or not self.keeper or not self._unfinished:
            return False
        ids, self._unfinished = self._unfinished[:STEP], self._unfinished[STEP:]
        states = self.ledger.image_states(ids)
        loose = set(self.keeper.loose())
        self.keeper.remove(each for each in ids if states.get(each) == "evicted")
        # Those that are due are kept again by the line.
        self._loose += [each for each in ids if each in loose and states.get(each) not in ("due", "evicted")]
        if self._loose and not self._unfinished:
            fix = "none needed: they are left there, and do not count"
            extra = {"images": len(self._loose), "first": self._loose[0], "fix": fix}
            log.warning("kept images without image or sidecar", extra=extra)
        return bool(self._unfinished)

    def _shrink_archive(self) -> bool:
        if not self.archive or not self._archive_disk:
            return False
        over_bytes = self.archive.size_bytes - self._settings.archive_max_megabytes * MB
        return self.archive.shed(max(over_bytes, self._archive_disk.short_bytes), STEP) > 0

    def _evict(self) -> bool:
        """Kept images give way once the archive, if it lies on their disk, has."""
        if not self.ledger or not self.keeper:
            return False
        disk = self._disks[self._work.stat().st_dev]
        is_archive_left = self.archive and self.archive.count and self._archive_disk is disk
        over_bytes = self.keeper.size_bytes - self._settings.keep_max_megabytes * MB
        short_bytes = 0 if is_archive_left else disk.short_bytes
        ids = self.keeper.least(max(over_bytes, short_bytes), STEP)
        if ids:
            self.ledger.mark_evicted(ids)
            self.keeper.remove(ids)
        return bool(ids)

    def _trim(self) -> bool:
        if not self.ledger:
            return False
        before = time.time() - self._settings.retention_days * DAY_S
        max_bytes = self._settings.ledger_max_megabytes * MB
        trimmed = self.ledger.trim(before, max_bytes)
        self.ledger_excess_bytes = 0 if trimmed else max(0, self.ledger.size_bytes() - max_bytes)
        return trimmed > 0

    def _forget(self) -> bool:
        """What is known of files that were left in place, and are gone."""
        if self.ledger:
            self._sweep.step(self.ledger)
        return False

    def _give_back(self) -> bool:
        if self._give_back_every.is_due():
            give_back()
        return False
