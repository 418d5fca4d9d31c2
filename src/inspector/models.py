"""The model in use, the one that is to follow it, and the one before it.

1. What ModelDirectory leads to is looked at every second. What is new there is prepared while the one in use goes on.
2. What became of a package is remembered in ``model-status.json``: none is tried again unless its files, the settings
   that it depends on, the processor or the versions that do the work have changed.
3. Where what ModelDirectory leads to is refused, the one in use stays; after a restart it is the last one accepted.
4. The one before, the last that proved itself, stays at hand until the new one has judged ProbationFrames. A process
   that dies meanwhile comes back with the one before; the machine's own restart does not count. The same package by
   other settings or on another processor is no new one, and one that has proved itself already needs no probation.
5. Nothing is in use whose signature the settings have not verified, or that another ModelDirectory led to.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import msgspec

from inspector.core.model_status import Outcome, Probation, Tried
from inspector.core.naming import rfc3339
from inspector.core.settings import Settings
from inspector.every import Every
from inspector.preparation import Preparation, Prepared, basis_of, trust_of
from inspector.shell import machine, model_status
from inspector.shell.detector import Detector
from inspector.shell.package import PackageError
from inspector.shell.sighting import Sighting, link_of, look, spelled
from inspector.trial import refused

log = logging.getLogger(__name__)

LOOK_S = 1.0
AGAIN_S = 60.0
"""How soon a package is tried again that something passing kept from being accepted; then, while another judges,
twice as long each time."""
MOST_AGAIN_S = 3_600.0
END_S = 3.0
"""How long a preparation may take to end when the process is told to."""
_ANOTHER = "deploy another version of the model; see the log for what it did"


class Models:
    """Of one work directory, which nobody else uses. Called from one thread."""

    def __init__(self, work: Path) -> None:
        self.refusal: PackageError | None = None
        """Why what ModelDirectory leads to is not in use."""
        self._work = work
        self._boot = machine.boot_id()
        self._status = self._written = model_status.recall(work)
        self._write_error = ""
        self._settings: Settings | None = None
        self._in_use: Prepared | None = None
        self._predecessor: Prepared | None = None
        self._preparation: Preparation | None = None
        self._is_for_predecessor = False
        """What is prepared is to be the predecessor."""
        self._look_every = Every(LOOK_S)
        self._again_s, self._again_after_s = 0.0, AGAIN_S
        self._return_from_the_dead()

    @property
    def in_use(self) -> Detector | None:
        """What judges, if anything can."""
        return self._in_use.detector if self._in_use else None

    @property
    def predecessor(self) -> Detector | None:
        """What judged before, while the one in use is on probation."""
        return self._predecessor.detector if self._predecessor else None

    @property
    def is_ready(self) -> bool:
        """Whether there is a model that may judge: one on probation waits for the one before."""
        return self._in_use is not None and not (self._status.probation and self._predecessor is None)

    @property
    def is_preparing(self) -> bool:
        """Whether a package is on its way."""
        return self._preparation is not None

    def follow(self, settings: Settings) -> bool:
        """Look after everything, without waiting for anything; whether the detectors are others than before."""
        before = self.in_use, self.predecessor
        self._adapt(settings)
        if self._preparation and (prepared := self._preparation.prepared):
            self._preparation = None
            self._conclude(prepared, settings)
            self._look_every.make_due()
        is_look_due = self._look_every.is_due()
        if is_look_due:
            self._look(settings)
        if is_look_due or not self._write_error:
            self._write()
        return (self.in_use, self.predecessor) != before

    def prove(self) -> None:
        """The model in use has judged ProbationFrames."""
        assert self._status.in_use
        log.info("model has proved itself", extra=describe(self.in_use))
        self._predecessor = None
        self._record_in_use(self._status.in_use, None)
        self._look_every.make_due()

    def give_up(self, cause: str) -> None:
        """The model in use failed on an image that the one before could judge, which is in use again."""
        assert self._in_use and self._predecessor
        failed, self._in_use, self._predecessor = self._in_use, self._predecessor, None
        self._condemn(failed.tried, f"it failed on an image that the one before it could judge: {cause}")
        self._look_every.make_due()

    def absolve(self) -> None:
        """Nothing judges any more: whatever ends the process from now on is not the doing of what is on probation."""
        if self._status.probation:
            self._change(probation=Probation(None))
        self._write()

    def cancel(self) -> None:
        """Prepare nothing any more; the process is about to end."""
        if self._preparation:
            self._preparation.cancel()

    def end(self) -> None:
        """The process ends in order."""
        self.absolve()
        self.cancel()
        if self._preparation:
            self._preparation.join(END_S)

    def _return_from_the_dead(self) -> None:
        """Refuse the model with which an earlier process died on probation, if there is another to go on with."""
        tried, before, probation = self._status.in_use, self._status.before, self._status.probation
        if tried and before and probation and probation.boot == self._boot and _is_there(before):
            self._condemn(tried, "the process died while it was on probation (ProbationFrames)")

    def _adapt(self, settings: Settings) -> None:
        """Let go of what the settings do not allow any more, and of what is prepared by others."""
        last, self._settings = self._settings, settings
        place = spelled(self._work / settings.model_directory)
        if self._status.model_directory != place:
            self._change(model_directory=place, deployed=None, in_use=None, before=None, probation=None)
            self._in_use = self._predecessor = None
        if last is None or last == settings:
            return
        if trust_of(last) != trust_of(settings):
            self._in_use = self._predecessor = None
        self._drop_preparation()
        self._look_every.make_due()

    def _drop_preparation(self) -> None:
        if self._preparation:
            self._preparation.cancel()
            self._preparation = None

    def _look(self, settings: Settings) -> None:
        """Take note of what ModelDirectory leads to, and prepare what is missing, that and nothing else."""
        place = self._work / settings.model_directory
        link, deployed, tried, self.refusal = link_of(place), None, None, None
        try:
            deployed = look(place)
            tried = self._remembered(deployed, settings)
            if tried and tried.outcome.verdict == "refused":
                raise PackageError(deployed.path, tried.outcome.cause, tried.outcome.fix)
        except PackageError as error:
            tried = tried or self._unreadable(place, error)
            self.refusal, deployed = error, None
        self._change(link=link, deployed=tried)
        wanted = self._wanted(deployed, settings)
        predecessor = None if wanted else self._wanted_before(settings)
        if (seen := wanted or predecessor) is None:
            self._drop_preparation()
        elif self._preparation is None or self._preparation.basis != basis_of(seen, settings):
            self._drop_preparation()
            self._is_for_predecessor = wanted is None
            self._begin(seen, settings)

    def _unreadable(self, place: Path, error: PackageError) -> Tried | None:
        """What is said of a package that lies there and of which not even the manifest can be read."""
        if not os.path.lexists(place):
            return None
        outcome, known = refused(error), self._status.deployed
        if known and known.outcome == outcome:
            return known
        return Tried(spelled(place), None, None, None, outcome, _now(), package="", basis="", files="")

    def _wanted(self, deployed: Sighting | None, settings: Settings) -> Sighting | None:
        """What is to be in use and is not."""
        candidates = [deployed] if deployed else [] if self._in_use else self._accepted(settings)
        for seen in candidates:
            if not self._in_use or self._in_use.tried.basis != basis_of(seen, settings):
                return seen
        return None

    def _wanted_before(self, settings: Settings) -> Sighting | None:
        """The package of the predecessor, where it is missing; without it there is no probation."""
        if not self._in_use or not self._status.probation or self._predecessor:
            return None
        seen = _seen(self._status.before) if self._status.before else None
        if seen and not self._is_refused(seen, settings):
            return seen
        self._change(probation=None)
        return None

    def _accepted(self, settings: Settings) -> list[Sighting]:
        """What was in use last, and before that, as far as it is there and not refused."""
        seen = [_seen(tried) for tried in (self._status.in_use, self._status.before) if tried]
        return [each for each in seen if each and not self._is_refused(each, settings)]

    def _begin(self, seen: Sighting, settings: Settings) -> None:
        known = self._remembered(seen, settings)
        if known is None:
            log.info("trying model", extra={"package": seen.path, "model_version": seen.version})
        self._preparation = Preparation(seen, settings, known)

    def _remembered(self, seen: Sighting, settings: Settings) -> Tried | None:
        """What became of a package; nothing where it is to be tried."""
        tried = self._status.find(basis_of(seen, settings), seen.files)
        is_due = tried and tried.outcome.is_passing and time.monotonic() >= self._again_s
        return None if is_due else tried

    def _is_refused(self, seen: Sighting, settings: Settings) -> bool:
        tried = self._remembered(seen, settings)
        return tried is not None and tried.outcome.verdict == "refused"

    def _conclude(self, prepared: Prepared, settings: Settings) -> None:
        if prepared.detector is None:
            self._refuse(prepared.tried)
        elif self._is_for_predecessor:
            self._predecessor = prepared
        else:
            self._take_up(prepared, settings)

    def _take_up(self, prepared: Prepared, settings: Settings) -> None:
        """From now on this one is in use; on probation if it is a new one, and there is another to go back to."""
        last, status, tried = self._in_use, self._status, prepared.tried
        if status.in_use and status.in_use.package != tried.package:
            before, predecessor = (
                (status.before, self._predecessor) if status.probation else (status.in_use, last)
            )
            if before and before.package == tried.package:  # back to it, from one that has not proved itself
                before = None
            is_tested = bool(before and settings.probation_frames and not tried.is_proven)
            self._predecessor = predecessor if is_tested else None
            self._change(before=before)
        else:
            is_tested = status.probation is not None
        self._record_in_use(tried, Probation(self._boot) if is_tested else None)
        self._in_use, self._again_after_s = prepared, AGAIN_S
        extra = {"note": tried.outcome.note} if tried.outcome.note else {}
        log.info("model changed" if last else "model loaded", extra=describe(self.in_use) | extra)

    def _record_in_use(self, tried: Tried, probation: Probation | None) -> None:
        """What is in use without probation is proven."""
        tried = msgspec.structs.replace(tried, is_proven=probation is None)
        self._status = self._status.remembering(tried)
        self._change(in_use=tried, probation=probation)

    def _condemn(self, tried: Tried, cause: str) -> None:
        """Refuse what was in use."""
        self._refuse(msgspec.structs.replace(tried, outcome=Outcome("refused", cause, _ANOTHER), at=_now()))

    def _refuse(self, tried: Tried) -> None:
        """Remember that it is refused, and go back to what was before where it was in use."""
        self._status = status = self._status.remembering(tried)
        if status.in_use and status.in_use.basis == tried.basis:
            self._change(in_use=status.before, before=None, probation=None)
        if tried.outcome.is_passing:
            self._again_s = time.monotonic() + self._again_after_s
            self._again_after_s = min(2 * self._again_after_s, MOST_AGAIN_S) if self._in_use else AGAIN_S
        extra = {"package": tried.path, "cause": tried.outcome.cause, "fix": tried.outcome.fix}
        log.error("model refused", extra=extra | {"in_use": describe(self.in_use).get("model_version")})

    def _change(self, **changes: object) -> None:
        self._status = msgspec.structs.replace(self._status, **changes)

    def _write(self) -> None:
        """Put on the disk what has changed; where that fails it is tried again at the next look."""
        if self._status == self._written:
            return
        self._change(at=_now())
        try:
            model_status.write(self._work, self._status)
        except OSError as error:
            if str(error) != self._write_error:
                fix = "make room, and let the component's user write there; until then a restart tries models anew"
                log.error("model status not written", extra={"cause": str(error), "fix": fix})
            self._write_error = str(error)
            return
        self._written, self._write_error = self._status, ""


def describe(detector: Detector | None) -> dict[str, str]:
    """A model, as the log tells it."""
    if detector is None:
        return {}
    info = detector.info
    return {"model": info.name, "model_version": info.version, "precision": info.precision}


def _seen(tried: Tried) -> Sighting | None:
    try:
        return look(Path(tried.path))
    except PackageError:
        return None


def _is_there(tried: Tried) -> bool:
    """Whether the same package still lies there."""
    seen = _seen(tried)
    return seen is not None and seen.identity == tried.package


def _now() -> str:
    return rfc3339(time.time())
