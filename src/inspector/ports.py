"""What the pipeline and the courier ask of the shell, and the values that pass between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Literal, Protocol

from inspector.core.detections import Detections
from inspector.core.frame import FrameError, Identity, Pixels
from inspector.core.message import Latency, ModelInfo
from inspector.core.package import KnownImages, Thresholds

Target = Literal["topic", "iot_core"]
"""Where results are published: the local topic, AWS IoT Core."""


class Blocked(Exception):
    """Work cannot go on until something outside is mended: names the thing, the cause and the fix."""

    def __init__(self, thing: str, cause: object, fix: str) -> None:
        # Names of files may hold bytes that are not UTF-8; this goes into the log and the status message.
        super().__init__(f"{thing}: {cause}; {fix}".encode("utf-8", "backslashreplace").decode())


class LedgerBlocked(Blocked):
    """It is the ledger itself that cannot be read or written."""


class LedgerDamaged(LedgerBlocked):
    """The ledger's file holds something else than a ledger, or no whole one: it is set aside, and a new one begun."""


class ImageGoneError(Exception):
    """The file to keep was removed or overwritten by somebody else, or cannot be read."""


class Refused(Exception):
    """This publish will fail every time: it is parked until the configuration changes or a restart."""


class Denied(Exception):
    """This publish is not authorized: a policy is missing, or authorization itself is being restarted."""


class Unreachable(Exception):
    """This publish failed now and may succeed later."""


class Disconnected(Unreachable):
    """There is no connection, or it broke while this was under way."""


class Busy(Exception):
    """As much is under way to the target as it bears: there will be room in a moment."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A settled file that was not inspected yet."""

    path: str
    """Relative to the image directory."""
    source: Path
    """Where the file is now."""
    mtime_ns: int
    size_bytes: int
    captured_at: float
    """Seconds since the epoch."""
    occurrence: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A file that is ours, and its content; ``data`` is None where it is too large or, by ``fault``, unreadable."""

    identity: Identity
    source: Path
    captured_at: float
    data: bytes | None
    fault: FrameError | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger: one inspection, decided."""

    seq: int
    id: str
    path: str
    source: Path
    mtime_ns: int
    size_bytes: int
    keep: tuple[str, ...]
    message: bytes
    is_stored: bool
    """Whether the keeper has the image, where it is to be kept."""
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What the ledger is to record; it gives the sequence number, which goes into the message."""

    id: str
    claimed: Claimed
    verdict: str
    keep: tuple[str, ...]
    raw: bytes
    """The detections down to 0.05, as JSON."""
    compose: Callable[[int], bytes]
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is on record of an inspection that begins."""

    runs: int
    """How many runs of the process have begun it, this one included."""
    has_timed_out: bool
    """Whether a run ended because it hung over it."""


class Claims(Protocol):
    """Takes files for inspection, and has done with them after it."""

    def claim(self, candidate: Candidate, stop: Event) -> Claimed | None: ...

    def unclaimed(self, entry: Entry) -> Candidate | None: ...

    def settle(self, entry: Entry) -> bool: ...


class Detector(Protocol):
    """A loaded model."""

    info: ModelInfo
    labels: tuple[str, ...]
    thresholds: Thresholds | None
    known_images: KnownImages | None

    def detect(self, pixels: Pixels, *, iou: float, max_detections: int) -> tuple[Detections, Latency]: ...


class Keeper(Protocol):
    """Where images for relabelling go."""

    def keep(self, entry: Entry, raw: bytes, data: bytes | None) -> None: ...


class Ledger(Protocol):
    """What was seen, decided, published and kept.

    Every change survives the death of the process when its call returns; a verdict and an eviction also a power cut.
    """

    def last_seq(self) -> int: ...

    def attempt(self, inspection_id: str, claimed: Claimed) -> Attempt: ...

    def time_out(self, inspection_id: str) -> None: ...

    def find(self, inspection_id: str) -> Entry | None: ...

    def decide(self, decisions: Sequence[Decision], decided_at: float) -> list[Entry]: ...

    def raw(self, seq: int) -> bytes: ...

    def mark_stored(self, entry: Entry) -> None: ...

    def mark_evicted(self, ids: Iterable[str]) -> None: ...

    def mark_settled(self, entry: Entry, *, remains: bool) -> None: ...

    def waiting(
        self,
        target: Target,
        *,
        after: int,
        upto: int | None = None,
        limit: int = 1,
        was_published: bool = False,
    ) -> list[tuple[int, bytes]]: ...

    def mark_published(self, seqs: Sequence[int], target: Target) -> None: ...

    def park(self, seq: int, target: Target, error: str) -> None: ...


TIMEOUT_S = 10.0
"""How long a reply of Greengrass is waited for."""


class Publish(Protocol):
    """Sends one message to one target; raises Busy, and nothing is sent.

    The future ends with the reply: None, or Refused, Denied, Unreachable, or an error that only a restart mends.
    Who waits no longer cancels it.
    """

    def __call__(self, topic: str, payload: bytes) -> Future[None]: ...
