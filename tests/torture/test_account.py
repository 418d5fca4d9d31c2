"""The harness's own accounting: what is planted is found. A torture that can't fail is worth nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from torture.account import Account, Delivery, Injected, Row, Written, add_up, missing


def image(number: int, at_s: float = 0.0, **changes: object) -> Written:
    written = Written(f"top/part-{number}.jpg", f"sha-{number}", "rename", at_s, "pass")
    return replace(written, **changes)


def verdict(number: int, at_s: float = 1.0, **changes: object) -> Delivery:
    delivery = Delivery(
        at_s,
        f"content-{number}",
        f"id-{number}",
        "ledger",
        number,
        f"top/part-{number}.jpg",
        f"sha-{number}",
        "pass",
        (),
    )
    return replace(delivery, **changes)


WRITTEN = [image(number) for number in (1, 2, 3)]
DELIVERED = [verdict(number) for number in (1, 2, 3)]


def account(written: list[Written] = WRITTEN, deliveries: list[Delivery] = DELIVERED, **more) -> Account:
    return add_up(written, deliveries, more.pop("injected", []), **more)


def test_all_is_well() -> None:
    """One verdict each: no problem, and every figure as it is."""
    found = account()
    assert found.problems() == []
    assert (found.images, found.verdicts, found.deliveries, found.duplicates) == (3, 3, 3, 0)
    assert found.kinds == {"rename": Row(times=3, images=3, verdicts=3)}


def test_planted_loss_is_found() -> None:
    """Also where its sequence number is missing, and also when it is the very last."""
    found = account(deliveries=DELIVERED[:2])
    assert found.lost == [WRITTEN[2]]
    assert found.problems() == ["1 images lost"]
    assert found.kinds["rename"].lost == 1
    in_between = account(deliveries=[DELIVERED[0], DELIVERED[2]])
    assert in_between.problems() == ["1 images lost", "1 sequence numbers that never arrived"]
    at_the_end = account(last_seqs={"ledger": 4})
    assert at_the_end.problems() == ["1 sequence numbers that never arrived"]


def test_verdict_on_other_content_is_none() -> None:
    """The path alone does not do: the image is lost, and what was judged is told."""
    stranger = verdict(3, sha256="half of it")
    found = account(deliveries=[*DELIVERED[:2], stranger])
    assert found.lost == [WRITTEN[2]]
    assert found.premature == [stranger]


def test_file_that_could_not_be_read_has_no_hash() -> None:
    """Its path tells which it is."""
    found = account(deliveries=[*DELIVERED[:2], verdict(3, sha256=None, verdict="review")])
    assert found.problems() == []
    assert found.premature == []


def test_planted_duplicate_is_counted_and_allowed() -> None:
    """The same id with the same content, however often."""
    found = account(deliveries=[*DELIVERED, DELIVERED[0], DELIVERED[0]])
    assert (found.duplicates, found.verdicts, found.deliveries) == (2, 3, 5)
    assert found.problems() == []


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (verdict(1, content="another"), "id id-1 (top/part-1.jpg) has two contents"),
        (
            verdict(9, seq=1, path="top/part-1.jpg", sha256="sha-1"),
            "ledger ledger seq 1 is top/part-1.jpg and top/part-1.jpg",
        ),
    ],
)
def test_planted_conflict_is_found(planted: Delivery, told: str) -> None:
    """One id with two contents; one sequence number with two contents."""
    found = account(deliveries=[*DELIVERED, planted])
    assert found.conflicting == [told]
    assert "1 conflicting contents" in found.problems()
    assert found.duplicates == 0


def test_another_ledger_is_no_conflict() -> None:
    """A ledger that was replaced counts from 1 again."""
    written = [*WRITTEN, image(4)]
    found = account(written, [*DELIVERED, verdict(4, ledger="new", seq=1)])
    assert found.problems() == []
    assert found.ledgers == 2


def test_image_inspected_twice_is_found() -> None:
    """Two ids for one content of one path."""
    found = account(deliveries=[*DELIVERED, verdict(4, path="top/part-3.jpg", sha256="sha-3")])
    assert found.twice == [WRITTEN[2]]
    assert found.problems() == ["1 images inspected twice"]


@pytest.mark.parametrize("expected", ["fail", "review"])
def test_planted_false_pass_is_found(expected: str) -> None:
    """A pass for what undisturbed is a fail or a review."""
    found = account([*WRITTEN[:2], image(3, expected=expected)])
    assert found.problems() == ["1 false passes"]
    assert found.differing == {f"{expected} -> pass": 1}


def test_review_in_place_of_a_pass_is_told() -> None:
    """It is honest, so no problem; the reason is counted."""
    found = account(deliveries=[*DELIVERED[:2], verdict(3, verdict="review", reasons=("crashed",))])
    assert found.problems() == []
    assert found.crashed == 1
    assert found.differing == {"pass -> review crashed": 1}


def test_superseded_version_may_be_without_verdict() -> None:
    """But where it has one, it counts like any other: two ids are one too many, a false pass is one."""
    superseded = image(3, is_superseded=True, expected="fail")
    assert account([*WRITTEN[:2], superseded], DELIVERED[:2]).problems() == []
    assert account([*WRITTEN[:2], superseded]).problems() == ["1 false passes"]


def test_fault_counts_what_falls_into_it() -> None:
    """From its beginning until the first verdict on an image that was written after it, and nothing beyond."""
    written = [image(1, 0), image(2, 5), image(3, 8), image(4, 12), image(5, 30)]
    deliveries = [
        verdict(1, 1),
        verdict(1, 2),
        verdict(1, 6),
        verdict(1, 7, content="another"),
        verdict(4, 19),
        verdict(3, 21),
        verdict(3, 22),
        verdict(5, 31),
    ]
    faults = [Injected("cut", 4, 10), Injected("kill", 29, 29, kills=1)]
    found = account(written, deliveries, injected=faults)
    assert found.faults["cut"] == Row(
        times=1, images=3, verdicts=2, lost=1, duplicates=1, conflicting=1, worst_recovery_s=9
    )
    assert found.faults["kill"] == Row(times=1, images=1, verdicts=1, worst_recovery_s=2)


def test_worst_recovery_counts() -> None:
    """Of several of a kind; and one that never recovers is told apart from one that does at once."""
    written = [image(1, 1), image(2, 11)]
    faults = [Injected("cut", 0, 0), Injected("cut", 10, 10)]
    found = account(written, [verdict(1, 4), verdict(2, 13)], injected=faults)
    assert found.faults["cut"].worst_recovery_s == 4
    assert account(written, [verdict(1, 4)], injected=faults).faults["cut"].worst_recovery_s is None


@pytest.mark.parametrize(
    ("seqs", "last_seq", "gap"),
    [([], 0, []), ([1, 2], 2, []), ([1, 3], 2, [2]), ([2], 4, [1, 3, 4]), ([], 2, [1, 2])],
)
def test_missing(seqs: list[int], last_seq: int, gap: list[int]) -> None:
    """Between what is there, and at both ends."""
    assert missing(seqs, last_seq) == gap
