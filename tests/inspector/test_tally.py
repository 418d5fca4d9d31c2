"""Recent inspections in figures."""

import threading
from pathlib import Path

import numpy as np
import pytest

from inspector.core.detections import Detections
from inspector.core.frame import Identity
from inspector.core.message import Latency, ModelInfo
from inspector.core.verdict import Verdict, not_inspected
from inspector.examiner import Judged, Taken
from inspector.ports import Claimed
from inspector.tally import WINDOW, Figures, Tally, percentile

MODEL = ModelInfo("metal-tag", "1.0.0", "fp32", "0" * 64)
TAKEN = Taken("0" * 32, Claimed(Identity("a.jpg", 1, 2, ""), Path("a.jpg"), 0.0, b""), None)


def judged(milliseconds: float = 10.0, *confidences: float) -> Judged:
    """An inspection that took so long and found so much."""
    count = len(confidences)
    found = Detections(
        np.zeros((count, 4), np.float32), np.array(confidences, np.float32), np.zeros(count, np.int64)
    )
    return Judged(
        TAKEN,
        Verdict("pass", (), found, ()),
        found,
        Latency(decode=1.0, inference=milliseconds - 1.5, postprocess=0.5),
        MODEL,
        ("scratch",),
    )


LOST = Judged(TAKEN, not_inspected("unreadable"), Detections.none(), Latency(), MODEL, ("scratch",))


def test_before_the_first_inspection_there_are_no_figures() -> None:
    """Nothing is null rather than zero, but for the rate, which is zero."""
    assert Tally().figures(1e6) == Figures(0.0, None, None, None, None)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 50, None),
        ([7.0], 50, 7.0),
        ([7.0], 99, 7.0),
        ([1.0, 2.0], 50, 1.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        (list(range(1, 101)), 99, 99),
        (list(range(1, 102)), 99, 100),
        ([1.23456], 50, 1.235),
        ([5.0, 6.0], 0, 5.0),
    ],
)
def test_percentiles_are_of_the_nearest_rank(values, share, expected) -> None:
    """Each is a value that occurred, to a microsecond."""
    assert percentile(values, share) == expected


def test_the_latency_is_the_sum_of_the_stages_that_ran() -> None:
    """Whatever order they came in, 99 of 100 took no longer than the 99th percentile."""
    tally = Tally()
    for milliseconds in (30.0, 10.0, 20.0):
        tally.add(judged(milliseconds), 0.0)
    figures = tally.figures(1.0)
    assert (figures.latency_ms_p50, figures.latency_ms_p99) == (20.0, 30.0)


def test_what_was_not_inferred_counts_as_an_image_but_not_as_a_fast_one() -> None:
    """A camera that sends rubbish doesn't make the model look quick."""
    tally = Tally()
    tally.add(LOST, 0.0)
    assert tally.figures(1.0).latency_ms_p50 is None
    for _ in range(3):
        tally.add(LOST, 0.0)
    tally.add(judged(10.0), 0.0)
    figures = tally.figures(1.0)
    assert (figures.images_per_minute, figures.latency_ms_p50) == (5.0, 10.0)


def test_the_rate_is_of_the_last_minute() -> None:
    """What is older than a minute doesn't count, so that a camera that stopped shows."""
    tally = Tally()
    for second in range(120):
        tally.add(judged(), float(second))
    assert tally.figures(119.0).images_per_minute == 60.0
    assert tally.figures(150.0).images_per_minute == 29.0
    assert tally.figures(1_000.0).images_per_minute == 0.0


def test_a_rate_above_the_window_is_that_of_the_window() -> None:
    """With more images a minute than are remembered, the rate is what those remembered took."""
    tally = Tally()
    for number in range(3 * WINDOW):
        tally.add(judged(), number / 50)
    assert tally.figures(3 * WINDOW / 50).images_per_minute == pytest.approx(3_000, rel=0.01)


def test_confidences_are_of_every_detection_told() -> None:
    """Mean and deviation, over all recent images, so that a drift of the model shows."""
    tally = Tally()
    tally.add(judged(10.0, 0.9, 0.5), 0.0)
    tally.add(judged(10.0), 0.0)
    tally.add(judged(10.0, 0.7), 0.0)
    figures = tally.figures(0.0)
    assert (figures.confidence_mean, figures.confidence_std) == (0.7, 0.1633)


def test_only_recent_inspections_count() -> None:
    """What is further back than the window is forgotten."""
    tally = Tally()
    tally.add(judged(5_000.0, 0.1), 0.0)
    for _ in range(WINDOW):
        tally.add(judged(10.0, 0.9), 0.0)
    figures = tally.figures(0.5)
    assert (figures.latency_ms_p99, figures.confidence_std) == (10.0, 0.0)


def test_figures_may_be_asked_for_while_inspections_are_counted() -> None:
    """Two threads, no lost counts and no iteration over what changes."""
    tally, count = Tally(), 500

    def add() -> None:
        for number in range(count):
            tally.add(judged(10.0, 0.5), number / count)

    thread = threading.Thread(target=add)
    thread.start()
    while thread.is_alive():
        tally.figures(1.0)
    thread.join()
    assert tally.figures(1.0).images_per_minute == count
