"""Detections to pass, fail or review, and whether to keep the image."""

import hashlib

import numpy as np
import pytest

from inspector.core.detections import Detections
from inspector.core.package import Thresholds
from inspector.core.verdict import Policy, is_audited, judge, not_inspected

LABELS = ("scratch", "dent")
POLICY = Policy(Thresholds(confidence=0.7, low_confidence=0.3))
BY_CLASS = Policy(POLICY.default, {"dent": Thresholds(confidence=0.9, low_confidence=0.6)})


def found(*detections: float | tuple[float, int]) -> Detections:
    """Detections of the given confidences, each a scratch unless its class is given."""
    pairs = [each if isinstance(each, tuple) else (each, 0) for each in detections]
    boxes = np.tile(np.array([[1, 2, 3, 4]], np.float32), (len(pairs), 1))
    confidences = np.array([confidence for confidence, _ in pairs], np.float32)
    return Detections(boxes, confidences, np.array([class_id for _, class_id in pairs], np.int64))


@pytest.mark.parametrize(
    ("detections", "name", "reasons", "keep", "reported"),
    [
        ((), "pass", (), (), 0),
        ((0.29, 0.06), "pass", (), (), 0),
        ((0.3,), "review", ("uncertain",), ("uncertain",), 1),
        ((0.69,), "review", ("uncertain",), ("uncertain",), 1),
        ((0.7,), "fail", ("defect",), (), 1),
        ((0.95, 0.1), "fail", ("defect",), (), 1),
        ((0.71, 0.5, 0.5, 0.5), "fail", ("defect",), ("uncertain",), 4),
        ((0.71, 0.29), "fail", ("defect",), (), 1),
    ],
)
def test_the_decision_table(detections, name, reasons, keep, reported) -> None:
    """Accepting or above fails, floor or above is reviewed, else it passes; any doubtful box keeps the image, also
    one at 0.5 beside another at 0.71 that fails the part."""
    verdict = judge(found(*detections), LABELS, POLICY)
    assert (verdict.name, verdict.reasons, verdict.keep) == (name, reasons, keep)
    assert len(verdict.detections) == reported


@pytest.mark.parametrize(
    ("detections", "name", "keep"),
    [
        (((0.5, 1),), "pass", ()),
        (((0.6, 1),), "review", ("uncertain",)),
        (((0.89, 1),), "review", ("uncertain",)),
        (((0.9, 1),), "fail", ()),
        (((0.75, 0),), "fail", ()),
        (((0.8, 1), (0.75, 0)), "fail", ("uncertain",)),
        (((0.5, 1), (0.2, 0)), "pass", ()),
    ],
)
def test_a_class_may_have_thresholds_of_its_own(detections, name, keep) -> None:
    """A dent is judged by a dent's thresholds, a scratch beside it by everyone's."""
    verdict = judge(found(*detections), LABELS, BY_CLASS)
    assert (verdict.name, verdict.keep) == (name, keep)


@pytest.mark.parametrize(
    ("detections", "keep"), [((), ("audit",)), ((0.9,), ("audit",)), ((0.5,), ("uncertain",))]
)
def test_the_audit_keeps_confident_verdicts(detections, keep) -> None:
    """An audited pass or fail is kept for that; what is kept as uncertain is no random sample."""
    assert judge(found(*detections), LABELS, POLICY, audited=True).keep == keep


UNUSUAL, REPEATED = ("unusual_image",), ("repeated_frame",)


@pytest.mark.parametrize(
    ("detections", "doubts", "name", "reasons", "keep"),
    [
        ((), UNUSUAL, "review", UNUSUAL, ("novel",)),
        ((0.1,), UNUSUAL, "review", UNUSUAL, ("novel",)),
        ((0.5,), UNUSUAL, "review", ("uncertain", *UNUSUAL), ("uncertain",)),
        ((0.9,), UNUSUAL, "fail", ("defect", *UNUSUAL), ("novel",)),
        ((0.9, 0.5), UNUSUAL, "fail", ("defect", *UNUSUAL), ("uncertain",)),
        ((), REPEATED, "review", REPEATED, ()),
        ((0.5,), REPEATED, "review", ("uncertain", *REPEATED), ()),
        ((0.9,), REPEATED, "fail", ("defect", *REPEATED), ()),
        ((), UNUSUAL + REPEATED, "review", UNUSUAL + REPEATED, ()),
        ((0.9,), UNUSUAL + REPEATED, "fail", ("defect", *UNUSUAL, *REPEATED), ()),
    ],
)
@pytest.mark.parametrize("audited", [False, True])
def test_a_picture_in_doubt_never_passes(detections, doubts, name, reasons, keep, audited) -> None:
    """It is a review, or still a fail, with the doubt among the reasons; an unusual one is kept, a repeated one was
    already, and neither is in the random sample."""
    verdict = judge(found(*detections), LABELS, POLICY, doubts=doubts, audited=audited)
    assert (verdict.name, verdict.reasons, verdict.keep) == (name, reasons, keep)
    assert len(verdict.detections) == sum(confidence >= 0.3 for confidence in detections)


@pytest.mark.parametrize("code", ["unreadable", "unsupported", "too_large", "inference_error", "crashed"])
def test_what_was_not_inspected_is_never_a_pass(code) -> None:
    """It is a review with its code, and its image is kept."""
    verdict = not_inspected(code)
    assert (verdict.name, verdict.reasons, verdict.keep) == ("review", (code,), ("error",))
    assert len(verdict.detections) == 0


def ids(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(count)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_audit_is_about_the_share_asked_for_and_always_the_same(share) -> None:
    """Of many inspections about that share is drawn, the same ones each time."""
    drawn = [is_audited(each, share) for each in ids(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(share, rel=0.2)
    assert drawn == [is_audited(each, share) for each in ids(20_000)]


def test_a_larger_share_draws_more_of_the_same() -> None:
    """None is drawn at 0, all are at 1, and whoever is drawn stays drawn as the share grows."""
    everyone = ids(2_000)
    assert not any(is_audited(each, 0.0) for each in [*everyone, "0" * 32])
    assert all(is_audited(each, 1.0) for each in [*everyone, "f" * 32])
    assert {each for each in everyone if is_audited(each, 0.1)} < {
        each for each in everyone if is_audited(each, 0.3)
    }
