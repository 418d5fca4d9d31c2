"""Candidates -> the golden pictures of a package: on each of them every model file decides clearly, and all alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from inspector.core.golden import verdict_on
from inspector.core.package import Golden, GoldenDetection, Precision, Thresholds
from inspector.core.verdict import VerdictName
from inspector.shell.detector import Detector
from modelkit.golden import LIGHTS, GoldenError, Picture, expect, find, tells_channels_apart, under_light

PER_VERDICT = 2
"""So many pictures of each verdict are taken; one under coloured light comes on top."""
REASONS_SHOWN = 10
_NEEDED: dict[VerdictName, str] = {
    "pass": "a model that finds defects everywhere",
    "fail": "one that finds none",
}

Models = Mapping[Precision, Detector]


@dataclass(frozen=True, slots=True)
class Clear:
    """A picture on which every model file decides clearly, and all alike."""

    picture: Picture
    verdict: VerdictName
    expected: Mapping[Precision, tuple[GoldenDetection, ...]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What became of the candidates."""

    taken: tuple[Clear, ...]
    """Those that pass first, the one under coloured light last."""
    unfit: Mapping[str, str]
    """Name -> why it cannot be golden. Once there are enough others, the rest is not looked at."""

    def golden(self, precision: Precision) -> tuple[Golden, ...]:
        """As the manifest has them for a model file."""
        return tuple(
            Golden(each.picture.name, each.picture.sha256, each.expected[precision]) for each in self.taken
        )


def choose(models: Models, candidates: Iterable[Picture], thresholds: Thresholds) -> Choice:
    """Take the first candidates of each verdict that are clear, and a copy of one of them under coloured light.

    Raises GoldenError where no candidate passes, none fails, or none tells red from blue.
    """
    taken: dict[VerdictName, list[Clear]] = {"pass": [], "fail": [], "review": []}
    unfit: dict[str, str] = {}
    for picture in candidates:
        try:
            _require_other(picture, [each.picture for clear in taken.values() for each in clear])
            clear = weigh(models, picture, thresholds)
        except GoldenError as error:
            unfit[picture.name] = str(error)
            continue
        taken[clear.verdict].append(clear)
        if all(len(each) >= PER_VERDICT for each in taken.values()):
            break
    _require_enough(taken, unfit)
    chosen = [each for clear in taken.values() for each in clear[:PER_VERDICT]]
    others = [each for clear in taken.values() for each in clear[PER_VERDICT:]]
    return Choice((*chosen, _under_coloured_light(models, [*chosen, *others], thresholds)), unfit)


def weigh(models: Models, picture: Picture, thresholds: Thresholds) -> Clear:
    """What every model file finds in a picture. Raises GoldenError where that is too close to call or differs."""
    found = {precision: find(model, picture, thresholds) for precision, model in models.items()}
    verdicts = {
        precision: verdict_on(found[precision], model.labels, thresholds)
        for precision, model in models.items()
    }
    first, *others = verdicts.values()
    if any(other != first for other in others):
        raise GoldenError(" but ".join(f"{precision} says {said}" for precision, said in verdicts.items()))
    return Clear(picture, first, {precision: expect(each) for precision, each in found.items()})


def _require_other(picture: Picture, taken: Sequence[Picture]) -> None:
    if picture.name in LIGHTS:
        raise GoldenError("a copy under coloured light, which is made anew, has this name")
    for each in taken:
        if each.content == picture.content:
            raise GoldenError(f"it is {each.name} again")
        if each.name == picture.name:
            raise GoldenError("another picture has this name; rename it")


def _require_enough(taken: Mapping[VerdictName, Sequence[Clear]], unfit: Mapping[str, str]) -> None:
    for verdict, mistaken in _NEEDED.items():
        if not taken[verdict]:
            raise _shortage(
                f"no golden picture has the verdict {verdict}, to tell {mistaken}; give more",
                [f"{name}: {why}" for name, why in unfit.items()],
            )


def _under_coloured_light(models: Models, clear: Sequence[Clear], thresholds: Thresholds) -> Clear:
    """The first copy by which every model file shows that it takes red for blue."""
    reasons = []
    for each in clear:
        for light in LIGHTS:
            try:
                lit = weigh(models, under_light(each.picture, light), thresholds)
                _require_eyes(models, lit, thresholds)
            except GoldenError as error:
                reasons.append(f"{each.picture.name} as {light}: {error}")
            else:
                return lit
    raise _shortage("no golden picture tells red from blue; give more, or pictures in colour", reasons)


def _require_eyes(models: Models, lit: Clear, thresholds: Thresholds) -> None:
    for precision, model in models.items():
        expected = lit.expected[precision]
        if not tells_channels_apart(model, lit.picture, expected, thresholds.low_confidence):
            raise GoldenError(f"{precision} finds the same with red for blue")


def _shortage(what: str, reasons: Sequence[str]) -> GoldenError:
    more = [f"and {len(reasons) - REASONS_SHOWN} more"] if len(reasons) > REASONS_SHOWN else []
    return GoldenError("\n  ".join([what, *reasons[:REASONS_SHOWN], *more]))
