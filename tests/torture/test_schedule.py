"""The schedule: a short run meets every fault, each cut has its turn, and faults that stop coming are noticed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from edgehost.profile import PROFILES
from edgehost.running_host import ControlError
from mosquitto_broker import until
from torture import faults, schedule
from torture.cuts import CUTS
from torture.faults import KILLS, OWN, SURROUNDINGS, Scene, component_cut
from torture.schedule import Schedule


@pytest.fixture
def scene() -> Scene:
    """A scene in which nothing is real."""
    nothing: Any = SimpleNamespace(fault=lambda *_, **__: [], cut=lambda *_: True)
    return Scene(nothing, nothing, nothing, nothing, nothing, random.Random(1), 1.0, Event())


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_PAUSE_S", (0, 0.001))
    monkeypatch.setattr(schedule, "_KILL_PAUSE_S", (0, 0.001))


def inject(monkeypatch: pytest.MonkeyPatch, fault: faults.Fault) -> None:
    """Let every fault be this one."""
    for lane in (SURROUNDINGS, *OWN.values(), KILLS):
        for name in lane:
            monkeypatch.setitem(lane, name, fault)  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_fault_comes_before_any_comes_again(
    scene: Scene, hurried: None, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    """What is injected is on record, each with its time and its kills; no nucleus meets what only others have."""
    inject(monkeypatch, lambda _: 1)
    lanes = Schedule(scene, 1, profile)
    lanes.start()
    until(lambda: len(lanes.injected) > 100, "faults come")
    lanes.stop()
    assert lanes.failure is None
    around, wanted = (
        [each.kind for each in lanes.injected if each.kind not in KILLS],
        {*SURROUNDINGS, *OWN[profile]},
    )
    assert set(around[: len(wanted)]) == set(around) == wanted
    assert {each.kind for each in lanes.injected} - wanted == set(KILLS)
    assert all(each.start_s <= each.end_s and each.kills == 1 for each in lanes.injected)


def test_same_seed_same_choices() -> None:
    """And another seed others."""

    def first(seed: int) -> list[str]:
        names: Iterator[str] = schedule._tour(list(SURROUNDINGS), random.Random(seed))
        return list(islice(names, 40))

    assert first(1) == first(1) != first(2)


def test_fault_that_fails_is_noticed(scene: Scene, hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose faults no longer come must not pass for one that was survived."""

    def fail(_: Scene) -> int:
        raise RuntimeError("broken")

    inject(monkeypatch, fail)
    lanes = Schedule(scene, 1, "classic")
    lanes.start()
    until(lambda: lanes.failure is not None, "the failure is noticed")
    lanes.stop()
    assert str(lanes.failure) == "broken"
    assert lanes.injected == []


def test_fault_that_could_not_come_does_not_count(
    scene: Scene, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host was just being replaced: the next one will."""
    tries: list[int] = []

    def refuse(_: Scene) -> int:
        tries.append(1)
        raise ControlError("no host runs")

    inject(monkeypatch, refuse)
    lanes = Schedule(scene, 1, "classic")
    lanes.start()
    until(lambda: len(tries) > 10, "they are tried")
    lanes.stop()
    assert lanes.failure is None
    assert lanes.injected == []


def test_cuts_go_round(scene: Scene) -> None:
    """Each once before any twice."""
    assert sum(component_cut(scene) for _ in CUTS) == len(CUTS)
    assert set(scene.cuts.values()) == {1}


def test_cut_that_did_not_come_is_tried_again_soon(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts only when it came, and holds nobody up."""
    tried: list[str] = []

    def cut(where: str, _: float) -> bool:
        tried.append(where)
        return where != CUTS[0] or len(tried) > 1

    monkeypatch.setattr(scene.control, "cut", cut)
    assert component_cut(scene) == 0
    assert scene.cuts[CUTS[0]] == 0
    while not scene.cuts[CUTS[0]]:
        assert component_cut(scene) == 1
    assert 2 < len(tried) < len(CUTS)
