"""``inspector reconcile``: a ledger and the files beside it -> what does not add up.

1. Nothing is changed; a component may be at work in the same directory meanwhile.
2. The ledger is read first, in one transaction, then the files. What seems not to agree may only have happened in
   between, so both are read again, and only what is found both times counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from inspector.core import findings
from inspector.core.naming import legible
from inspector.core.reconciliation import Reconciliation, Unpublished
from inspector.core.reconciliation import reconcile as add_up
from inspector.shell.belongings import Progress, survey
from inspector.shell.books import BooksError, read_books

_SHOWN = 5
"""How many of a list the text shows."""


def reconcile(ledger: Path, directory: Path | None, *, as_json: bool) -> int:
    """Print what a ledger says and what does not add up; return 1 if anything, 2 if it cannot be read."""
    try:
        outcome = examine(ledger, directory, _count if sys.stderr.isatty() else lambda *_: None)
    except BooksError as error:
        print(f"inspector reconcile: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        fix = "see that it is there and that you may read it"
        print(f"inspector reconcile: {error.filename}: {error.strerror}; {fix}", file=sys.stderr)
        return 2
    print(msgspec.json.encode(outcome).decode() if as_json else "\n".join(_text(ledger, outcome)))
    return 0 if outcome.adds_up else 1


def _count(count: int, total: int) -> None:
    print(f"\r{count} of {total} kept images", end="\n" * (count == total), file=sys.stderr, flush=True)


def examine(
    ledger: Path,
    directory: Path | None = None,
    progress: Progress = lambda *_: None,
    between: Callable[[], object] = lambda: None,
) -> Reconciliation:
    """Reconcile a ledger with the files beside it; ``between`` is called when the one was read and not yet the other.

    Raises BooksError and OSError where something cannot be read.
    """
    books = read_books(ledger)
    between()
    files = survey(ledger.resolve().parent, directory, books, progress)
    found = findings.in_files(books, files)
    if found:
        books = read_books(ledger)
        files = survey(ledger.resolve().parent, directory, books, progress)
        doubts = {(each.kind, each.thing) for each in found}
        found = [each for each in findings.in_files(books, files) if (each.kind, each.thing) in doubts]
    return add_up(books, files, findings.in_books(books) + found)


def _text(ledger: Path, outcome: Reconciliation) -> Iterator[str]:
    yield f"ledger {outcome.ledger}, {legible(str(ledger))}"
    yield from _table(outcome)
    yield from _listed("waiting", [_publication(each) for each in outcome.waiting])
    yield from _listed("parked", [_publication(each) for each in outcome.parked])
    yield from _listed("unsettled", [f"seq {each.seq} {each.path}" for each in outcome.unsettled])
    yield from _listed("to come", outcome.to_come or ())
    yield from _listed("none of ours", outcome.foreign)
    if outcome.adds_up:
        yield "adds up"
        return
    yield f"{len(outcome.findings):,} that do not add up:"
    for finding in outcome.findings:
        yield f"  {finding.kind}: {finding.thing}: {finding.meaning}"


def _table(outcome: Reconciliation) -> Iterator[str]:
    yield _line("seen", _sum(outcome.seen, {"decided": outcome.decided, "under way": outcome.under_way}))
    decided = _sum(outcome.decided, {"in rows": outcome.rows, "trimmed": outcome.trimmed})
    sign = "=" if outcome.decided == outcome.last_seq else "≠"
    yield _line("decided", f"{decided} {sign} last seq {outcome.last_seq:,}")
    yield _line("verdicts", _sum(outcome.decided, outcome.verdicts))
    for name, target in outcome.targets.items():
        states = {"published": target.published, "waiting": target.waiting, "parked": target.parked}
        yield _line(name, _sum(target.queued, states))
    yield _line(
        "kept images", ", ".join(f"{count:,} {name}" for name, count in outcome.kept.items()) or "none"
    )


def _line(name: str, said: str) -> str:
    return f"  {name:12} {said}"


def _sum(total: int, parts: dict[str, int]) -> str:
    sign = "=" if total == sum(parts.values()) else "≠"
    return f"{total:,} {sign} " + " + ".join(f"{count:,} {name}" for name, count in parts.items())


def _listed(name: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{name}, {len(lines):,}:"
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  … and {len(lines) - _SHOWN:,} more (--json lists all)"


def _publication(each: Unpublished) -> str:
    why = f": {each.error}" if each.error else ""
    return f"{each.target} seq {each.seq} {each.path}, decided {each.since}{why}"
