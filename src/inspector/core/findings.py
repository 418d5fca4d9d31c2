"""What does not add up: in a ledger by itself, and between a ledger and the files beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inspector.core.books import Arrival, Books, Files, Holding, Row, Sidecar, Told
from inspector.core.naming import legible


@dataclass(frozen=True, slots=True)
class Finding:
    """One inconsistency; ``docs/reconcile.md`` says what to do about each kind."""

    kind: str
    thing: str
    meaning: str


def in_books(books: Books) -> list[Finding]:
    """What a ledger says that cannot be."""
    found = [Finding("damaged", "the ledger's file", each) for each in books.damages]
    found += _numbers(books)
    found += _names(books)
    for row in books.rows:
        found += _message(row, books.id)
        found += _states(row)
    found += _outbox(books)
    found += _verdicts(books)
    return found


def _numbers(books: Books) -> Iterator[Finding]:
    """Rows and trimmed ranges must cover 1 to last_seq, each number once."""
    ranges = sorted([(row.seq, row.seq) for row in books.rows] + list(books.trimmed))
    expected = 1
    for first, last in ranges:
        if first > expected:
            yield Finding(
                "gap", _span(expected, first - 1), "neither decided nor trimmed: no verdict is on record"
            )
        elif first < expected:
            meaning = "on record more than once, as rows or among what was trimmed"
            yield Finding("counted_twice", _span(first, min(last, expected - 1)), meaning)
        expected = max(expected, last + 1)
    if expected <= books.last_seq:
        yield Finding(
            "gap", _span(expected, books.last_seq), "neither decided nor trimmed: no verdict is on record"
        )
    elif expected > books.last_seq + 1:
        meaning = f"above the last number that was given out, {books.last_seq}"
        yield Finding("beyond_last_seq", _span(books.last_seq + 1, expected - 1), meaning)


def _span(first: int, last: int) -> str:
    return f"seq {first}" if first == last else f"seq {first} to {last}"


def _names(books: Books) -> Iterator[Finding]:
    counts = Counter(row.id for row in books.rows)
    for inspection_id, count in counts.items():
        if count > 1:
            yield Finding(
                "duplicate_id", f"id {inspection_id}", f"{count} rows have it: one image, two verdicts"
            )
    for inspection_id in {each.id for each in books.attempts} & counts.keys():
        yield Finding(
            "begun_and_decided", f"id {inspection_id}", "decided, and still among what is under way"
        )


def _message(row: Row, ledger: str) -> Iterator[Finding]:
    told = row.told
    if isinstance(told, str):
        yield Finding("bad_message", _name(row), f"its message is no result: {told}")
        return
    expected = (row.id, row.seq, ledger, row.verdict, legible(row.path), row.keep)
    actual = (told.id, told.seq, told.ledger, told.verdict, told.path, told.kept)
    names = ("id", "seq", "ledger", "verdict", "path", "kept")
    wrong = [
        f"{name} {said!r}, not {known!r}"
        for name, said, known in zip(names, actual, expected, strict=True)
        if said != known
    ]
    if wrong:
        yield Finding("message_disagrees", _name(row), f"its message says {', '.join(wrong)}")


def _states(row: Row) -> Iterator[Finding]:
    if row.image == "due" and row.is_settled:
        yield Finding("due_but_settled", _name(row), "its image was to be kept first, and its file is gone")
    if bool(row.keep) != (row.image != "none"):
        reasons = ",".join(row.keep) or "no reason"
        yield Finding("keep_disagrees", _name(row), f"its image is {row.image!r}, with {reasons} to keep it")


def _outbox(books: Books) -> Iterator[Finding]:
    """For each row and each of its targets there is one publication, and no other."""
    rows = {row.seq: row for row in books.rows}
    expected = {(row.seq, target) for row in books.rows for target in row.targets}
    actual = {(each.seq, each.target) for each in books.outbox}
    for seq, target in sorted(expected - actual):
        yield Finding(
            "not_queued", _name(rows[seq]), f"decided for {target}, and not in the outbox: never published"
        )
    for seq, target in sorted(actual - expected):
        if seq in rows:
            yield Finding(
                "queued_unasked", _name(rows[seq]), f"in the outbox for {target}, which it was not meant for"
            )
        else:
            yield Finding(
                "queued_unknown", f"seq {seq}", f"in the outbox for {target}, without an inspection"
            )


def _verdicts(books: Books) -> Iterator[Finding]:
    """The counters go back further than the rows: trimmed inspections count."""
    decided = len(books.rows) + sum(last - first + 1 for first, last in books.trimmed)
    total = sum(books.verdicts.values())
    if total != decided:
        yield Finding(
            "verdicts_disagree", "the counters of verdicts", f"{total} in all, of {decided} decided"
        )
        return
    for name, count in Counter(row.verdict for row in books.rows).items():
        if count > books.verdicts.get(name, 0):
            meaning = f"{books.verdicts.get(name, 0)}, but there are {count} rows"
            yield Finding("verdicts_disagree", f"the counter of {name}", meaning)


def in_files(books: Books, files: Files) -> list[Finding]:
    """What the ledger says of files, and they are not so, or the other way round."""
    found = list(_kept(books, files))
    if files.arrivals is not None:
        found += _arrivals(books, files, files.arrivals)
    return found


def _kept(books: Books, files: Files) -> Iterator[Finding]:
    holdings = {(each.place, each.id): each for each in files.holdings}
    rows = {row.id: row for row in books.rows}
    for row in books.rows:
        if row.image == "stored":
            yield from _stored(row, books.id, holdings.get((row.place, row.id)))
    for holding in files.holdings:
        of = rows.get(holding.id)
        if of and of.image == "evicted":
            meaning = f"evicted, but still in {holding.place}: {', '.join(holding.names)}"
            yield Finding("evicted_but_there", _name(of), meaning)
        elif of is None or of.image == "none" or of.place != holding.place:
            yield from _unclaimed(holding, books)


def _stored(row: Row, ledger: str, holding: Holding | None) -> Iterator[Finding]:
    if holding is None:
        yield Finding("kept_missing", _name(row), f"kept, but neither image nor sidecar is in {row.place}")
        return
    sidecar = holding.sidecar
    if isinstance(sidecar, Sidecar) and isinstance(sidecar.told, Told):
        if sidecar.told.ledger != ledger:  # inspected anew after this ledger was set aside
            return
        is_same = isinstance(row.told, Told) and sidecar.told.digest == row.told.digest
        if isinstance(row.told, Told) and (sidecar.id, sidecar.seq, is_same) != (row.id, row.seq, True):
            yield Finding(
                "sidecar_disagrees", _name(row), f"its sidecar tells of seq {sidecar.seq}, or otherwise"
            )
    yield from _whole(holding, _name(row), row.size_bytes)


def _whole(holding: Holding, name: str, size_bytes: int | None) -> Iterator[Finding]:
    """Image and sidecar are both there, and the image is the one that was inspected."""
    sidecar = holding.sidecar
    if sidecar is None:
        yield Finding("sidecar_missing", name, f"kept, but without sidecar in {holding.place}")
    elif isinstance(sidecar, str) or isinstance(sidecar.told, str):
        cause = sidecar if isinstance(sidecar, str) else sidecar.told
        yield Finding("sidecar_damaged", name, f"its sidecar cannot be read: {cause}")
    elif holding.image_sha256 is None:
        yield Finding("image_missing", name, f"its sidecar is in {holding.place}, its image is not")
    elif not _is_inspected(holding, sidecar.told, size_bytes):
        yield Finding("image_damaged", name, f"{holding.place}/{sidecar.image} is not what was inspected")


def _is_inspected(holding: Holding, told: Told | str, size_bytes: int | None) -> bool:
    """By its hash; what was too large to be read has none, and is told by its size."""
    if isinstance(told, Told) and told.image_sha256:
        return holding.image_sha256 == told.image_sha256
    return size_bytes in (None, holding.image_bytes)


def _unclaimed(holding: Holding, books: Books) -> Iterator[Finding]:
    """Files without a row: those of a trimmed one, or of another ledger, are in order."""
    name = f"{holding.place}/{holding.id}"
    sidecar = holding.sidecar
    told = sidecar.told if isinstance(sidecar, Sidecar) else None
    if isinstance(told, Told) and told.ledger != books.id:
        return
    if isinstance(told, Told) and any(first <= told.seq <= last for first, last in books.trimmed):
        yield from _whole(holding, name, None)
    else:
        yield Finding("orphan", name, f"the ledger knows of no such kept image: {', '.join(holding.names)}")


def _arrivals(books: Books, files: Files, arrivals: Iterable[Arrival]) -> Iterator[Finding]:
    settled = {row.source: row for row in books.rows if row.is_settled}
    for arrival in arrivals:
        row = settled.get(arrival.source) if arrival.is_claimed else None
        if row and (row.mtime_ns, row.size_bytes) == (arrival.mtime_ns, arrival.size_bytes):
            meaning = f"inspected and settled, but its file is still {legible(arrival.source)}"
            yield Finding("still_claimed", _name(row), meaning)
    yield from _lost(books, files)
    kept = {each.id for each in files.holdings if isinstance(each.sidecar, Sidecar)}
    for row in books.rows:
        is_to_be_kept = row.image == "due" and not row.is_settled
        if is_to_be_kept and row.source not in files.present and row.id not in kept:
            yield Finding("image_lost", _name(row), "to be kept, not yet kept, and its file is gone")


def _lost(books: Books, files: Files) -> Iterator[Finding]:
    """What was begun and is nowhere. A file that changed once it was claimed was decided as another inspection."""
    known = files.present | {row.source for row in books.rows} | {""}
    found = {attempt.id for attempt in books.attempts if attempt.source in known}
    for attempt in {each.id: each for each in books.attempts if each.id not in found}.values():
        meaning = "seen, never decided, and its file is gone: this part has no verdict"
        yield Finding("lost", f"id {attempt.id} ({legible(attempt.path)})", meaning)


def _name(row: Row) -> str:
    return f"seq {row.seq} ({legible(row.path)})"
