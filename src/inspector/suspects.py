"""Results whose publish failed, and which of them are themselves to blame.

1. A suspect is tried again alone, with nothing else under way.
2. One that fails alone right after another result got through is accused, and rests. When the next one gets through,
   the failure counts against the accused; if one that is no suspect fails first, the trouble is general, and nothing
   counts.
3. A broken connection proves nothing either way until there is a new one, which itself counts against a result that
   was alone when the connection broke.
4. Who failed ``STRIKES`` times in this way is convicted, and to be parked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from inspector.ports import Disconnected

STRIKES = 5
REST_S = 10.0
"""How long the accused is left alone, so that a bad moment does not count several times."""


@dataclass(slots=True)
class Suspect:
    """A result that failed: its last error, what counts against it, and when it may be tried again."""

    seq: int
    error: Exception
    due_s: float
    strikes: int = 0


class Suspects:
    """The suspects of one courier. Times are of its clock."""

    def __init__(self) -> None:
        self._suspects: dict[int, Suspect] = {}
        self._accused: Suspect | None = None

    def __contains__(self, seq: int) -> bool:
        return seq in self._suspects

    @property
    def has_accused(self) -> bool:
        """Whether the next outcome may count against a suspect."""
        return self._accused is not None

    def is_resting(self, seq: int, now_s: float) -> bool:
        """Whether it is too early to try a result again."""
        suspect = self._suspects.get(seq)
        return suspect is not None and now_s < suspect.due_s

    def due_s(self) -> Iterator[float]:
        """When each may be tried again."""
        return (each.due_s for each in self._suspects.values())

    def failed(self, seq: int, error: Exception, due_s: float) -> None:
        """A result failed, though not alone, or when others failed too."""
        if seq not in self._suspects and not isinstance(error, Disconnected):
            self._accused = None
        self._suspect(seq, error, due_s)

    def failed_alone(self, seq: int, error: Exception, now_s: float) -> None:
        """A suspect failed alone, right after another result got through: accuse it."""
        self._accused = self._suspect(seq, error, now_s + REST_S)

    def published(self, seqs: Iterable[int]) -> Suspect | None:
        """Results got through; return who is thereby convicted."""
        for seq in seqs:
            self.drop(seq)
        return self._convict()

    def reconnected(self) -> Suspect | None:
        """There is a new connection, and all but those with strikes may be tried; return who is convicted."""
        is_proof = self._accused is not None and isinstance(self._accused.error, Disconnected)
        convicted = self._convict() if is_proof else None
        self.release()
        return convicted

    def release(self) -> None:
        """Let all be tried again but those that something counts against."""
        for each in self._suspects.values():
            if not each.strikes and each is not self._accused:
                each.due_s = 0.0

    def drop(self, seq: int) -> None:
        """Nothing more is to be tried with a result."""
        suspect = self._suspects.pop(seq, None)
        if suspect is self._accused:
            self._accused = None

    def _suspect(self, seq: int, error: Exception, due_s: float) -> Suspect:
        suspect = self._suspects.setdefault(seq, Suspect(seq, error, due_s))
        suspect.error, suspect.due_s = error, due_s
        return suspect

    def _convict(self) -> Suspect | None:
        accused, self._accused = self._accused, None
        if accused is None:
            return None
        accused.strikes += 1
        return accused if accused.strikes >= STRIKES else None
