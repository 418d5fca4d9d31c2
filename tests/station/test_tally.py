"""What was received -> rows, notices, summary; without broker or terminal."""

from datetime import datetime, timezone

from inspector.core.message import Latency
from station.event import Gap, Heard, Notice, Row
from station.tally import Tally
from station_samples import arrived, blocked, fail, result, status


def feed(tally: Tally, *messages) -> list:
    return [event for message in messages for event in tally.receive(arrived(message))]


def notices(events: list, level: str) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.level == level]


def test_each_result_gives_a_row():
    events = feed(Tally(), result(1), fail(2))
    assert [event.result.verdict for event in events if isinstance(event, Row)] == ["pass", "fail"]


def test_the_same_message_again_is_silent():
    tally = Tally()
    feed(tally, result(1), result(2))
    assert feed(tally, result(1), result(2)) == []
    assert (tally.summary().images, tally.summary().repeated) == (2, 2)


def test_an_id_with_different_content_is_an_alarm():
    tally = Tally()
    feed(tally, result(1))
    (text,) = notices(feed(tally, fail(1)), "alarm")
    assert "id-1" in text
    assert (tally.summary().images, tally.summary().conflicts) == (1, 1)


def test_a_number_of_a_ledger_used_twice_is_an_alarm():
    tally = Tally()
    feed(tally, result(1))
    (text,) = notices(feed(tally, result(1, id="another")), "alarm")
    assert "seq 1" in text


def test_the_same_number_in_another_ledger_is_no_contradiction():
    events = feed(Tally(), result(1), result(1, id="another", ledger="new"))
    assert len([event for event in events if isinstance(event, Row)]) == 2
    assert not notices(events, "alarm")


def test_a_gap_is_warned_of_and_stays_in_the_summary_until_filled():
    tally = Tally()
    (text,) = notices(feed(tally, result(1), result(4)), "warning")
    assert "seq 2-3 of line-3" in text
    assert tally.summary().gaps == (Gap("line-3", "b81e", 2, 3),)
    feed(tally, result(3), result(2))
    assert tally.summary().gaps == ()


def test_things_and_ledgers_have_sequences_of_their_own():
    other = result(9, thing="line-4"), result(5, ledger="new", id="x")
    assert notices(feed(Tally(), result(1), *other, result(2)), "warning") == []


def test_a_status_that_has_sent_more_than_arrived_opens_a_gap():
    tally = Tally()
    (text,) = notices(feed(tally, result(1), status(last_seq=3)), "warning")
    assert "seq 2-3" in text


def test_a_status_with_messages_still_to_send_opens_no_gap():
    assert notices(feed(Tally(), result(1), status(last_seq=3, outbox=2)), "warning") == []
    assert notices(feed(Tally(), result(1), status(last_seq=3, parked=1)), "warning") == []


def test_a_first_status_is_where_counting_starts():
    (text,) = notices(feed(Tally(), status(last_seq=3), result(5)), "warning")
    assert "seq 4 of" in text


def test_a_state_is_told_when_it_changes_only():
    tally = Tally()
    waiting = status(state="blocked", reason="model directory x is missing")
    events = feed(tally, status(), status(), waiting, waiting, status(state="stopped"))
    assert notices(events, "info") == ["line-3 is running, model metal-tag 1.0.0 int8"]
    first, second = notices(events, "warning")
    assert "blocked: model directory x is missing" in first
    assert "stopped" in second
    assert len([event for event in events if isinstance(event, Heard)]) == 5


def test_a_status_without_a_ledger_tells_why_and_leaves_the_numbers_alone():
    events = feed(Tally(), result(1), blocked(), result(3))
    assert notices(events, "warning") == [
        "line-3 is blocked: the work directory is read-only",
        "gap: seq 2 of line-3 (ledger b81e) not received so far",
    ]


def test_a_refused_setting_is_told():
    (text,) = notices(
        feed(Tally(), status(settings_errors=("LowConfidenceThreshold: 7 is above 1",))), "warning"
    )
    assert "LowConfidenceThreshold: 7 is above 1" in text


def test_an_alarm_is_told_when_it_begins_and_when_it_is_over():
    low = status(alarms=("no_images", "disk_low"))
    events = feed(Tally(), low, low, status())
    assert notices(events, "warning") == [
        "line-3 is running, model metal-tag 1.0.0 int8; alarm: no_images, disk_low"
    ]
    assert notices(events, "info") == ["line-3 is running, model metal-tag 1.0.0 int8"]


def test_images_of_an_earlier_run_give_no_row_and_no_gap():
    tally = Tally(since=datetime(2026, 11, 22, 3, 0, 0, tzinfo=timezone.utc))
    old = "2026-11-22T02:59:59.999Z"
    events = feed(tally, result(1, captured_at=old), result(2, captured_at=old), result(3))
    assert [event.result.seq for event in events if isinstance(event, Row)] == [3]
    assert (tally.summary().earlier, tally.summary().images, tally.summary().gaps) == (2, 1, ())


def test_the_summary_counts():
    tally = Tally()
    review = {"verdict": "review", "reasons": ("uncertain",), "kept": ("uncertain",)}
    feed(tally, result(1), fail(2), result(3, **review), result(4, latency_ms=Latency()))
    tally.refuse("inspect/line-3/results", "no JSON")
    summary = tally.summary()
    assert summary.verdicts == {"pass": 2, "fail": 1, "review": 1}
    assert (summary.images, summary.kept, summary.malformed) == (4, 1, 1)


def test_percentiles_are_of_the_sum_of_stages_by_nearest_rank():
    tally = Tally()
    feed(tally, *(result(ms, latency_ms=Latency(decode=0.5, inference=ms - 0.5)) for ms in range(1, 201)))
    summary = tally.summary()
    assert (summary.latency_p50_ms, summary.latency_p99_ms) == (100.0, 198.0)


def test_nothing_received_has_a_summary_too():
    summary = Tally().summary()
    assert (summary.images, summary.latency_p50_ms, summary.gaps) == (0, None, ())
