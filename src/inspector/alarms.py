"""What a person should look into, though the component works on: said once when it begins, once when it ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from inspector.core.message import Alarm

log = logging.getLogger(__name__)

_FIX: Mapping[Alarm, str] = {
    "no_images": "see whether the camera delivers, and into ImageDirectory; NoImageSeconds 0 turns this off",
    "disk_low": "make room there, or lower ArchiveMaxMegabytes or DiskLowMegabytes; meanwhile images are removed",
    "ledger_full": "see in the log why results are not published, or raise LedgerMaxMegabytes",
    "ledger_replaced": "keep ledger.sqlite.damaged-*, and move it elsewhere; a new ledger was begun",
    "configuration": "deploy a valid configuration; until then the last valid one is in force",
    "model_refused": "deploy a model that this device accepts; until then the one before goes on",
    "stalled": "see what the component waits for, a disk or a network mount; restart it if it stays so",
}


class Alarms:
    """Those in force, each with its cause."""

    def __init__(self) -> None:
        self.in_force: tuple[Alarm, ...] = ()

    def update(self, causes: Mapping[Alarm, str | None]) -> bool:
        """Take note of what is the matter now, None being nothing; whether the alarms in force are others."""
        before = self.in_force
        self.in_force = tuple(alarm for alarm in _FIX if causes.get(alarm))
        for alarm in self.in_force:
            if alarm not in before:
                log.warning(f"alarm {alarm}", extra={"cause": causes[alarm], "fix": _FIX[alarm]})
        for alarm in before:
            if alarm not in self.in_force:
                log.info(f"alarm {alarm} is over")
        return self.in_force != before
