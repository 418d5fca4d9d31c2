"""Where the component can be cut off: the effects of one frame, and how the cuts get into it.

``EFFECTS`` is the one place that knows what they are called. A copy of the artifact gets ``planted.py`` as its
``sitecustomize.py``, which Python runs before the inspector; nothing of it ships.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from torture import planted

# Effect -> where it is, in the order in which they happen to a frame. "commit" is every COMMIT of the ledger.
EFFECTS = {
    "claim": "inspector.pipeline:Pipeline.claim",
    "attempt": "inspector.pipeline:Pipeline.attempt",
    "decode": "inspector.pipeline:Pipeline.decode",
    "judge": "inspector.pipeline:Pipeline.judge",
    "decide": "inspector.pipeline:Pipeline.decide",
    "commit": planted.COMMIT,
    "keep": "inspector.pipeline:Pipeline.keep",
    "mark stored": "inspector.shell.ledger:SqliteLedger.mark_stored",
    "settle": "inspector.pipeline:Pipeline.settle",
    "mark settled": "inspector.shell.ledger:SqliteLedger.mark_settled",
    "publish to topic": "inspector.shell.greengrass:Greengrass.publish_to_topic",
    "publish to IoT Core": "inspector.shell.greengrass:Greengrass.publish_to_iot_core",
    "mark published": "inspector.shell.ledger:SqliteLedger.mark_published",
}
CUTS = [f"{when} {effect}" for effect in EFFECTS for when in ("before", "after")]
_POLL_S = 0.02


class EffectsChangedError(Exception):
    """The inspector has other effects than ``EFFECTS`` tells."""


@dataclass(frozen=True, slots=True)
class Control:
    """The directory through which what is planted is told what to do."""

    directory: Path

    def prepare(self) -> None:
        """Write what the component reads when it starts."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / planted.EFFECTS).write_text(json.dumps(EFFECTS))
        (self.directory / planted.CLOCK).write_bytes(struct.pack("d", 0.0))

    def check(self) -> None:
        """Raise EffectsChangedError unless the component that runs found every effect in its place."""
        told = self.directory / planted.MISSING
        if not told.exists():
            raise EffectsChangedError(
                "what cuts the component never ran in it; does its recipe still pass PYTHONPATH?"
            )
        if missing := json.loads(told.read_text()):
            raise EffectsChangedError(
                f"the inspector no longer has {', '.join(missing)}; mend EFFECTS in {__file__}"
            )

    def cut(self, where: str, patience_s: float) -> bool:
        """Have the component kill itself there; whether it did before patience ended."""
        order, done = self.directory / planted.CUT, self.directory / planted.DONE
        done.unlink(missing_ok=True)
        temporary = order.with_suffix(".new")
        temporary.write_text(where)
        temporary.rename(order)
        deadline_s = time.monotonic() + patience_s
        while not done.exists() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
        order.unlink(missing_ok=True)
        return done.exists()

    def set_clock(self, offset_s: float) -> None:
        """Let the component's wall clock be off by so much, at once."""
        with (self.directory / planted.CLOCK).open("r+b") as file, mmap.mmap(file.fileno(), 8) as clock:
            clock[:] = struct.pack("d", offset_s)


def plant(archive: Path) -> None:
    """Add what cuts to the inspector's artifact."""
    with zipfile.ZipFile(archive, "a") as members:
        members.writestr("sitecustomize.py", Path(planted.__file__).read_bytes())


def environment(control: Control) -> dict[str, str]:
    """What the component must find in its environment."""
    return {planted.VARIABLE: os.fspath(control.directory)}
