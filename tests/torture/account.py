"""What was written, what arrived and what was done meanwhile -> the account. Pure: no clock, no files.

1. An image is a version of a file: its path and the SHA-256 of its content. All times are of one monotonic clock.
2. Lost: an image that had to get a verdict and has none. What was overwritten in place before the last version of
   its name may have one.
3. Duplicate: a delivery beyond the first of the same id with the same content. Allowed, counted.
4. Conflict: one id, or one sequence number of one ledger, with two contents.
5. False pass: a pass for an image whose undisturbed verdict is not a pass.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Written:
    """One image that the camera finished."""

    path: str
    sha256: str
    kind: str
    at_s: float
    expected: str
    """The verdict on it when nothing disturbs."""
    is_superseded: bool = False
    """Whether its name was written again before anybody can have been sure to look."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One result message as it arrived."""

    at_s: float
    content: str
    """SHA-256 of the whole message."""
    id: str
    ledger: str
    seq: int
    path: str
    sha256: str | None
    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault, from its beginning to its end; a kill begins and ends at once."""

    kind: str
    start_s: float
    end_s: float
    kills: int = 0


@dataclass(slots=True)
class Row:
    """What one kind of fault, or one way of writing, came to."""

    times: int = 0
    images: int = 0
    verdicts: int = 0
    lost: int = 0
    duplicates: int = 0
    conflicting: int = 0
    worst_recovery_s: float | None = 0.0
    """From the end of the fault to the first verdict on an image written after it; None: there never was one."""


@dataclass(slots=True)
class Account:
    """The whole run."""

    images: int = 0
    verdicts: int = 0
    deliveries: int = 0
    duplicates: int = 0
    lost: list[Written] = field(default_factory=list)
    conflicting: list[str] = field(default_factory=list)
    twice: list[Written] = field(default_factory=list)
    """Images with two inspections."""
    premature: list[Delivery] = field(default_factory=list)
    """First deliveries about content that the camera had not finished, or never wrote."""
    false_passes: list[Written] = field(default_factory=list)
    differing: Counter[str] = field(default_factory=Counter)
    """Verdicts that are not the undisturbed one: ``pass -> review crashed``."""
    crashed: int = 0
    missing_seqs: int = 0
    ledgers: int = 0
    faults: dict[str, Row] = field(default_factory=dict)
    kinds: dict[str, Row] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """What must not be, in words; none: all is well."""
        found = {
            "images lost": len(self.lost),
            "conflicting contents": len(self.conflicting),
            "images inspected twice": len(self.twice),
            "false passes": len(self.false_passes),
            "sequence numbers that never arrived": self.missing_seqs,
        }
        return [f"{count} {what}" for what, count in found.items() if count]


class _Book:
    """Deliveries, sorted out."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.first: dict[str, Delivery] = {}
        self.duplicates: list[Delivery] = []
        self.conflicts: list[tuple[Delivery, str]] = []
        self.seqs: dict[str, dict[int, Delivery]] = defaultdict(dict)
        self.by_image: dict[tuple[str, str | None], list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            self._enter(delivery)

    def _enter(self, delivery: Delivery) -> None:
        known = self.first.get(delivery.id)
        numbered = self.seqs[delivery.ledger].setdefault(delivery.seq, delivery)
        if known and known.content != delivery.content:
            self.conflicts.append((delivery, f"id {delivery.id} ({delivery.path}) has two contents"))
        elif numbered.content != delivery.content:
            what = f"ledger {delivery.ledger} seq {delivery.seq} is {numbered.path} and {delivery.path}"
            self.conflicts.append((delivery, what))
        elif known:
            self.duplicates.append(delivery)
        if not known:
            self.first[delivery.id] = delivery
            self.by_image[delivery.path, delivery.sha256].append(delivery)

    def of(self, image: Written) -> list[Delivery]:
        """The inspections of an image, each by its first delivery; a file that could not be read has no hash."""
        return self.by_image[image.path, image.sha256] or self.by_image[image.path, None]


def missing(seqs: Sequence[int], last_seq: int) -> list[int]:
    """The sequence numbers from 1 to ``last_seq``, or to the highest there is, that are not there."""
    present = set(seqs)
    return [seq for seq in range(1, max(last_seq, *present, 0) + 1) if seq not in present]


def add_up(
    written: Sequence[Written],
    deliveries: Sequence[Delivery],
    injected: Sequence[Injected],
    last_seqs: dict[str, int] | None = None,
) -> Account:
    """The account of a run; ``last_seqs`` is the highest sequence number that each ledger told of."""
    book = _Book(deliveries)
    account = Account(
        images=sum(not image.is_superseded for image in written),
        verdicts=len(book.first),
        deliveries=len(deliveries),
        duplicates=len(book.duplicates),
        conflicting=[what for _, what in book.conflicts],
        ledgers=len(book.seqs),
    )
    for image in written:
        _add_image(account, image, book.of(image))
    known = {(image.path, image.sha256) for image in written} | {(image.path, None) for image in written}
    account.premature = [each for each in book.first.values() if (each.path, each.sha256) not in known]
    account.crashed = sum("crashed" in each.reasons for each in book.first.values())
    last_seqs = last_seqs or {}
    account.missing_seqs = sum(
        len(missing(list(book.seqs.get(ledger, ())), last_seqs.get(ledger, 0)))
        for ledger in {*book.seqs, *last_seqs}
    )
    _add_kinds(account, written, book)
    _add_faults(account, written, book, injected)
    return account


def _add_image(account: Account, image: Written, inspections: list[Delivery]) -> None:
    if not inspections and not image.is_superseded:
        account.lost.append(image)
    if len(inspections) > 1:
        account.twice.append(image)
    for each in inspections:
        if each.verdict == "pass" and image.expected != "pass":
            account.false_passes.append(image)
        if each.verdict != image.expected:
            account.differing[f"{image.expected} -> {each.verdict} {', '.join(each.reasons)}".strip()] += 1


def _add_kinds(account: Account, written: Sequence[Written], book: _Book) -> None:
    """The same figures for each way of writing."""
    for image in written:
        row = account.kinds.setdefault(image.kind, Row())
        row.times += 1
        row.images += not image.is_superseded
        inspections = book.of(image)
        row.verdicts += len(inspections)
        row.lost += not inspections and not image.is_superseded


def _add_faults(
    account: Account, written: Sequence[Written], book: _Book, injected: Sequence[Injected]
) -> None:
    """What falls between the beginning of a fault and its recovery counts for it; faults may overlap."""
    images = sorted(written, key=lambda image: image.at_s)
    times_s = [image.at_s for image in images]
    conflicts = [delivery for delivery, _ in book.conflicts]
    for fault in injected:
        row = account.faults.setdefault(fault.kind, Row())
        recovery_s = _recovery_s(fault, images, times_s, book)
        until_s = fault.end_s + recovery_s if recovery_s is not None else float("inf")
        during = images[bisect.bisect_left(times_s, fault.start_s) : bisect.bisect_right(times_s, until_s)]
        row.times += 1
        row.images += sum(not image.is_superseded for image in during)
        row.verdicts += sum(bool(book.of(image)) for image in during)
        row.lost += sum(not book.of(image) and not image.is_superseded for image in during)
        row.duplicates += sum(fault.start_s <= each.at_s <= until_s for each in book.duplicates)
        row.conflicting += sum(fault.start_s <= each.at_s <= until_s for each in conflicts)
        worst_s = row.worst_recovery_s
        row.worst_recovery_s = None if recovery_s is None or worst_s is None else max(worst_s, recovery_s)


def _recovery_s(
    fault: Injected, images: Sequence[Written], times_s: Sequence[float], book: _Book
) -> float | None:
    """From the end of the fault to the first verdict on an image written after it; 0 where none was written."""
    after = images[bisect.bisect_left(times_s, fault.end_s) :]
    if not after:
        return 0.0
    arrivals = (delivery.at_s for image in after for delivery in book.of(image))
    first_s = min(arrivals, default=None)
    return None if first_s is None else first_s - fault.end_s
