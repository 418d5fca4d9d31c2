"""The ledger and the couriers that publish from it: they work on while the line is down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from inspector.core.command import Resend
from inspector.core.message import topic
from inspector.core.settings import Settings
from inspector.courier import Courier
from inspector.ports import LedgerBlocked, Target
from inspector.shell.greengrass import Greengrass
from inspector.shell.outbox import RECENT_S
from inspector.shell.replacement import close_ledger, damaged_ledgers, open_ledger

log = logging.getLogger(__name__)


class Office:
    """Opens the ledger ``ledger.sqlite`` in the work directory and publishes what waits in it.

    Raises Blocked where the ledger cannot be opened; a damaged one is replaced. An exception in a courier is handed
    to ``failed``.
    """

    def __init__(
        self,
        work: Path,
        thing: str,
        settings: Settings,
        greengrass: Greengrass,
        failed: Callable[[Exception], None],
    ) -> None:
        self._failed = failed
        self._stop = threading.Event()
        self.ledger = open_ledger(work / "ledger.sqlite")
        self.targets = _targets(settings)
        publishers = {"topic": greengrass.publish_to_topic, "iot_core": greengrass.publish_to_iot_core}
        results, rate = topic(settings.topic_prefix, thing, "results"), settings.backlog_per_second
        try:
            self._couriers = [
                Courier(target, results, publishers[target], self.ledger, rate) for target in self.targets
            ]
            self._unpark()
        except LedgerBlocked:
            close_ledger(self.ledger)
            raise
        self._threads = [
            threading.Thread(target=self._guard, args=(courier,), name="courier", daemon=True)
            for courier in self._couriers
        ]
        for thread in self._threads:
            thread.start()

    def _guard(self, courier: Courier) -> None:
        try:
            courier.run(self._stop)
        except Exception as error:  # noqa: BLE001  # whatever ends a thread must reach the component
            self._failed(error)

    @property
    def has_replaced_ledger(self) -> bool:
        """Whether a damaged ledger was set aside; until somebody moves it away."""
        return bool(damaged_ledgers(self.ledger.path))

    def wake(self) -> None:
        """There is something to publish."""
        for courier in self._couriers:
            courier.wake()

    def retry_parked(self) -> None:
        """Something changed that may let parked results through, such as a policy."""
        self._unpark()
        for courier in self._couriers:
            courier.retry()

    def _unpark(self) -> None:
        if unparked := self.ledger.unpark():
            log.info("parked results are tried again", extra={"results": unparked})

    def reconnected(self) -> None:
        """Publish again what may have been lost with the connection, and all that waits."""
        if republished := self.ledger.republish(RECENT_S):
            log.info("publishing the last minute again", extra={"results": republished})
        for courier in self._couriers:
            courier.reconnected()

    def resend(self, request: Resend) -> int:
        """Publish a range of results to IoT Core again; return how many of them the ledger has.

        Raises ValueError where the request is for another ledger.
        """
        if request.ledger != self.ledger.id:
            raise ValueError(f"ledger {request.ledger} is not here; this one is {self.ledger.id}")
        results = self.ledger.resend(request.first, request.last, "iot_core")
        self.wake()
        return results

    def close(self) -> None:
        """Stop the couriers and close the ledger."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join()
        close_ledger(self.ledger)


def _targets(settings: Settings) -> tuple[Target, ...]:
    wanted: dict[Target, bool] = {
        "topic": settings.publish_to_topic,
        "iot_core": settings.publish_to_iot_core,
    }
    return tuple(target for target, is_wanted in wanted.items() if is_wanted)
