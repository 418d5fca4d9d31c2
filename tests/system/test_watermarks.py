"""What a person far away hears of a disk that fills up, and of a camera that falls silent."""

from __future__ import annotations

import shutil

from edge import FAILING, PASSING, Edge
from edgehost.profile import Profile
from mosquitto_broker import until


def test_at_the_hard_watermark_nothing_is_taken_until_there_is_room(edge: Edge, profile: Profile):
    """Too little room stops the line, with the figures, but neither results nor commands; with room it goes on."""
    edge.start()
    edge.drop(FAILING, "a.jpg")
    (result,) = edge.wait_for_results(1)
    edge.wait_until_settled()
    above = shutil.disk_usage(edge.work).free // 1_000_000 + 100_000
    pid = edge.pid
    edge.deploy(DiskFullMegabytes=above, DiskLowMegabytes=above)
    status = edge.wait_for_status(lambda status: status["state"] == "blocked")
    assert f"disk of {edge.work}: full, " in status["reason"]
    assert f" MB free, {above} MB wanted; make room there" in status["reason"]
    edge.wait_for_status(lambda status: "disk_low" in status["alarms"])
    until(lambda: not list((edge.work / "archive").iterdir()), "the archive gives way")
    held_back = edge.drop(PASSING, "b.jpg")
    edge.wait_until_nothing_waits()
    known = len(edge.results)
    response = edge.command({"command": "resend", "ledger": result["ledger"], "first": 1, "last": 1})
    assert (response["error"], response["results"]) == (None, 1)
    assert edge.wait_for_results(known + 1)[known] == result
    assert held_back.exists()
    events = [each["event"] for each in edge.statuses]
    assert events.count("blocked") == 1
    edge.deploy(DiskFullMegabytes=1, DiskLowMegabytes=1)
    until(lambda: "b.jpg" in edge.verdicts(), "it is inspected")
    until(lambda: edge.statuses[-1]["alarms"] == [], "the alarm is over")
    assert "WARNING alarm disk_low cause=" in edge.log
    assert (edge.pid != pid) == profile.restarts_on_configuration


def test_a_silent_camera_is_told_of(edge: Edge):
    """Without an image for so long an alarm is published at once, and so is its end."""
    edge.start(NoImageSeconds=1, StatusIntervalSeconds=3_600)
    status = edge.wait_for_status(lambda status: status["event"] == "alarm")
    assert (status["state"], status["alarms"]) == ("running", ["no_images"])
    known = len(edge.statuses)
    edge.drop(PASSING, "a.jpg")
    until(lambda: len(edge.statuses) > known, "the end of the alarm is published")
    assert (edge.statuses[known]["event"], edge.statuses[known]["alarms"]) == ("alarm", [])
    until(lambda: "alarm no_images is over" in edge.log, "and logged")
