"""The model is exchanged under the running line: between two frames, and back again where the new one fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import msgspec
import pytest

from inspector.core.model_status import Outcome
from inspector.core.settings import Settings
from inspector.examiner import Judged
from inspector.pipeline import HungError
from inspector.ports import Blocked
from inspector.shell.greengrass import Greengrass
from inspector.works import Works
from inspector_fakes import DEADLINE_S, drop, eventually, picture, rows
from model_device import SETTINGS, Device


class Silent(Greengrass):
    """Answers no publish."""

    def publish_to_topic(self, topic: str, payload: bytes) -> Future[None]:
        return Future()

    publish_to_iot_core = publish_to_topic


class Inspector:
    """The works of a device, and what the component's thread does for them."""

    def __init__(self, device: Device, **settings: Any) -> None:
        self.device = device
        self.settings = msgspec.structs.replace(
            SETTINGS, review_repeated_frames=False, disk_low_megabytes=0, disk_full_megabytes=0, **settings
        )
        self.judged: list[Judged] = []
        self.works = Works(device.work, "line-3", Silent(lambda _: None), self.judged.append, self._failed)
        self.failures: list[Exception] = []

    def _failed(self, error: Exception) -> None:
        self.failures.append(error)

    def start(self) -> None:
        self.until(lambda: self.works.is_inspecting)

    def until(self, condition: Callable[[], object]) -> None:
        def turn() -> bool:
            self.works.follow_model(self.settings)
            if not self.works.is_inspecting:
                self.works.complete(self.settings)
            return bool(condition())

        eventually(turn)
        assert self.failures == []

    def in_use(self) -> str | None:
        model = self.works.holdings().model
        return model.version if model else None

    def drop(self, number: int) -> None:
        drop(self.device.work / "images" / f"{number}.jpg", picture(number))

    def messages(self) -> list[tuple[str, str, str]]:
        """Name, verdict and model of each result, as it is published."""
        found = [
            json.loads(row[0])
            for row in rows(
                self.device.work / "ledger.sqlite", "SELECT message FROM inspections ORDER BY seq"
            )
        ]
        return [(each["image"]["name"], each["verdict"], each["model"]["version"]) for each in found]


@pytest.fixture
def inspector(device: Device) -> Iterator[Inspector]:
    inspector = Inspector(device)
    device.deploy("1.0.0")
    yield inspector
    device.gate.set()
    inspector.works.end()


def test_a_frame_that_is_judged_as_the_model_changes(inspector: Inspector) -> None:
    """It keeps its judge; the next one has the new one. The line runs on, and nobody waits for the trial."""
    reached, release = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        assert release.wait(DEADLINE_S)

    inspector.device.before["1.0.0"] = hold
    inspector.start()
    line = inspector.works._line
    inspector.drop(1)
    assert reached.wait(DEADLINE_S)
    inspector.device.deploy("2.0.0")
    inspector.until(lambda: inspector.in_use() == "2.0.0")
    inspector.drop(2)
    release.set()
    inspector.until(lambda: len(inspector.judged) == 2)
    assert inspector.messages() == [("1.jpg", "fail", "1.0.0"), ("2.jpg", "fail", "2.0.0")]
    assert inspector.works._line is line


def test_frames_are_judged_while_the_next_model_is_tried(inspector: Inspector) -> None:
    """However long that takes."""
    inspector.start()
    inspector.device.gate.clear()
    inspector.device.deploy("2.0.0")
    inspector.until(lambda: "2.0.0" in inspector.device.tried)
    inspector.drop(1)
    inspector.until(lambda: inspector.judged)
    assert inspector.messages() == [("1.jpg", "fail", "1.0.0")]


def fail() -> None:
    raise ValueError("the network's output is not finite")


def test_a_new_model_that_fails_gives_way_and_loses_no_frame(inspector: Inspector) -> None:
    """Each frame has one verdict, by the model before, which is in use again; the alarm says why."""
    inspector.device.before["2.0.0"] = fail
    inspector.start()
    inspector.device.deploy("2.0.0")
    inspector.until(lambda: inspector.in_use() == "2.0.0")
    assert inspector.works.alarms()["model_refused"] is None
    inspector.drop(1)
    inspector.until(lambda: inspector.in_use() == "1.0.0")
    inspector.drop(2)
    inspector.until(lambda: len(inspector.judged) == 2)
    assert inspector.messages() == [("1.jpg", "fail", "1.0.0"), ("2.jpg", "fail", "1.0.0")]
    inspector.until(lambda: "not finite" in (inspector.works.alarms()["model_refused"] or ""))
    assert "not finite" in (inspector.works.holdings().model_refused or "")


def test_a_failure_is_on_record_whatever_stops_the_line(inspector: Inspector) -> None:
    """A change of settings, say, before anybody else has heard of it."""
    inspector.device.before["2.0.0"] = fail
    inspector.start()
    inspector.device.deploy("2.0.0")
    inspector.until(lambda: inspector.in_use() == "2.0.0")
    inspector.drop(1)
    eventually(lambda: inspector.judged)
    inspector.works.close()
    assert inspector.in_use() == "1.0.0"
    inspector.works.end()
    status = inspector.device.status
    assert status.in_use and status.in_use.version == "1.0.0"
    assert "not finite" in status.earlier[-1].outcome.cause


