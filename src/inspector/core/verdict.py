"""Detections -> Verdict: pass, fail or review, and the reasons to keep the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.core.detections import Detections
from inspector.core.frame import FailureCode
from inspector.core.package import Thresholds

VerdictName = Literal["pass", "fail", "review"]
Doubt = Literal["unusual_image", "repeated_frame"]
"""Why what a model finds in a picture does not speak for the part: the picture is unlike those that the model knows;
it is the camera's last one again."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Thresholds for every class, with exceptions by label."""

    default: Thresholds
    by_label: Mapping[str, Thresholds] = field(default_factory=dict)

    def bounds(self, class_ids: NDArray[np.int64], labels: tuple[str, ...]) -> NDArray[np.float32]:
        """(N, 2) float32: for each detection the floor and the accepting confidence of its class."""
        thresholds = [self.by_label.get(labels[class_id], self.default) for class_id in class_ids]
        rows = [(each.low_confidence, each.confidence) for each in thresholds]
        return np.array(rows, np.float32).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided about one part."""

    name: VerdictName
    reasons: tuple[str, ...]
    detections: Detections
    """Those at or above the floor of their class."""
    keep: tuple[str, ...]
    """Why to keep the image for relabelling: ``uncertain``, ``novel``, ``error``, ``audit``; empty: don't."""


def judge(
    raw: Detections,
    labels: tuple[str, ...],
    policy: Policy,
    *,
    doubts: tuple[Doubt, ...] = (),
    audited: bool = False,
) -> Verdict:
    """Decide: any detection at or above its accepting confidence fails the part; otherwise any at or above the
    floor, or any doubt about the picture, sends it to review; none of these passes it.

    The image is kept when any detection lies between the two, also beside one that fails the part, when it is
    unusual, and when ``audited`` says that this inspection is in the random sample of confident ones; one that was
    there before is not kept again.
    """
    bounds = policy.bounds(raw.class_ids, labels)
    above_floor = raw.confidences >= bounds[:, 0]
    accepted = raw.confidences >= bounds[:, 1]
    uncertain = bool((above_floor & ~accepted).any())
    name, reasons = _decide(bool(accepted.any()), uncertain, doubts)
    return Verdict(name, reasons, raw.where(above_floor), _keep(uncertain, doubts, audited))


def _decide(failed: bool, uncertain: bool, doubts: tuple[Doubt, ...]) -> tuple[VerdictName, tuple[str, ...]]:
    if failed:
        return "fail", ("defect", *doubts)
    reasons = ("uncertain", *doubts) if uncertain else doubts
    return ("review", reasons) if reasons else ("pass", ())


def _keep(uncertain: bool, doubts: tuple[Doubt, ...], audited: bool) -> tuple[str, ...]:
    if "repeated_frame" in doubts:
        return ()
    if uncertain:
        return ("uncertain",)
    if "unusual_image" in doubts:
        return ("novel",)
    return ("audit",) if audited else ()


def not_inspected(code: FailureCode) -> Verdict:
    """The verdict on a part that could not be inspected: review, never pass."""
    return Verdict("review", (code,), Detections.none(), ("error",))


def is_audited(inspection_id: str, share: float) -> bool:
    """Whether an inspection is in the random sample of ``share`` (0..1): its id, a hash, is the lot."""
    return int(inspection_id[:8], 16) < share * 2**32
