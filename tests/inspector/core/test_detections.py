"""Raw network output to detections."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.detections import Detections, decode, suppress
from inspector.core.geometry import Letterbox, intersection_over_union

SQUARE = Letterbox.fit(640, 640, 640, 640)


def output(*candidates: tuple[float, ...]) -> np.ndarray:
    """Network output of candidates (centre x, centre y, width, height, confidence of each class)."""
    return np.array(candidates, np.float32).T[None]


def decoded(raw: np.ndarray, letterbox: Letterbox = SQUARE, **options) -> Detections:
    return decode(raw, letterbox, **({"confidence": 0.05, "iou": 0.7, "max_detections": 300} | options))


@st.composite
def crowds(draw: st.DrawFn) -> np.ndarray:
    """Up to 40 boxes in a small space, so that many overlap."""
    corner = st.integers(0, 60)
    side = st.integers(1, 40)
    rows = draw(st.lists(st.tuples(corner, corner, side, side), min_size=1, max_size=40))
    left, top, width, height = np.array(rows, np.float32).T
    return np.stack([left, top, left + width, top + height], axis=1)


def test_boxes_are_corners_in_pixels_of_the_image() -> None:
    """A box in the padded input comes back in the image's own pixels, with its class and confidence."""
    letterbox = Letterbox.fit(320, 160, 640, 640)
    found = decoded(output((200, 300, 40, 80, 0.1, 0.9)), letterbox)
    assert found.boxes.tolist() == [[90, 50, 110, 90]]
    assert found.class_ids.tolist() == [1]
    assert found.confidences.tolist() == pytest.approx([0.9])


def test_detections_come_strongest_first_and_no_more_than_asked() -> None:
    """Whatever the network's order, the strongest lead, and the limit drops the weakest."""
    raw = output(*((100 * place, 50, 20, 20, place / 10) for place in (2, 5, 1, 4, 3)))
    assert decoded(raw).confidences.tolist() == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    assert decoded(raw, max_detections=2).confidences.tolist() == pytest.approx([0.5, 0.4])


@pytest.mark.parametrize(("confidence", "count"), [(0.2999, 1), (0.3, 1), (0.3001, 0)])
def test_a_detection_at_the_threshold_counts(confidence, count) -> None:
    """At the threshold is enough, below it is not."""
    assert len(decoded(output((50, 50, 20, 20, 0.3)), confidence=confidence)) == count


def test_no_detection_is_empty_and_of_the_right_shape() -> None:
    """Nothing found is N = 0, not None."""
    found = decoded(output((50, 50, 20, 20, 0.01)))
    assert len(found) == len(Detections.none()) == 0
    assert found.boxes.shape == Detections.none().boxes.shape == (0, 4)


def test_overlap_counts_within_a_class_only() -> None:
    """Of two boxes at one place the weaker goes if it is of the same class, and stays if it isn't."""
    same = output((50, 50, 20, 20, 0.9, 0), (51, 50, 20, 20, 0.8, 0))
    other = output((50, 50, 20, 20, 0.9, 0), (51, 50, 20, 20, 0, 0.8))
    assert decoded(same).confidences.tolist() == pytest.approx([0.9])
    assert decoded(other).class_ids.tolist() == [0, 1]


@given(crowds(), st.floats(0.05, 0.95))
def test_suppression_of_what_it_kept_keeps_all(boxes, iou) -> None:
    """No two that stay overlap by more than allowed; the first, the strongest, always stays."""
    kept = suppress(boxes, iou)
    assert kept[0] == 0
    assert (np.diff(kept) > 0).all()
    for place, one in enumerate(kept):
        others = boxes[kept[place + 1 :]]
        assert (intersection_over_union(boxes[one], others) <= iou + 1e-6).all()
    assert suppress(boxes[kept], iou).tolist() == list(range(len(kept)))


@given(crowds(), st.floats(0.05, 0.95))
def test_whatever_is_suppressed_overlaps_something_stronger_that_stays(boxes, iou) -> None:
    """No box goes without a reason."""
    kept = suppress(boxes, iou)
    for gone in set(range(len(boxes))) - set(kept.tolist()):
        stronger = boxes[kept[kept < gone]]
        assert (intersection_over_union(boxes[gone], stronger) > np.float32(iou) - 1e-6).any()


@given(crowds(), st.data())
def test_classes_are_suppressed_independently(boxes, data) -> None:
    """Deciding several classes at once keeps what deciding each alone keeps."""
    count = len(boxes)
    class_ids = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    confidences = np.zeros((count, 4), np.float32)
    confidences[np.arange(count), class_ids] = np.linspace(0.9, 0.1, count)
    centred = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
    raw = np.hstack([centred, confidences]).T[None]
    together = decoded(raw)
    for class_id in range(4):
        alone = (
            decoded(raw[:, :, class_ids == class_id]) if (class_ids == class_id).any() else Detections.none()
        )
        mine = together.where(together.class_ids == class_id)
        np.testing.assert_array_equal(mine.confidences, alone.confidences)
        np.testing.assert_array_equal(mine.boxes, alone.boxes)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 4], ids=["box", "confidence"])
def test_output_that_is_not_finite_is_no_empty_result(broken, row) -> None:
    """NaN is below every threshold: taken for no detection, it would pass a part that nobody looked at."""
    raw = output((50, 50, 20, 20, 0.9), (150, 50, 20, 20, 0.01))
    raw[0, row, 1] = broken
    with pytest.raises(ValueError, match="not finite"):
        decoded(raw)


def test_a_network_that_detects_everywhere_ends() -> None:
    """Thousands of candidates at one place become one detection."""
    raw = np.tile(output((50, 50, 20, 20, 0.9)), (1, 1, 8_400))
    assert len(decoded(raw)) == 1
