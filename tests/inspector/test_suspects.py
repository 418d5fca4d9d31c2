"""Who is to blame where a publish fails: somebody alone, or nobody."""

from __future__ import annotations

import pytest

from inspector.ports import Disconnected, Unreachable
from inspector.suspects import REST_S, STRIKES, Suspects

DOWN, CUT = Unreachable("spool full"), Disconnected("hung up")


def accused(strikes: int = STRIKES - 1, error: Exception = DOWN) -> Suspects:
    """Result 1 has failed alone, so often before; once more that counts, and it is convicted."""
    suspects = Suspects()
    suspects.failed(1, error, 0.0)
    for _ in range(strikes):
        suspects.failed_alone(1, error, 0.0)
        assert suspects.published([2]) is None
    suspects.failed_alone(1, error, 0.0)
    return suspects


def test_another_that_gets_through_convicts() -> None:
    """The last of the failures that count."""
    convicted = accused().published([2])
    assert convicted and (convicted.seq, convicted.strikes) == (1, STRIKES)


def test_nothing_counts_twice() -> None:
    """Several that get through say no more than one."""
    suspects = accused(STRIKES - 2)
    assert suspects.published([2]) is None
    assert suspects.published([3]) is None


@pytest.mark.parametrize(("error", "is_convicted"), [(DOWN, False), (CUT, True)])
def test_a_failure_of_another_acquits(error: Exception, is_convicted: bool) -> None:
    """The trouble is general; unless the connection was the matter, of which the next one will tell."""
    suspects = accused()
    suspects.failed(2, error, 0.0)
    assert bool(suspects.published([3])) == is_convicted


def test_a_failure_of_another_suspect_says_nothing() -> None:
    """Two bad ones are not each other's excuse."""
    suspects = Suspects()
    suspects.failed(2, DOWN, 0.0)
    for _ in range(STRIKES - 1):
        suspects.failed_alone(1, DOWN, 0.0)
        suspects.failed(2, DOWN, 0.0)
        assert suspects.published([3]) is None
    suspects.failed_alone(1, DOWN, 0.0)
    suspects.failed(2, DOWN, 0.0)
    assert suspects.published([3])


@pytest.mark.parametrize(("error", "is_convicted"), [(DOWN, False), (CUT, True)])
def test_a_new_connection_counts_against_who_broke_the_last(error: Exception, is_convicted: bool) -> None:
    """And against nobody else."""
    assert bool(accused(error=error).reconnected()) == is_convicted


def test_getting_through_clears() -> None:
    """All that counted is forgotten."""
    suspects = accused()
    assert suspects.published([1]) is None
    assert 1 not in suspects
    assert not suspects.has_accused


def test_the_accused_rests_and_others_do_not() -> None:
    """After a reconnect those are tried at once against which nothing counts."""
    suspects = accused()
    suspects.published([9])
    suspects.failed(2, DOWN, 50.0)
    assert suspects.is_resting(2, 49.0)
    suspects.reconnected()
    assert not suspects.is_resting(2, 49.0)
    assert suspects.is_resting(1, REST_S - 1)
    assert not suspects.is_resting(1, REST_S)
