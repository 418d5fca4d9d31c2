"""A golden picture catches a model, or a device, that decides otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.core.package import GoldenDetection, Thresholds
from inspector.shell import detector
from modelkit.golden import LIGHTS, GoldenError, Picture, expect, find, tells_channels_apart, under_light
from tiny_detector import write_detector, write_picture


def picture(directory: Path, red: float) -> Picture:
    return Picture("golden/x.png", write_picture(directory / "x.png", red).read_bytes())


def test_what_is_expected_is_what_the_detector_that_ships_finds(tmp_path: Path) -> None:
    model = detector.load(write_detector(tmp_path / "x.onnx"))
    (expected,) = expect(find(model, picture(tmp_path, 0.8), Thresholds(0.5, 0.25)))
    assert expected == GoldenDetection(0, 0.8, left=24, top=24, width=16, height=16)
    assert len(find(model, picture(tmp_path, 0.1), Thresholds(0.5, 0.25))) == 0


@pytest.mark.parametrize(("red", "threshold"), [(0.41, 0.5), (0.59, 0.5), (0.34, 0.25), (0.16, 0.25)])
def test_a_picture_too_close_to_a_threshold_is_refused(tmp_path: Path, red: float, threshold: float) -> None:
    model = detector.load(write_detector(tmp_path / "x.onnx"))
    with pytest.raises(GoldenError, match=rf"less than 0\.1 from the threshold {threshold}"):
        find(model, picture(tmp_path, red), Thresholds(0.5, 0.25))


def test_a_picture_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    broken = Picture("golden/x.png", picture(tmp_path, 0.5).content[:100])
    with pytest.raises(GoldenError):
        broken.pixels()


@pytest.mark.parametrize("light", LIGHTS)
def test_under_coloured_light_a_model_that_takes_red_for_blue_finds_something_else(
    tmp_path: Path, light: str
) -> None:
    lit = under_light(picture(tmp_path, 0.8), light)
    assert lit.name == light
    thresholds = Thresholds(0.5, 0.1)
    for weights, tells in (((1.0, 0.0, 0.0), True), ((0.0, 1.0, 0.0), False)):
        model = detector.load(write_detector(tmp_path / "x.onnx", weights=weights))
        expected = expect(find(model, lit, thresholds))
        assert tells_channels_apart(model, lit, expected, thresholds.low_confidence) == tells
