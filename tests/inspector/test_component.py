"""The component where several things happen at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from inspector.component import Component, WorkFailed
from inspector.core.settings import Settings
from inspector.office import Office
from inspector.ports import Blocked, LedgerBlocked
from inspector.shell import last_valid
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


class Nucleus:
    """Plays Greengrass for one component; ``configuration`` is what a deployment has left there."""

    def __init__(self, component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
        self.configuration: dict[str, Any] = {}
        self.statuses: list[Any] = []
        greengrass = component._greengrass
        for name in ("connect", "report_running"):
            monkeypatch.setattr(greengrass, name, lambda: None)
        monkeypatch.setattr(greengrass, "listen", lambda topic, renew=False: None)
        monkeypatch.setattr(greengrass, "configuration", lambda: dict(self.configuration))
        monkeypatch.setattr(component, "_publish", lambda kind, message: self.statuses.append(message))


VALID = {"ModelDirectory": "nowhere", "MaxDetections": 5, "DiskLowMegabytes": 0, "DiskFullMegabytes": 0}
INVALID = VALID | {"MaxDetections": "many", "SourceMode": "sometimes"}


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Component, Nucleus]]]:
    """Starts a component in the same work directory, as after a restart, with a configuration."""
    level, started = logging.getLogger().level, []

    def begin(configuration: dict[str, Any]) -> tuple[Component, Nucleus]:
        for component in started:
            component._works.close()
        component = Component(tmp_path, "line-3")
        started.append(component)
        nucleus = Nucleus(component, monkeypatch)
        nucleus.configuration = configuration
        component._connect()
        return component, nucleus

    yield begin
    for component in started:
        component._works.close()
    logging.getLogger().setLevel(level)  # which the configuration sets


def test_a_restart_over_an_invalid_configuration_works_with_the_last_valid_one(
    start: Callable[..., tuple[Component, Nucleus]], caplog: pytest.LogCaptureFixture
) -> None:
    """Greengrass Lite restarts over any change and asks nothing before: what was in force stays in force, and that is
    said in the log, in an alarm, and in every status; a valid configuration ends it."""
    start(VALID)
    component, nucleus = start(INVALID)
    assert component._settings and component._settings.max_detections == 5
    refused = next(each for each in caplog.records if each.message == "configuration refused")
    assert refused.levelname == "ERROR"
    assert "MaxDetections='many'" in refused.errors and "SourceMode='sometimes'" in refused.errors  # type: ignore[attr-defined]
    assert "the last valid one is in force" in refused.meaning  # type: ignore[attr-defined]
    component._keep_house()
    (status,) = nucleus.statuses
    assert (status.event, status.alarms, len(status.settings_errors)) == ("alarm", ("configuration",), 2)
    component._read_configuration()
    component._keep_house()
    assert len(nucleus.statuses) == 1
    nucleus.configuration = VALID | {"MaxDetections": 6}
    component._read_configuration()
    component._keep_house()
    assert component._settings.max_detections == 6
    assert (nucleus.statuses[-1].alarms, nucleus.statuses[-1].settings_errors) == ((), ())
    component, _ = start(INVALID)
    assert component._settings and component._settings.max_detections == 6


def test_an_invalid_configuration_that_comes_while_it_works_is_an_alarm_too(
    start: Callable[..., tuple[Component, Nucleus]],
) -> None:
    """What is in force is told in the same way, with or without a restart."""
    component, nucleus = start(VALID)
    nucleus.configuration = INVALID
    component._read_configuration()
    component._keep_house()
    assert component._settings and component._settings.max_detections == 5
    assert nucleus.statuses[-1].alarms == ("configuration",)


@pytest.mark.parametrize("kept", [None, b"\x00\x00"], ids=["none", "damaged"])
def test_without_a_last_valid_configuration_an_invalid_one_blocks(
    start: Callable[..., tuple[Component, Nucleus]], tmp_path: Path, kept: bytes | None
) -> None:
    """Nothing is made up: blocked, with every error; no alarm, for nothing works on."""
    if kept is not None:
        (tmp_path / last_valid.NAME).write_bytes(kept)
    component, nucleus = start(INVALID)
    with pytest.raises(Blocked, match=r"configuration: MaxDetections='many'.*SourceMode='sometimes'.*deploy"):
        component._complete()
    component._keep_house()
    assert nucleus.statuses == []
