"""``model-status.json``: which model packages this device accepted or refused, and why; its JSON Schema is generated.

The inspector remembers by it across restarts, the model component's ``startup`` waits for it, and its ``install``
keeps what is in use.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from inspector.core.package import Precision

SCHEMA: Literal["edge-inspector/model-status/1"] = "edge-inspector/model-status/1"
MAX_EARLIER = 20
"""So many packages are remembered, the last ones."""
AGAIN = "none needed: it is tried again"
"""The fix of what may pass by itself."""


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What became of a package's trial."""

    verdict: Literal["accepted", "refused"]
    cause: str = ""
    """Why it is refused."""
    fix: str = ""
    """What to do."""
    is_passing: bool = False
    """Whether the cause may pass by itself, so that the same package is tried again."""
    precision: Precision | None = None
    """Which of its files runs."""
    milliseconds: dict[Precision, float] = {}
    """The least time for one picture, where it was measured."""
    note: str = ""
    """Why this precision, where there was a choice."""


class Tried(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package and what became of its trial."""

    path: str
    manifest_sha256: str | None
    """Null of a single ONNX file."""
    name: str | None
    version: str | None
    """Null where the manifest cannot be read."""
    outcome: Outcome
    at: str
    package: str
    """SHA-256 over manifest and signature; of a single file over what the file system says of it."""
    basis: str
    """SHA-256 over what the outcome depends on: the package, settings, processor, versions."""
    files: str
    """SHA-256 over sizes and times of its files: a refused package is tried anew once they change."""
    is_proven: bool = False
    """Whether it needs no probation: it has judged ProbationFrames, or there was no other."""


class Probation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model in use has not yet judged ProbationFrames."""

    boot: str | None
    """The machine's boot id while a process judges with it; null once that has ended in order."""


class ModelStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of the file."""

    schema: Literal["edge-inspector/model-status/1"] = SCHEMA
    at: str = ""
    model_directory: str = ""
    """Where the model is looked for."""
    link: str = ""
    """Inode and change time (ns) of what is found there under that very name: of a link, the link's own. So whoever
    has just moved the link knows whether this was written before."""
    deployed: Tried | None = None
    """What ModelDirectory leads to; null while it is being tried, and where there is nothing."""
    in_use: Tried | None = None
    """What judges; after a restart, what did."""
    before: Tried | None = None
    """What judged before it, and was proven."""
    probation: Probation | None = None
    earlier: tuple[Tried, ...] = ()

    def find(self, basis: str, files: str) -> Tried | None:
        """What is remembered of a package; nothing of a refused one whose files have changed."""
        known = (*(each for each in (self.before, self.in_use) if each), *self.earlier)
        for tried in reversed(known):
            is_same = tried.outcome.verdict == "accepted" or tried.files == files
            if tried.basis == basis and is_same:
                return tried
        return None

    def remembering(self, tried: Tried) -> ModelStatus:
        """With one more, in place of what is remembered of the same package."""
        others = [each for each in self.earlier if each.basis != tried.basis]
        return msgspec.structs.replace(self, earlier=(*others, tried)[-MAX_EARLIER:])
