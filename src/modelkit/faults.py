"""Labelled pictures -> what is wrong with them, and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from inspector.core.frame import FrameError
from inspector.core.geometry import Boxes, intersection_over_union
from modelkit.fingerprint import Fingerprint, take
from modelkit.labels import LabelledPicture
from modelkit.twins import LEAST_CORRELATION, Progress, Twins, twins

Code = Literal["missing", "unreadable", "class", "empty", "outside", "tiny", "repeated", "duplicate", "twins"]
Severity = Literal["error", "warning"]

LEAST_SIDE_PX = 4
OUTSIDE_PX = 1
"""By how much a box may stick out of its picture unreported: labels are rounded."""
SAME_BOX_IOU = 0.9

Seen = tuple[LabelledPicture, Fingerprint]

FIX: dict[Code, str] = {
    "missing": "put it there, or take it out of the labels",
    "unreadable": "replace it, or take it out of the labels",
    "class": "mend it, or give each class a name",
    "empty": "draw it anew, or take it out",
    "outside": "see whether the labels are this picture's; the box will be cut to the picture",
    "tiny": "see whether it is a slip of the hand",
    "repeated": "keep one of them",
    "duplicate": "keep one of them",
    "twins": "see whether they show one part, and if so give all its pictures one part name",
}


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is wrong with a picture; a dataset is written despite warnings, not despite errors."""

    severity: Severity
    code: Code
    picture: str
    """Its path."""
    detail: str
    fix: str
    others: tuple[str, ...] = ()
    """Paths of pictures that show the same."""


def find(
    pictures: Sequence[LabelledPicture],
    labels: Sequence[str],
    least_correlation: float = LEAST_CORRELATION,
    progress: Progress = lambda numbers, words: numbers,
) -> list[Fault]:
    """Everything that is wrong: with each picture, in their order, then among them.

    ``labels`` are the class names; pictures of different parts are twins from ``least_correlation`` on. Pictures that
    are missing or cannot be read are not compared with others.
    """
    faults: list[Fault] = []
    seen: list[Seen] = []
    for number in progress(range(len(pictures)), "reading pictures"):
        picture = pictures[number]
        try:
            seen.append((picture, take(picture.path)))
        except FileNotFoundError:
            faults.append(_fault("missing", picture, "there is no such picture"))
        except (OSError, FrameError) as error:
            faults.append(_fault("unreadable", picture, str(error)))
        else:
            faults += _box_faults(*seen[-1], len(labels))
    return [*faults, *_duplicates(seen), *_twins(seen, least_correlation, progress)]


def _fault(
    code: Code,
    picture: LabelledPicture,
    detail: str,
    others: Iterable[LabelledPicture] = (),
    severity: Severity = "error",
) -> Fault:
    paths = tuple(sorted(str(other.path) for other in others))
    return Fault(severity, code, str(picture.path), detail, FIX[code], paths)


def _box_faults(picture: LabelledPicture, fingerprint: Fingerprint, classes: int) -> Iterator[Fault]:
    for number, (box, class_id) in enumerate(zip(picture.boxes, picture.class_ids.tolist(), strict=True), 1):
        if class_id >= classes:
            yield _fault(
                "class", picture, f"box {number} is of class {class_id}, but there are {classes} classes"
            )
        if found := _box_fault(box, fingerprint.width, fingerprint.height):
            code, severity, detail = found
            yield _fault(code, picture, f"box {number} {detail}", severity=severity)
        same = np.flatnonzero(intersection_over_union(box, picture.boxes[: number - 1]) >= SAME_BOX_IOU)
        if len(same):
            yield _fault("repeated", picture, f"box {number} is box {same[0] + 1} again", severity="warning")


def _box_fault(box: Boxes, width: int, height: int) -> tuple[Code, Severity, str] | None:
    """What is wrong with where a box (4,) lies."""
    size = np.array([width, height])
    if not (box[:2] < box[2:]).all():
        return "empty", "error", "has no area"
    if (box[:2] >= size).any() or (box[2:] <= 0).any():
        return "outside", "error", f"lies outside the picture of {width}x{height}"
    excess = float(max(np.max(-box), np.max(box[2:] - size)))
    if excess > OUTSIDE_PX:
        return "outside", "warning", f"is {excess:.0f} px beyond the picture of {width}x{height}"
    sides = np.minimum(box[2:], size) - np.maximum(box[:2], 0)
    if sides.min() < LEAST_SIDE_PX:
        return "tiny", "warning", "is {:.1f}x{:.1f} px".format(*sides)
    return None


def _duplicates(seen: Sequence[Seen]) -> Iterator[Fault]:
    """Pictures that are the same to the pixel; an error where their parts or labels differ."""
    groups = defaultdict(list)
    for picture, fingerprint in seen:
        groups[fingerprint.pixels_sha256].append(picture)
    for first, *others in groups.values():
        different = [
            word
            for word, differs in (
                ("of another part", any(other.part != first.part for other in others)),
                ("labelled otherwise", any(not _are_alike(first, other) for other in others)),
            )
            if differs
        ]
        if others:
            names = ", ".join(sorted(str(other.path) for other in others))
            detail = " and ".join([f"has the pixels of {names}", *different])
            yield _fault("duplicate", first, detail, others, "error" if different else "warning")


def _are_alike(one: LabelledPicture, other: LabelledPicture) -> bool:
    return np.array_equal(one.boxes, other.boxes) and np.array_equal(one.class_ids, other.class_ids)


def _twins(seen: Sequence[Seen], least: float, progress: Progress) -> Iterator[Fault]:
    """Groups of parts that look like one: a fault each, told by the two pictures that are most alike."""
    pictures = [picture for picture, _ in seen]
    prints = [fingerprint for _, fingerprint in seen]
    pairs = twins([each.structure for each in prints], [each.part for each in pictures], least, progress)
    pairs = [pair for pair in pairs if prints[pair.first].pixels_sha256 != prints[pair.second].pixels_sha256]
    for group in _groups(pairs, pictures):
        alike = max(group, key=lambda pair: pair.correlation)
        first, second = pictures[alike.first], pictures[alike.second]
        numbers = {number for pair in group for number in (pair.first, pair.second)} - {alike.first}
        others = [pictures[number] for number in numbers]
        parts = len({first.part, *(other.part for other in others)})
        detail = (
            f"looks like {second.path} (correlation {alike.correlation:.2f}), but is of part {first.part}, the other "
            f"of {second.part}; {len(others) + 1} pictures of {parts} parts in all"
        )
        yield _fault("twins", first, detail, others, "warning")


def _groups(pairs: Sequence[Twins], pictures: Sequence[LabelledPicture]) -> list[list[Twins]]:
    """The pairs, those together whose parts are linked by others."""
    group_of: dict[str, list[Twins]] = {}
    for pair in pairs:
        parts = (pictures[pair.first].part, pictures[pair.second].part)
        one, other = (group_of.setdefault(part, []) for part in parts)
        if one is not other:
            one += other
            for part in [part for part, group in group_of.items() if group is other]:
                group_of[part] = one
        one.append(pair)
    return list({id(group): group for group in group_of.values()}.values())
