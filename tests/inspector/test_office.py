"""The ledger and its couriers, where the ledger is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.core.settings import Settings
from inspector.office import Office
from inspector.ports import LedgerDamaged
from inspector.shell.greengrass import Greengrass
from inspector_fakes import decision, eventually, rows


@pytest.fixture
def errors() -> list[Exception]:
    return []


@pytest.fixture
def open_office(tmp_path: Path, errors: list[Exception]) -> Callable[[], Office]:
    """What the component does at each start, and again after it was blocked."""
    return lambda: Office(tmp_path, "line-3", Settings(), Greengrass(lambda _: None), errors.append)


def spoil(path: Path, name: str) -> None:
    """Overwrite the page in which an index or a table begins."""
    ((page,),) = rows(path, f"SELECT rootpage FROM sqlite_master WHERE name = '{name}'")
    with path.open("r+b") as file:
        file.seek((int(page) - 1) * 4096)  # type: ignore[call-overload]
        file.write(b"\xa5" * 4096)


def test_a_good_ledger(open_office: Callable[[], Office]) -> None:
    """It stays, and nothing says otherwise."""
    first = open_office()
    first.close()
    second = open_office()
    assert (second.ledger.id, second.has_replaced_ledger) == (first.ledger.id, False)
    second.close()


def test_damage_at_the_start(open_office: Callable[[], Office], tmp_path: Path) -> None:
    """A new ledger begins, and the fact can be read until the old one is moved away."""
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 500)
    office = open_office()
    assert (office.ledger.last_seq(), office.has_replaced_ledger) == (0, True)
    office.close()
    office = open_office()
    assert office.has_replaced_ledger
    (tmp_path / "ledger.sqlite.damaged-1").rename(tmp_path / "elsewhere")
    assert not office.has_replaced_ledger
    office.close()


def test_damage_while_it_opens(open_office: Callable[[], Office], tmp_path: Path) -> None:
    """What is damaged only where the couriers look blocks once, and the next try has a new ledger."""
    first = open_office()
    first.close()
    spoil(tmp_path / "ledger.sqlite", "parked")
    with pytest.raises(LedgerDamaged):
        open_office()
    second = open_office()
    assert (second.ledger.id == first.ledger.id, second.has_replaced_ledger) == (False, True)
    second.close()


def test_damage_that_a_courier_meets(
    open_office: Callable[[], Office], tmp_path: Path, errors: list[Exception]
) -> None:
    """The error reaches the component; once it has closed the office, the next one has a new ledger."""
    first = open_office()
    first.ledger.decide([decision(1, targets=("topic", "iot_core"))], 0.0)
    first.close()
    spoil(tmp_path / "ledger.sqlite", "waiting")
    second = open_office()
    eventually(lambda: len(errors) == 2, "an error of each courier")
    assert {type(error) for error in errors} == {LedgerDamaged}
    assert not second.has_replaced_ledger
    second.close()
    third = open_office()
    assert (third.ledger.id == first.ledger.id, third.has_replaced_ledger) == (False, True)
    assert third.ledger.count("waiting") == 0
    third.close()
