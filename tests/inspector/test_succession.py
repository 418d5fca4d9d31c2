"""A new model's first frames: who judges, and who is to blame."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inspector.core.frame import FrameError
from inspector.succession import Succession


def hearing(*failing: str) -> Callable[[str], str]:
    """A frame that some judges fail on."""

    def hear(judge: str) -> str:
        if judge in failing:
            raise ValueError(f"{judge} failed")
        return f"verdict of {judge}"

    return hear


def test_the_new_one_judges_and_proves_itself_after_so_many_frames() -> None:
    """Then the one before is let go, and a failure is the frame's."""
    succession = Succession("new", "old", frames=2)
    assert [succession.hold(hearing()) for _ in range(2)] == ["verdict of new"] * 2
    assert (succession.judge, succession.predecessor, succession.failure) == ("new", None, None)
    with pytest.raises(ValueError, match="new failed"):
        succession.hold(hearing("new"))
    assert (succession.judge, succession.failure) == ("new", None)


def test_a_frame_that_the_new_one_fails_on_is_judged_by_the_one_before() -> None:
    """Who is back in office for good; why is told."""
    succession = Succession("new", "old", frames=10)
    succession.hold(hearing())
    assert succession.hold(hearing("new")) == "verdict of old"
    assert (succession.judge, succession.predecessor) == ("old", None)
    assert succession.failure == "ValueError('new failed')"
    assert succession.hold(hearing("new")) == "verdict of old"


def test_a_frame_that_both_fail_on_speaks_against_neither() -> None:
    """Nor does it count towards the probation."""
    succession = Succession("new", "old", frames=1)
    with pytest.raises(ValueError, match="old failed"):
        succession.hold(hearing("new", "old"))
    assert (succession.judge, succession.predecessor, succession.failure) == ("new", "old", None)
    succession.hold(hearing())
    assert succession.predecessor is None


def test_a_frame_that_there_is_none_of_is_tried_once() -> None:
    """Such as an unreadable file: no model sees it."""
    asked = []

    def unreadable(judge: str) -> str:
        asked.append(judge)
        raise FrameError("unreadable", "empty")

    succession = Succession("new", "old", frames=1)
    with pytest.raises(FrameError):
        succession.hold(unreadable)
    assert (asked, succession.judge, succession.predecessor) == (["new"], "new", "old")


def test_without_probation_there_is_no_way_back() -> None:
    """ProbationFrames 0."""
    succession = Succession("new", "old", frames=0)
    with pytest.raises(ValueError, match="new failed"):
        succession.hold(hearing("new"))
    assert (succession.judge, succession.predecessor) == ("new", None)
