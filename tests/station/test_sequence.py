"""Sequence numbers that arrived and those that did not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.sequence import Sequence


def test_numbers_in_order_leave_no_gap():
    sequence = Sequence(5)
    assert [sequence.receive(seq) for seq in (5, 6, 7)] == [None, None, None]
    assert sequence.missing == []


def test_a_jump_opens_a_gap():
    sequence = Sequence(1)
    assert sequence.receive(5) == (2, 4)
    assert sequence.missing == [(2, 4)]


@pytest.mark.parametrize(
    ("late", "left"), [((2,), [(3, 4)]), ((4,), [(2, 3)]), ((3,), [(2, 2), (4, 4)]), ((4, 2, 3), [])]
)
def test_what_arrives_late_fills_its_gap(late, left):
    sequence = Sequence(1)
    sequence.receive(5)
    assert [sequence.receive(seq) for seq in late] == [None] * len(late)
    assert sequence.missing == left


def test_a_backlog_from_before_the_first_number_is_no_gap():
    sequence = Sequence(10)
    assert sequence.receive(3) is None
    assert sequence.missing == []


def test_reaching_a_number_that_was_not_received_opens_a_gap_once():
    sequence = Sequence(1)
    assert sequence.reach(3) == (2, 3)
    assert sequence.reach(3) is None
    assert sequence.receive(4) is None


@given(st.lists(st.integers(min_value=1, max_value=60), min_size=1))
def test_whatever_the_order_missing_is_what_lies_between_and_was_not_received(numbers):
    sequence = Sequence(numbers[0])
    for seq in numbers:
        sequence.receive(seq)
    missing = {seq for first, last in sequence.missing for seq in range(first, last + 1)}
    assert missing == set(range(numbers[0], max(numbers) + 1)) - set(numbers)
