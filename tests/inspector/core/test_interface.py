"""What goes into a network and what comes out, plain and cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.core.detections import decode
from inspector.core.geometry import Letterbox
from inspector.core.interface import Cut, Plain

FLOOR = 0.05
Logits = tuple[NDArray[np.float32], NDArray[np.float32]]


def plain_output(
    cut: Cut, distances: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the plain export puts out, anchor by anchor, in 64 bits: Ultralytics' head, written down in loops."""
    columns = []
    for stride in (8, 16, 32):
        for row in range(cut.height // stride):
            for column in range(cut.width // stride):
                index = len(columns)
                logits = distances[0, :, index].astype(np.float64).reshape(4, 16)
                shares = np.exp(logits - logits.max(axis=1, keepdims=True))
                left, top, right, bottom = (shares / shares.sum(axis=1, keepdims=True)) @ np.arange(16)
                x, y = column + 0.5, row + 0.5
                box = ((x - left + x + right) / 2, (y - top + y + bottom) / 2, left + right, top + bottom)
                confidences = 1 / (1 + np.exp(-scores[0, :, index].astype(np.float64)))
                columns.append([*(stride * side for side in box), *confidences])
    return np.array(columns, np.float32).T[None]


def logits(cut: Cut, seed: int) -> Logits:
    """Of any strength: some seeds leave nothing above the floor, some almost everything.

    Scores are coarse, so that two confidences are equal or clearly apart, and each clearly above or below a floor.
    """
    rng = np.random.default_rng(seed)
    of_distances, of_scores = cut.output_shapes
    scores = rng.normal(rng.uniform(-6, 1), rng.uniform(0.1, 4), of_scores)
    return (
        rng.normal(0, rng.uniform(0.1, 8), of_distances).astype(np.float32),
        np.float32(np.clip(np.round(scores * 64), -640, 640) / 64),
    )


cuts = st.builds(Cut, st.integers(1, 7), st.sampled_from([32, 64]), st.sampled_from([32, 96]))


@settings(deadline=None)
@given(cuts, st.integers(0, 2**32), st.sampled_from([FLOOR, 0.25, 0.5]))
def test_a_cut_network_gives_the_detections_of_the_plain_export(
    cut: Cut, seed: int, confidence: float
) -> None:
    """Of the same logits come the same detections: as many, of the same classes, at the same place, as sure."""
    given_logits = logits(cut, seed)
    letterbox = Letterbox.fit(450, 300, cut.width, cut.height)
    limits = {"confidence": confidence, "iou": 0.7, "max_detections": 300}
    found = decode(cut.read(given_logits, confidence), letterbox, **limits)
    wanted = decode(plain_output(cut, *given_logits), letterbox, **limits)
    np.testing.assert_array_equal(found.class_ids, wanted.class_ids)
    np.testing.assert_allclose(found.confidences, wanted.confidences, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.boxes, wanted.boxes, rtol=0, atol=1e-3)


def quiet(cut: Cut) -> Logits:
    """Logits of a picture without a defect."""
    distances, scores = (np.zeros(shape, np.float32) for shape in cut.output_shapes)
    return distances, scores - 10


def test_an_anchor_is_the_centre_of_its_cell_and_sides_are_counted_in_strides() -> None:
    """The second grid's third row, fourth column; left, top, right and bottom 1, 2, 3 and 4 strides of 16 away."""
    cut = Cut(2, 64, 96)
    distances, scores = quiet(cut)
    anchor = 8 * 12 + 2 * 6 + 3
    for side, away in enumerate((1, 2, 3, 4)):
        distances[0, 16 * side + away, anchor] = 200
    scores[0, 1, anchor] = 0
    output = cut.read((distances, scores), FLOOR)
    x, y = 3.5 * 16, 2.5 * 16
    left, top, right, bottom = x - 16, y - 32, x + 48, y + 64
    expected = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top, 0, 0.5]
    np.testing.assert_allclose(output[0].T, [expected], atol=1e-4)


@pytest.mark.parametrize("shift", [-1e-5, 1e-5])
def test_it_is_its_confidence_that_a_detection_is_dropped_for(shift: float) -> None:
    """A logit at the floor is kept or dropped as the confidence that becomes of it, by ``decode`` alone."""
    cut = Cut(1, 32, 32)
    distances, scores = quiet(cut)
    scores[0, 0, 5] = np.log(FLOOR / (1 - FLOOR)) + shift
    output = cut.read((distances, scores), FLOOR)
    assert output.shape == (1, 5, 1)
    letterbox = Letterbox.fit(32, 32, 32, 32)
    found = decode(output, letterbox, confidence=FLOOR, iou=0.7, max_detections=300)
    assert len(found) == (output[0, 4, 0] >= np.float32(FLOOR)) == (shift > 0)


def test_nothing_above_the_floor_is_no_detection() -> None:
    """An empty picture gives an output without anchors, and that no detection."""
    output = Cut(3, 64, 64).read(quiet(Cut(3, 64, 64)), FLOOR)
    assert output.shape == (1, 7, 0)
    found = decode(output, Letterbox.fit(9, 9, 64, 64), confidence=FLOOR, iou=0.7, max_detections=300)
    assert len(found) == 0


def test_every_anchor_is_decoded_where_all_are_wanted() -> None:
    """Those too that no number above 0 can tell from 0."""
    cut = Cut(1, 32, 32)
    distances, scores = quiet(cut)
    output = cut.read((distances, scores - 1e6), 0.0)
    assert output.shape == (1, 5, 21)
    np.testing.assert_allclose(output, plain_output(cut, distances, scores), atol=1e-4)


def test_logits_of_any_size_are_numbers() -> None:
    """Neither a class that is out of the question nor a side that is certain overflows."""
    cut = Cut(2, 32, 32)
    distances, scores = quiet(cut)
    distances[0, ::16] = 1e30
    scores[0, 0], scores[0, 1] = 1e30, -1e30
    output = cut.read((distances, scores), FLOOR)
    assert np.isfinite(output).all()
    assert (output[0, 4] == 1).all() and (output[0, 5] == 0).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tensor", [0, 1], ids=["distances", "scores"])
@pytest.mark.parametrize("anchor", [0, 5, -1])
def test_output_that_is_not_finite_is_no_empty_result(broken: float, tensor: int, anchor: int) -> None:
    """Not at an anchor that shows nothing either: NaN reaches no floor, so a part that nobody saw would pass."""
    cut = Cut(2, 32, 32)
    outputs = quiet(cut)
    outputs[1][0, 1, 5] = 2
    outputs[tensor][0, 1, anchor] = broken
    with pytest.raises(ValueError, match="not finite"):
        cut.read(outputs, FLOOR)


def test_a_cut_network_takes_the_canvas_as_it_is() -> None:
    """Not a byte is touched."""
    canvas = np.zeros((1, 32, 64, 3), np.uint8)
    assert Cut(1, 32, 64).fill(canvas) is canvas
    assert Cut(1, 32, 64).input_shape == canvas.shape


def test_a_plain_network_takes_rgb_planes_and_gives_what_is_decoded() -> None:
    """What Ultralytics exports needs no reading."""
    plain = Plain(1, 32, 64)
    assert plain.fill(np.zeros((1, 32, 64, 3), np.uint8)).shape == plain.input_shape == (1, 3, 32, 64)
    output = np.zeros((1, 5, 42), np.float32)
    assert plain.read([output], FLOOR) is output
