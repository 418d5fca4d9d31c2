"""Books and files -> Reconciliation: what was seen, decided, published and kept, and what of it does not add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from inspector.core.books import Arrival, Books, Files
from inspector.core.findings import Finding
from inspector.core.naming import legible, rfc3339


class Published(msgspec.Struct, frozen=True):
    """How far the results for one target are."""

    queued: int
    published: int
    waiting: int
    parked: int


class Unpublished(msgspec.Struct, frozen=True):
    """One result that waits, or is parked, and why."""

    target: str
    seq: int
    path: str
    since: str
    """When it was decided."""
    error: str | None


class Unsettled(msgspec.Struct, frozen=True):
    """One inspection that is decided, and whose file is still to be kept, archived, deleted or left."""

    seq: int
    path: str
    source: str


class Reconciliation(msgspec.Struct, frozen=True):
    """What ``--json`` prints."""

    adds_up: bool
    ledger: str
    seen: int
    decided: int
    under_way: int
    rows: int
    trimmed: int
    last_seq: int
    verdicts: dict[str, int]
    targets: dict[str, Published]
    kept: dict[str, int]
    """Images by state: ``stored``, ``evicted``, ``due``."""
    waiting: tuple[Unpublished, ...]
    parked: tuple[Unpublished, ...]
    unsettled: tuple[Unsettled, ...]
    to_come: tuple[str, ...] | None
    """Paths in the image directory that are not inspected; null without ``--directory``."""
    foreign: tuple[str, ...]
    """Files in ``kept`` and ``quarantine`` that are none of the inspector's."""
    findings: tuple[Finding, ...]


def reconcile(books: Books, files: Files, findings: Iterable[Finding]) -> Reconciliation:
    """Add up; ``findings`` are what was found not to."""
    trimmed = sum(last - first + 1 for first, last in books.trimmed)
    under_way = len({each.id for each in books.attempts})
    decided, found = len(books.rows) + trimmed, tuple(findings)
    return Reconciliation(
        adds_up=not found,
        ledger=books.id,
        seen=decided + under_way,
        decided=decided,
        under_way=under_way,
        rows=len(books.rows),
        trimmed=trimmed,
        last_seq=books.last_seq,
        verdicts=dict(books.verdicts),
        targets=_targets(books),
        kept=dict(Counter(row.image for row in books.rows if row.image != "none")),
        waiting=tuple(_unpublished(books, "waiting")),
        parked=tuple(_unpublished(books, "parked")),
        unsettled=tuple(
            Unsettled(row.seq, legible(row.path), legible(row.source))
            for row in books.rows
            if not row.is_settled
        ),
        to_come=None if files.arrivals is None else tuple(_to_come(books, files.arrivals)),
        foreign=tuple(map(legible, files.foreign)),
        findings=found,
    )


def _targets(books: Books) -> dict[str, Published]:
    queued = Counter(target for row in books.rows for target in row.targets)
    states = Counter((each.target, each.state) for each in books.outbox)
    return {
        name: Published(queued[name], *(states[name, state] for state in ("published", "waiting", "parked")))
        for name in sorted(queued.keys() | {target for target, _ in states})
    }


def _unpublished(books: Books, state: str) -> Iterator[Unpublished]:
    rows = {row.seq: row for row in books.rows}
    for each in books.outbox:
        if each.state == state and (row := rows.get(each.seq)):
            yield Unpublished(each.target, each.seq, legible(row.path), rfc3339(row.decided_at), each.error)


def _to_come(books: Books, arrivals: Iterable[Arrival]) -> Iterator[str]:
    """What is neither inspected, nor under way, nor decided and about to be settled."""
    decided = {(row.source, row.mtime_ns, row.size_bytes) for row in books.rows}
    begun = {attempt.source for attempt in books.attempts}
    for each in arrivals:
        version = (each.mtime_ns, each.size_bytes)
        is_left = (each.path, *version) in books.fingerprints and not each.is_claimed
        if not is_left and (each.source, *version) not in decided and each.source not in begun:
            yield legible(each.path)
