"""A package on its way into use: tried in a process of its own, unless it was before, then loaded in this one."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass

from inspector.core.model_status import AGAIN, Outcome, Tried
from inspector.core.naming import rfc3339
from inspector.core.settings import Settings
from inspector.shell import machine
from inspector.shell.detector import Detector, load
from inspector.shell.package import PackageError, Trust
from inspector.shell.sighting import Sighting, look, spelled
from inspector.shell.trial_process import Trial
from inspector.trial import refused


def trust_of(settings: Settings) -> Trust:
    """What the settings say of signatures."""
    return Trust(settings.public_key, settings.require_signature)


def basis_of(seen: Sighting, settings: Settings) -> str:
    """SHA-256 over what the outcome of a trial depends on."""
    wanted = [settings.precision, settings.inference_threads, settings.public_key, settings.require_signature]
    return hashlib.sha256(json.dumps([seen.identity, wanted, machine.describe()]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of it; with a detector, ready to judge, where it is accepted."""

    tried: Tried
    detector: Detector | None


class Preparation:
    """Begins at once, in a thread of its own; ``prepared`` tells how it ended.

    ``known`` is what was found out about an accepted package before: it is not tried again.
    """

    def __init__(self, seen: Sighting, settings: Settings, known: Tried | None) -> None:
        self.basis = basis_of(seen, settings)
        self._seen = seen
        self._settings = settings
        self._known = known
        self._trial: Trial | None = None
        self._is_cancelled = False
        self._lock = threading.Lock()
        self.prepared: Prepared | None = None
        self._thread = threading.Thread(target=self._prepare, name="prepare", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Have done with it soon, whatever comes of it."""
        with self._lock:
            self._is_cancelled = True
            if self._trial:
                self._trial.cancel()

    def join(self, timeout_s: float) -> None:
        """Wait until nothing of it runs."""
        self._thread.join(timeout_s)

    def _prepare(self) -> None:
        detector = None
        try:
            outcome = self._known.outcome if self._known else self._try()
            if outcome.precision and not self._is_cancelled:
                detector = self._load(outcome)
        except PackageError as error:
            outcome = refused(error)
        except Exception as error:  # noqa: BLE001  # the package's boundary: no package must end the process
            cause, fix = f"it cannot be prepared: {error!r}", AGAIN
            outcome = Outcome("refused", cause, fix, is_passing=True)
        self.prepared = Prepared(self._tried(outcome), detector)

    def _try(self) -> Outcome:
        """The outcome of a trial. Raises OSError where no process can be started."""
        settings = self._settings
        with self._lock:
            trust = trust_of(settings)
            self._trial = Trial(self._seen.path, settings.precision, settings.inference_threads, trust)
            if self._is_cancelled:
                self._trial.cancel()
        return self._trial.outcome()

    def _load(self, outcome: Outcome) -> Detector:
        """Raises PackageError, also where it is not what was tried any more."""
        seen, settings = self._seen, self._settings
        assert outcome.precision
        trust = trust_of(settings)
        detector = load(
            seen.path, precision=outcome.precision, threads=settings.inference_threads, trust=trust
        )
        if look(seen.path).identity != seen.identity:
            raise PackageError(seen.path, "it changed while it was tried", AGAIN, is_passing=True)
        return detector

    def _tried(self, outcome: Outcome) -> Tried:
        seen = self._seen
        return Tried(
            path=spelled(seen.path),
            manifest_sha256=seen.manifest_sha256,
            name=seen.name,
            version=seen.version,
            outcome=outcome,
            at=rfc3339(time.time()),
            package=seen.identity,
            basis=self.basis,
            files=seen.files,
            is_proven=self._known is not None and self._known.is_proven,
        )
