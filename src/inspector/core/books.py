"""What a ledger says and what lies beside it, as values: the two sides that are reconciled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from inspector.core.message import Result


@dataclass(frozen=True, slots=True)
class Told:
    """What a result message says of its inspection."""

    id: str
    ledger: str
    seq: int
    verdict: str
    path: str
    """As in the message: legible, and shortened where it is long."""
    kept: tuple[str, ...]
    image_sha256: str | None
    digest: bytes
    """SHA-256 of the message itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """One inspection, decided."""

    seq: int
    id: str
    path: str
    source: str
    mtime_ns: int
    size_bytes: int
    verdict: str
    decided_at: float
    keep: tuple[str, ...]
    image: str
    """``none``, ``due``, ``stored`` or ``evicted``."""
    targets: tuple[str, ...]
    is_settled: bool
    told: Told | str
    """Its message; where that is none, why."""

    @property
    def place(self) -> str:
        """The directory that its image is kept in."""
        return "quarantine" if "error" in self.keep else "kept"


@dataclass(frozen=True, slots=True)
class Publication:
    """One result and one target."""

    target: str
    seq: int
    state: str
    """``waiting``, ``published`` or ``parked``."""
    error: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An inspection that was begun, from one place; another run may have found the file in another."""

    id: str
    path: str
    source: str
    """Empty: an earlier version did not put it on record."""


@dataclass(frozen=True, slots=True)
class Books:
    """A ledger at one moment."""

    id: str
    last_seq: int
    damages: tuple[str, ...]
    """What SQLite finds wrong with the file."""
    rows: tuple[Row, ...]
    outbox: tuple[Publication, ...]
    attempts: tuple[Attempt, ...]
    trimmed: tuple[tuple[int, int], ...]
    """First and last seq of ranges whose rows are gone, published and settled."""
    verdicts: Mapping[str, int]
    """How many were ever decided, by verdict."""
    fingerprints: frozenset[tuple[str, int, int]]
    """Path, mtime_ns and size of files that were left in place."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What stands beside a kept image."""

    id: str
    seq: int
    image: str
    told: Told | str


@dataclass(frozen=True, slots=True)
class Holding:
    """The files of one inspection in ``kept`` or ``quarantine``."""

    place: str
    id: str
    names: tuple[str, ...]
    sidecar: Sidecar | str | None
    """None: there is none; text: why it cannot be read."""
    image_sha256: str | None
    """None: the image that the sidecar names is not there."""
    image_bytes: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file in the image directory."""

    path: str
    """Relative to it; of a claimed file, the path that it had."""
    source: str
    mtime_ns: int
    size_bytes: int
    is_claimed: bool


@dataclass(frozen=True, slots=True)
class Files:
    """What lies beside a ledger at one moment, or shortly after it."""

    holdings: tuple[Holding, ...]
    foreign: tuple[str, ...]
    """Files in ``kept`` and ``quarantine`` that have no inspection's id for a name."""
    arrivals: tuple[Arrival, ...] | None
    """None: nobody said which the image directory is."""
    present: frozenset[str]
    """Which files of unfinished inspections are where the ledger says."""


def tell(message: bytes) -> Told | str:
    """What a message says, or why it is no result message."""
    try:
        result = msgspec.json.decode(message, type=Result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return str(error)
    return Told(
        result.id,
        result.ledger,
        result.seq,
        result.verdict,
        result.image.path,
        result.kept,
        result.image.sha256,
        hashlib.sha256(message).digest(),
    )
