"""An alarm is said once when it begins and once when it ends."""

import time
from pathlib import Path

import pytest

from inspector.alarms import Alarms
from inspector.component import Component
from inspector.core.settings import Settings
from inspector.works import Works


def test_raised_and_over(caplog: pytest.LogCaptureFixture) -> None:
    """A change of what is in force is told, and logged with cause and fix; that it goes on is not."""
    caplog.set_level("INFO")
    alarms = Alarms()
    assert not alarms.update({"disk_low": None})
    assert alarms.update({"disk_low": "1 MB free", "stalled": None})
    assert alarms.in_force == ("disk_low",)
    assert not alarms.update({"disk_low": "2 MB free"})
    assert alarms.update({"disk_low": "2 MB free", "no_images": "no image for 9 s"})
    assert alarms.in_force == ("no_images", "disk_low")
    assert alarms.update({"no_images": "no image for 19 s"})
    assert alarms.update({})
    assert alarms.in_force == ()
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "alarm disk_low"),
        ("WARNING", "alarm no_images"),
        ("INFO", "alarm disk_low is over"),
        ("INFO", "alarm no_images is over"),
    ]
    assert caplog.records[0].cause == "1 MB free"  # type: ignore[attr-defined]
    assert "make room" in caplog.records[0].fix  # type: ignore[attr-defined]


@pytest.mark.parametrize(("limit_s", "cause"), [(0.0, None), (600.0, "no image for 600 s"), (1e5, None)])
def test_no_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_s: float, cause: str | None
) -> None:
    """An hour without an image is one for whom NoImageSeconds says so; 0 means never."""
    component = Component(tmp_path, "line-3")
    component._settings = Settings(no_image_seconds=limit_s)
    monkeypatch.setattr(Works, "is_inspecting", True)
    component._works.started_s = time.monotonic() - 3_600
    assert component._no_images() == cause
