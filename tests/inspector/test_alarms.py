"""An alarm is said once when it begins and once when it ends."""

import pytest

from inspector.alarms import Alarms


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
