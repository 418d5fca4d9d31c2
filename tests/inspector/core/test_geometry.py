"""Boxes, their overlap, and the letterbox there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.geometry import Letterbox, intersection_over_union

SIDES_PX = st.integers(1, 10_000)
INPUT_SIDES_PX = st.integers(1, 40).map(lambda times: 32 * times)


@st.composite
def boxes(draw: st.DrawFn, within: tuple[int, int] = (5_000, 5_000)) -> list[float]:
    width, height = within
    left, right = sorted(draw(st.tuples(st.floats(0, width), st.floats(0, width))))
    top, bottom = sorted(draw(st.tuples(st.floats(0, height), st.floats(0, height))))
    return [left, top, right, bottom]


def iou(one: list[float], other: list[float]) -> float:
    return float(intersection_over_union(np.array(one, np.float32), np.array([other], np.float32))[0])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),
        ([0, 0, 10, 10], [2, 2, 7, 7], 0.25),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),
        ([0, 0, 10, 10], [30, 30, 40, 40], 0.0),
        ([5, 5, 5, 9], [0, 0, 10, 10], 0.0),
        ([5, 5, 5, 5], [5, 5, 5, 5], 0.0),
    ],
    ids=["same", "half", "inside", "touching", "apart", "a line", "a point"],
)
def test_overlap_is_intersection_over_union(one, other, expected) -> None:
    """Known boxes overlap by the share that can be worked out by hand; without area there is no overlap."""
    assert iou(one, other) == pytest.approx(expected, abs=1e-7)


@given(boxes(), boxes())
def test_overlap_is_symmetric_and_bounded(one, other) -> None:
    """Of two boxes it doesn't matter which is first, and the overlap is a share."""
    assert iou(one, other) == pytest.approx(iou(other, one), abs=1e-6)
    assert 0 <= iou(one, other) <= 1 + 1e-6


@pytest.mark.parametrize(
    ("image", "network", "resized", "pads"),
    [
        ((450, 300), (448, 320), (448, 299), (0, 10, 0, 11)),
        ((640, 480), (640, 640), (640, 480), (0, 80, 0, 80)),
        ((480, 641), (640, 640), (479, 640), (80, 0, 81, 0)),
        ((4000, 3000), (320, 320), (320, 240), (0, 40, 0, 40)),
        ((32, 32), (64, 64), (64, 64), (0, 0, 0, 0)),
        ((10_000, 1), (320, 320), (320, 1), (0, 159, 0, 160)),
    ],
)
def test_letterbox_rounds_as_ultralytics_does(image, network, resized, pads) -> None:
    """The odd pixel of padding goes right and below; an extreme aspect ratio keeps one pixel."""
    letterbox = Letterbox.fit(*image, *network)
    assert (letterbox.resized_width, letterbox.resized_height) == resized
    assert (letterbox.pad_left, letterbox.pad_top, letterbox.pad_right, letterbox.pad_bottom) == pads


@given(SIDES_PX, SIDES_PX, INPUT_SIDES_PX, INPUT_SIDES_PX)
def test_letterbox_fills_the_input_exactly(image_width, image_height, input_width, input_height) -> None:
    """Picture and padding together are the network input, and one side of the picture needs none."""
    letterbox = Letterbox.fit(image_width, image_height, input_width, input_height)
    assert letterbox.pad_left + letterbox.resized_width + letterbox.pad_right == input_width
    assert letterbox.pad_top + letterbox.resized_height + letterbox.pad_bottom == input_height
    assert min(letterbox.pad_left, letterbox.pad_top, letterbox.pad_right, letterbox.pad_bottom) == 0
    assert letterbox.resized_width == input_width or letterbox.resized_height == input_height


@given(st.data(), SIDES_PX, SIDES_PX, INPUT_SIDES_PX, INPUT_SIDES_PX)
def test_boxes_survive_the_letterbox_there_and_back(data, width, height, input_width, input_height) -> None:
    """A box mapped to the input and back is where it was: to a ten-thousandth of the image, for float32."""
    letterbox = Letterbox.fit(width, height, input_width, input_height)
    box = np.array([data.draw(boxes(within=(width, height)))], np.float32)
    back = letterbox.to_image(letterbox.to_input(box))
    np.testing.assert_allclose(back, box, rtol=0, atol=1e-4 * max(width, height))


@given(SIDES_PX, SIDES_PX, INPUT_SIDES_PX, INPUT_SIDES_PX)
def test_the_whole_image_is_the_whole_picture_in_the_input(width, height, input_width, input_height) -> None:
    """The image's corners are where the padding ends, along both axes, also where a side was rounded."""
    letterbox = Letterbox.fit(width, height, input_width, input_height)
    corners = letterbox.to_input(np.array([[0, 0, width, height]], np.float32))[0]
    right, bottom = input_width - letterbox.pad_right, input_height - letterbox.pad_bottom
    np.testing.assert_allclose(corners, [letterbox.pad_left, letterbox.pad_top, right, bottom], rtol=1e-5)


def test_boxes_are_clipped_to_the_image() -> None:
    """What reaches into the padding ends at the image's border."""
    letterbox = Letterbox.fit(450, 300, 448, 320)
    beyond = letterbox.to_image(np.array([[-50, -50, 900, 900]], np.float32))
    assert beyond.tolist() == [[0, 0, 450, 300]]
    assert beyond.dtype == np.float32