@pytest.mark.parametrize(
    ("error", "in_use"),
    [
        (HungError("x", "judge", 30), "1.0.0"),
        (HungError("x", "decode", 30), "2.0.0"),
        (ValueError("a thread"), "2.0.0"),
    ],
    ids=["judge", "decode", "a thread"],
)
def test_what_ends_the_process_is_held_against_the_model_where_it_is_its_doing(
    inspector: Inspector, error: Exception, in_use: str
) -> None:
    """It takes too long over an image; not where the image takes too long to decode, or a thread fails."""
    inspector.start()
    inspector.device.deploy("2.0.0")
    inspector.until(lambda: inspector.in_use() == "2.0.0")
    inspector.works.abandon(error)
    models = inspector.device.start()
    inspector.device.settle()
    assert models.in_use and models.in_use.info.version == in_use


def test_a_model_that_has_proved_itself_stays(inspector: Inspector) -> None:
    """A frame that it fails on later is a review: the one before is no longer at hand."""
    inspector.settings = msgspec.structs.replace(inspector.settings, probation_frames=1)
    inspector.start()
    inspector.device.deploy("2.0.0")
    inspector.until(lambda: inspector.in_use() == "2.0.0")
    inspector.drop(1)
    inspector.until(lambda: inspector.works.models and inspector.works.models.predecessor is None)
    inspector.until(lambda: inspector.device.status.probation is None)
    assert inspector.works._examiner
    inspector.works._examiner.succession.judge.detector.before = fail  # type: ignore[attr-defined]
    inspector.drop(2)
    inspector.until(lambda: len(inspector.judged) == 2)
    assert inspector.messages() == [("1.jpg", "fail", "2.0.0"), ("2.jpg", "review", "2.0.0")]


def test_a_probation_outlives_the_line(inspector: Inspector) -> None:
    """Which stops and starts for many reasons: the one before is still at hand."""
    inspector.start()
    inspector.device.deploy("2.0.0")
    inspector.until(lambda: inspector.in_use() == "2.0.0")
    inspector.works.close()
    inspector.device.before["2.0.0"] = fail
    assert inspector.works.models and inspector.works.models.in_use
    inspector.works.models.in_use.before = fail  # type: ignore[attr-defined]
    inspector.start()
    inspector.drop(1)
    inspector.until(lambda: inspector.judged)
    assert inspector.messages() == [("1.jpg", "fail", "1.0.0")]


def test_a_blocked_line_takes_a_new_model_all_the_same(device: Device) -> None:
    """The deployment that brings it waits for that, and the image directory may be mended much later."""
    inspector = Inspector(device, image_directory=str(device.work.parent / "nowhere"))
    device.deploy("1.0.0")

    def wait_for(version: str) -> None:
        def is_there() -> bool:
            try:
                inspector.works.complete(inspector.settings)
            except Blocked as reason:
                assert "image directory" in str(reason)
            inspector.works.follow_model(inspector.settings)
            return inspector.works.models is not None and inspector.in_use() == version

        eventually(is_there)

    wait_for("1.0.0")
    device.deploy("2.0.0")
    wait_for("2.0.0")
    assert device.status.in_use and device.status.in_use.version == "2.0.0"
    inspector.works.end()


def test_while_a_model_is_tried_the_status_says_so(inspector: Inspector) -> None:
    """Nothing is to be mended, and nothing judges yet."""
    inspector.device.gate.clear()
    inspector.works.complete(inspector.settings)
    assert not inspector.works.is_inspecting
    assert inspector.works.waits_for == "the model is being tried and loaded"
    inspector.device.gate.set()
    inspector.start()
    assert inspector.works.waits_for is None


def test_a_refused_model_blocks_where_there_is_no_other(inspector: Inspector) -> None:
    """With the reason, and no alarm beside it; the same is not tried again for that."""
    inspector.device.outcomes["1.0.0"] = Outcome("refused", "it finds otherwise", "package another")
    with pytest.raises(Blocked, match=r"1\.0\.0 refused: it finds otherwise; package another"):
        inspector.start()
    for _ in range(3):
        with pytest.raises(Blocked, match="it finds otherwise"):
            inspector.works.complete(inspector.settings)
    assert inspector.works.alarms()["model_refused"] is None
    assert inspector.device.tried == ["1.0.0"]


def test_a_change_of_other_settings_loads_nothing_again(inspector: Inspector) -> None:
    """The line starts anew with the model that is there."""
    inspector.start()
    inspector.works.close()
    inspector.settings = Settings(**msgspec.structs.asdict(inspector.settings) | {"max_detections": 5})
    inspector.start()
    assert len(inspector.device.loaded) == 1
