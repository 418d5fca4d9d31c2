"""A trial in a process of its own: a model that crashes, hangs or takes the memory takes nothing else with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

import inspector
from inspector.core.model_status import AGAIN, Outcome
from inspector.core.package import PrecisionChoice
from inspector.shell.package import Trust

LIMIT_S = 120
"""A trial that takes longer is ended."""
KILLED_S = 10
"""How long to wait for the end of one that was killed."""
_ITS_OWN_DOING = {
    signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS
}  # fmt: skip
_SECRET = ("SVCUID", "AWS_")
_ANOTHER = "package another model"


class Trial:
    """``inspector trial``, begun. ``outcome`` waits for its end; ``cancel``, from another thread, ends it."""

    def __init__(
        self, path: Path, choice: PrecisionChoice, threads: int, trust: Trust, limit_s: int = LIMIT_S
    ) -> None:
        self._limit_s = limit_s
        self._public_key = trust.public_key
        options = ["--precision", choice, "--threads", str(threads), "--in-background", str(limit_s)]
        options += ["--public-key", "-"] if trust.public_key else []
        options += ["--require-signature"] if trust.is_required else []
        command = [sys.executable, "-B", "-m", "inspector", "trial", os.fspath(path), *options]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # ``-m`` looks there first: among its own code, not where images arrive.
            cwd=Path(inspector.__file__).parents[1],
            env={name: value for name, value in os.environ.items() if not name.startswith(_SECRET)},
        )

    def outcome(self) -> Outcome:
        """How it ended."""
        try:
            output, errors = self._process.communicate(self._public_key.encode(), self._limit_s + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # what waits for a dead disk cannot be killed
                self._process.communicate(timeout=KILLED_S)
            return self._too_long()
        code = self._process.returncode
        if code < 0:
            return self._by_signal(signal.Signals(-code))
        try:
            return msgspec.json.decode(output, type=Outcome)
        except msgspec.DecodeError:
            last = errors.decode(errors="replace").strip().rpartition("\n")[2]
            return Outcome("refused", f"its trial ended with status {code}: {last}", AGAIN, is_passing=True)

    def cancel(self) -> None:
        """End it."""
        self._process.kill()

    def _by_signal(self, number: signal.Signals) -> Outcome:
        if number == signal.SIGALRM:
            return self._too_long()
        if number in _ITS_OWN_DOING:
            return Outcome("refused", f"it crashes the process that tries it ({number.name})", _ANOTHER)
        cause = f"the process that tried it was killed ({number.name}), perhaps for want of memory"
        return Outcome("refused", cause, AGAIN, is_passing=True)

    def _too_long(self) -> Outcome:
        return Outcome("refused", f"its trial takes longer than {self._limit_s} s", _ANOTHER)
