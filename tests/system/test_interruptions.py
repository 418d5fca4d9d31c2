"""What a nucleus loses, and what an inspector that works through it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge import FAILING, Edge, only_lite
from edgehost.profile import CLASSIC, LITE
from mosquitto_broker import until

Interruption = Callable[[Edge], Any]


async def restart_ggipcd(edge: Edge) -> None:
    edge.host.faults.daemon_restart("ggipcd")


async def restart_ggconfigd(edge: Edge) -> None:
    edge.host.faults.daemon_restart("ggconfigd")


async def restart_iotcored(edge: Edge) -> None:
    edge.host.faults.daemon_restart("iotcored")


async def restart_ggpubsubd(edge: Edge) -> None:
    edge.host.faults.daemon_restart("ggpubsubd")


async def restart(edge: Edge) -> None:
    await edge.host.restart()


async def deny(edge: Edge) -> None:
    edge.host.faults.error("UnauthorizedError", "PublishToIoTCore")


async def lose_broker(edge: Edge) -> None:
    edge.host.faults.broker_down(600)


async def find_broker(edge: Edge) -> None:
    edge.host.faults.clear()


def drop(edge: Edge, *numbers: int) -> None:
    for number in numbers:
        edge.drop(FAILING, f"{number}.jpg")


def all_arrive(edge: Edge, count: int) -> None:
    """Each image has its one verdict, nothing is parked, and nothing waits."""
    until(lambda: len(edge.verdicts()) == count, f"{count} verdicts, not only {len(edge.verdicts())}", 60)
    assert sorted({each["seq"] for each in edge.results}) == list(range(1, count + 1))
    assert "result parked" not in edge.log
    assert {each["parked"] for each in edge.statuses} <= {0, None}


@pytest.mark.parametrize(
    ("profile", "interrupt"), [(CLASSIC, restart), (LITE, restart_ggipcd)], ids=["classic", "lite"]
)
def test_a_nucleus_that_restarts_gives_a_new_token(edge: Edge, interrupt: Interruption) -> None:
    """Classic Greengrass stops its components and starts them anew. Lite's ggipcd leaves them running and refuses
    their tokens: the component ends, to be started with a new one. Nothing that arrives meanwhile is lost."""
    edge.start()
    drop(edge, 0, 1)
    edge.wait_for_results(2)
    pid, started = edge.pid, edge.log.count("INFO starting ")
    edge.threaded.call(interrupt(edge), 60)
    drop(edge, 2, 3)
    all_arrive(edge, 4)
    until(lambda: edge.log.count("INFO inspecting ") == 2, "the new process inspects", 60)
    assert edge.pid != pid
    assert edge.log.count("INFO starting ") == started + 1
    assert edge.command({"command": "status"})["error"] is None


@pytest.mark.parametrize(
    ("profile", "interrupt"), [(CLASSIC, deny), (LITE, restart_ggconfigd)], ids=["classic", "lite"]
)
def test_what_is_denied_for_a_moment_is_not_parked(edge: Edge, interrupt: Interruption) -> None:
    """As long as ggconfigd is away nothing is authorized: that is no missing policy yet."""
    edge.start()
    drop(edge, 0)
    edge.wait_for_results(1)
    pid = edge.pid
    edge.threaded.call(interrupt(edge), 60)
    drop(edge, 1, 2, 3)
    all_arrive(edge, 4)
    assert "WARNING publish denied target=iot_core" in edge.log
    assert edge.pid == pid


@only_lite
@pytest.mark.parametrize(
    ("interrupt", "target"),
    [(restart_iotcored, "iot_core"), (restart_ggpubsubd, "topic")],
    ids=["iotcored", "ggpubsubd"],
)
def test_what_a_daemon_that_is_away_refuses_is_tried_again(
    edge: Edge, interrupt: Interruption, target: str
) -> None:
    """A publish that fails is tried again and parked no more than one during an outage; the log names the error,
    whose text is empty in the SDK."""
    edge.start()
    edge.threaded.call(interrupt(edge), 60)
    drop(edge, *range(4))
    all_arrive(edge, 4)
    until(lambda: f"INFO publishing again target={target}" in edge.log, "it goes on")
    (line, *_) = [each for each in edge.log.splitlines() if f"publish failed target={target}" in each]
    assert "cause=ServiceError()" in line


def test_an_outage_of_the_broker_loses_and_parks_nothing(edge: Edge) -> None:
    """Classic Greengrass takes what it cannot send, Lite refuses it: all of it arrives when the broker can be reached
    again, and commands do."""
    edge.start()
    edge.threaded.call(lose_broker(edge), 20)
    drop(edge, *range(12))
    until(lambda: len(list((edge.work / "archive").iterdir())) == 12, "all are inspected")
    assert edge.results == []
    edge.threaded.call(find_broker(edge), 20)
    all_arrive(edge, 12)
    assert edge.command({"command": "status"})["error"] is None


def test_a_burst_stays_within_what_the_nucleus_bears(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    """Of 150 results, faster than IoT Core acknowledges them, none is refused: on Greengrass Lite at most ten are
    under way, and 15,000 bytes."""
    edge.start(BacklogPerSecond=1_000)
    drop(edge, *range(150))
    all_arrive(edge, 150)
    assert "publish failed" not in edge.log
    assert "could not publish" not in caplog.text
