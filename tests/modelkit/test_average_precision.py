"""What is true and what it is worth, of cases that can be worked out by hand, and of any."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.core.detections import Detections
from modelkit.average_precision import Coco, MeanAveragePrecision
from modelkit.labels import LabelledBox

Seen = list[tuple[int, float, float, float, float, float]]
"""Class id, confidence, left, top, width, height."""


def found(*boxes: tuple[int, float, float, float, float, float]) -> Detections:
    """The most confident first, as the detector gives them."""
    rows = sorted(boxes, key=lambda box: -box[1])
    corners = [(left, top, left + width, top + height) for _, _, left, top, width, height in rows]
    return Detections(
        np.array(corners, np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int64),
    )


def label(left: float, top: float, width: float = 10, height: float = 10, class_id: int = 0) -> LabelledBox:
    return LabelledBox(class_id, left, top, width, height)


def mean(labelled: list[list[LabelledBox]], seen: list[Detections], classes: int = 1) -> MeanAveragePrecision:
    return Coco(labelled, seen, classes).mean(range(len(labelled)))


def test_a_false_one_between_two_true_ones() -> None:
    """Precision 1 at the 51 recalls up to 0.5, and 2 in 3 at the 50 above."""
    seen = found((0, 0.9, 0, 0, 10, 10), (0, 0.8, 50, 50, 10, 10), (0, 0.7, 20, 20, 10, 10))
    coco = Coco([[label(0, 0), label(20, 20)]], [seen], 1)
    assert coco.mean([0]).map50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert coco.true()[0].tolist() == [True, False, True]


def test_an_overlap_counts_up_to_its_own_iou() -> None:
    """10x6.25 within 10x10 is an IoU of 0.625: true at 0.5, 0.55 and 0.6, of ten."""
    coco = Coco([[label(0, 0)]], [found((0, 0.9, 0, 0, 10, 6.25))], 1)
    assert coco.mean([0]).map50 == pytest.approx(1)
    assert coco.mean([0]).map50_95 == pytest.approx(0.3)
    assert coco.true()[0].tolist() == [True]


def test_below_an_iou_of_a_half_nothing_is_true() -> None:
    coco = Coco([[label(0, 0)]], [found((0, 0.9, 0, 0, 10, 4.9))], 1)
    assert coco.mean([0]).map50 == 0
    assert not coco.true()[0].any()


def test_a_label_is_taken_once_by_the_most_confident() -> None:
    """The second detection of the same defect is false, though it lies better."""
    seen = found((0, 0.9, 0, 0, 10, 8), (0, 0.8, 0, 0, 10, 10))
    assert Coco([[label(0, 0)]], [seen], 1).true()[0].tolist() == [True, False]


def test_the_class_must_be_right() -> None:
    """Of two classes one is found, and the other is found where it is not: the mean is a half."""
    labelled = [[label(0, 0, class_id=0), label(30, 30, class_id=1)]]
    seen = [found((0, 0.9, 0, 0, 10, 10), (0, 0.8, 30, 30, 10, 10))]
    coco = Coco(labelled, seen, 2)
    assert coco.mean([0]).map50 == pytest.approx(0.5)
    assert coco.true()[0].tolist() == [True, False]


def test_true_ones_are_told_of_each_picture_and_class_in_order() -> None:
    """However the classes are mixed."""
    labelled = [[], [label(0, 0, class_id=1)], [label(0, 0, class_id=0), label(20, 0, class_id=1)]]
    seen = [
        found((1, 0.9, 0, 0, 10, 10)),
        found((0, 0.9, 0, 0, 10, 10), (1, 0.6, 0, 0, 10, 10), (0, 0.5, 40, 40, 10, 10)),
        found((1, 0.8, 20, 0, 10, 10), (0, 0.7, 0, 0, 10, 10), (1, 0.6, 0, 0, 10, 10)),
    ]
    assert [each.tolist() for each in Coco(labelled, seen, 2).true()] == [
        [False],
        [False, True, False],
        [True, True, False],
    ]


def test_a_class_of_which_none_is_labelled_does_not_count() -> None:
    seen = [found((0, 0.9, 0, 0, 10, 10), (1, 0.9, 30, 30, 10, 10))]
    assert mean([[label(0, 0)]], seen, classes=3).map50 == pytest.approx(1)


def test_of_no_label_there_is_no_mean() -> None:
    result = mean([[], []], [found((0, 0.9, 0, 0, 10, 10)), found()])
    assert math.isnan(result.map50)
    assert math.isnan(result.map50_95)


def test_more_than_a_hundred_detections_count() -> None:
    """As many as the detector returns; COCO's own limit is 100."""
    places = [(12.0 * (number % 15), 12.0 * (number // 15)) for number in range(150)]
    seen = found(*((0, 0.9, left, top, 10, 10) for left, top in places))
    assert mean([[label(left, top) for left, top in places]], [seen]).map50 == pytest.approx(1)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """pycocotools would: standard output is for one JSON object."""
    mean([[label(0, 0)]], [found()])
    assert capsys.readouterr() == ("", "")


boxes = st.tuples(
    st.integers(0, 1), *[st.integers(0, 60).map(float)] * 2, *[st.integers(1, 30).map(float)] * 2
)
pictures = st.lists(st.lists(boxes, max_size=4), min_size=1, max_size=4).filter(any)


def labels_of(drawn: list[list[tuple[int, float, float, float, float]]]) -> list[list[LabelledBox]]:
    return [[LabelledBox(*box) for box in each] for each in drawn]


def apart(drawn: list[list[tuple[int, float, float, float, float]]]) -> list[list[LabelledBox]]:
    """The same labels, each far from the others of its picture."""
    return [
        [
            LabelledBox(class_id, 100.0 * place, top, width, height)
            for place, (class_id, _, top, width, height) in enumerate(each)
        ]
        for each in drawn
    ]


def exactly(labelled: list[list[LabelledBox]], confidence: float = 0.9) -> list[Detections]:
    return [
        found(*((box.class_id, confidence, box.left, box.top, box.width, box.height) for box in each))
        for each in labelled
    ]


@settings(deadline=None, max_examples=50)
@given(pictures)
def test_finding_every_label_is_worth_1_and_finding_none_is_worth_0(drawn) -> None:
    labelled = apart(drawn)
    perfect = mean(labelled, exactly(labelled), 2)
    assert (perfect.map50, perfect.map50_95) == (pytest.approx(1), pytest.approx(1))
    nothing = mean(labelled, [found() for _ in labelled], 2)
    assert (nothing.map50, nothing.map50_95) == (0, 0)


@settings(deadline=None, max_examples=50)
@given(pictures, st.lists(st.tuples(boxes, st.floats(0.05, 1)), max_size=8))
def test_only_the_order_of_confidences_matters(drawn, extra) -> None:
    """Halving them all changes nothing."""
    labelled = labels_of(drawn)
    whole = [found(*((box[0], float(np.float32(c)), *box[1:]) for box, c in extra)) for _ in labelled]
    half = [Detections(each.boxes, each.confidences / 2, each.class_ids) for each in whole]
    assert mean(labelled, whole, 2) == mean(labelled, half, 2)


@settings(deadline=None, max_examples=50)
@given(pictures, st.data())
def test_a_picture_named_twice_counts_twice(drawn, data) -> None:
    """As if there were two of it; and one that is not named does not count."""
    labelled = labels_of(drawn)
    seen = [
        found(
            *(
                data.draw(
                    st.tuples(boxes, st.floats(0.05, 1)).map(
                        lambda drawn: (drawn[0][0], drawn[1], *drawn[0][1:])
                    )
                )
                for _ in range(2)
            )
        )
        for _ in labelled
    ]
    chosen = data.draw(st.lists(st.integers(0, len(labelled) - 1), min_size=1, max_size=6))
    by_name = Coco(labelled, seen, 2).mean(chosen)
    by_hand = mean([labelled[each] for each in chosen], [seen[each] for each in chosen], 2)
    for name in ("map50", "map50_95"):
        assert getattr(by_name, name) == pytest.approx(getattr(by_hand, name), nan_ok=True)
