"""Pixels to network input."""

import numpy as np
import pytest

from inspector.core.tensor import fit, to_tensor


def filled(width: int, height: int, bgr: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), bgr, np.uint8)


def test_channels_become_red_green_blue_planes() -> None:
    """A blue picture is in the third plane, as a share of 255."""
    canvas, _ = fit(filled(64, 32, (255, 51, 0)), 64, 32)
    tensor = to_tensor(canvas)
    assert tensor.shape == (1, 3, 32, 64)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert [float(plane.min()) for plane in tensor[0]] == pytest.approx([0, 0.2, 1])
    assert [float(plane.max()) for plane in tensor[0]] == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize(
    ("image", "network"),
    [((450, 300), (448, 320)), ((300, 450), (448, 320)), ((64, 64), (320, 640)), ((1, 5_000), (96, 64))],
)
def test_padding_is_grey_and_the_picture_is_in_between(image, network) -> None:
    """All that the letterbox calls padding is 114; all that it calls picture is the picture."""
    canvas, letterbox = fit(filled(*image, (0, 0, 255)), *network)
    assert canvas.shape == (1, *reversed(network), 3)
    assert canvas.dtype == np.uint8
    picture = np.zeros(canvas.shape[1:3], bool)
    rows = slice(letterbox.pad_top, network[1] - letterbox.pad_bottom)
    picture[rows, letterbox.pad_left : network[0] - letterbox.pad_right] = True
    assert (canvas[0][picture] == (0, 0, 255)).all()
    assert (canvas[0][~picture] == 114).all()


def test_a_picture_of_the_right_size_is_not_resampled() -> None:
    """Each pixel of it is in the input unchanged."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    canvas, _ = fit(pixels, 64, 32)
    np.testing.assert_array_equal(canvas[0], pixels)
    np.testing.assert_array_equal(to_tensor(canvas)[0] * 255, pixels[..., ::-1].transpose(2, 0, 1))


def test_an_edge_is_blended_where_it_falls_between_pixels() -> None:
    """The picture is resized bilinearly, as the network was trained."""
    pixels = filled(3, 3, (0, 0, 0))
    pixels[:, 2:] = 255
    canvas, _ = fit(pixels, 2, 2)
    np.testing.assert_allclose(canvas[0, :, :, 0], [[0, 191]] * 2, atol=1)


def test_pixels_are_left_as_they_were() -> None:
    """The frame's own pixels are not written to."""
    pixels = filled(450, 300, (1, 2, 3))
    pixels.flags.writeable = False
    to_tensor(fit(pixels, 448, 320)[0])
    assert (pixels == (1, 2, 3)).all()
