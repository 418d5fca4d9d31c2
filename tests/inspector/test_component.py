"""The component where several things happen at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from inspector.component import Component, WorkFailed
from inspector.core.settings import Settings
from inspector.office import Office
from inspector.ports import Blocked, LedgerBlocked
from inspector_fakes import decision, eventually


@pytest.fixture
def component(tmp_path: Path) -> Iterator[Component]:
    """Without a model, so that nothing is inspected, but with a ledger and couriers."""
    level = logging.getLogger().level
    component = Component(tmp_path, "line-3")
    component._settings = Settings(model_directory="nowhere", disk_low_megabytes=0, disk_full_megabytes=0)
    open_office(component)
    yield component
    component._works.close()
    logging.getLogger().setLevel(level)  # which the configuration sets


def open_office(component: Component) -> Office:
    assert component._settings
    with pytest.raises(Blocked, match="model package"):
        component._works.complete(component._settings)
    assert component._works.office
    return component._works.office


def test_a_courier_that_fails_while_the_line_is_stopped_for_something_else(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up stops the line and fails the ledger at once; no courier stays dead for it."""
    office = open_office(component)

    def fail(*_: object, **__: object) -> None:
        raise LedgerBlocked("ledger", "database or disk is full", "make room")

    monkeypatch.setattr(office.ledger, "waiting", fail)
    office.wake()
    eventually(lambda: component._mail.qsize() == 2, "an error of each courier")
    component._block(Blocked("disk", "full", "make room there"))
    mail = component._mail.get()
    assert isinstance(mail, WorkFailed)
    with pytest.raises(LedgerBlocked):
        component._handle(mail)


def test_a_nucleus_that_comes_back_with_another_configuration(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had accepted and may have lost is published again, though the ledger is just being opened anew."""
    office = open_office(component)
    office.ledger.decide([decision(1)], 0.0)
    office.ledger.mark_published([1], "iot_core")
    greengrass = component._greengrass
    configuration = {"ModelDirectory": "elsewhere", "DiskLowMegabytes": 0, "DiskFullMegabytes": 0}
    for name in ("connect", "report_running"):
        monkeypatch.setattr(greengrass, name, lambda: None)
    monkeypatch.setattr(greengrass, "listen", lambda topic: None)
    monkeypatch.setattr(greengrass, "configuration", lambda: configuration)
    monkeypatch.setattr(greengrass, "publish_to_iot_core", lambda *_: never())
    monkeypatch.setattr(greengrass, "publish_to_topic", lambda *_: never())
    component._connect()
    assert open_office(component).ledger.count("waiting") == 1


def never() -> Future[Any]:
    """A publish that is not answered."""
    return Future()


def test_a_ledger_that_fails_while_the_component_says_why_it_is_blocked(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status does without its figures; the process does not end over it."""
    office = open_office(component)
    statuses: list[Any] = []
    monkeypatch.setattr(component, "_publish", lambda kind, message: statuses.append(message))

    def fail(*_: object) -> None:
        raise LedgerBlocked("ledger", "disk I/O error", "make room")

    monkeypatch.setattr(office.ledger, "last_seq", fail)
    component._block(Blocked("disk", "full", "make room there"))
    (status,) = statuses
    assert (status.event, status.reason, status.last_seq) == ("blocked", "disk: full; make room there", None)
