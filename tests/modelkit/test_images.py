"""What a package is to know of pictures: bounds beyond those that it was given, and why some cannot be measured."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.core.appearance import Appearance, look, unusual
from inspector.core.package import parse_manifest
from inspector.shell import detector
from modelkit.__main__ import main
from modelkit.images import LEAST_COUNT, MARGINS, ImagesError, know, measure

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_images"
ARGUMENTS = ["package", "--name", "tags", "--version", "1.0.0", "--fp32", str(ROOT / "models" / "fp32.onnx")]
ARGUMENTS += ["--golden", str(ROOT / "models" / "golden")]


def seen(**changes: float) -> Appearance:
    plain = {"aspect": 1.5, "megapixels": 0.1, "brightness": 100, "contrast": 50, "blue": 0, "red": 0}
    return Appearance(plain | {"sharpness": 0.1, "flatness": 0.3} | changes, tuple(map(float, range(54))))


@pytest.mark.parametrize(
    ("measure", "values", "bounds"),
    [
        ("brightness", (100, 140), (80, 160)),
        ("brightness", (100, 102), (90, 112)),
        ("flatness", (0.2, 0.6), (0.0, 0.8)),
        ("sharpness", (0.1, 0.4), (0.05, 0.8)),
        ("sharpness", (0, 0.1), (0, 0.1221)),
        ("megapixels", (1, 1), (0.6703, 1.4918)),
        ("aspect", (1.5, 1.5), (1.4268, 1.5769)),
        ("blue", (0, 0), (-5, 5)),
    ],
)
def test_bounds_lie_half_the_range_beyond_the_pictures(measure, values, bounds) -> None:
    """Or a least margin where they hardly differ; of ratios, half the range of the logarithm."""
    known = know([seen(**{measure: value}) for value in values])
    assert known.bounds[measure] == pytest.approx(bounds, abs=1e-4)
    assert set(known.bounds) == set(MARGINS)


def test_the_layout_is_the_mean_and_likeness_is_to_it() -> None:
    """Two pictures alike: one unlike them is out of bounds by that alone."""
    known = know([seen(), seen()])
    assert (known.count, known.layout) == (2, seen().layout)
    assert known.bounds["likeness"] == pytest.approx((0.9, 1.1))
    upside_down = Appearance(seen().measures, seen().layout[::-1])
    assert [words.split()[0] for words in unusual(upside_down, known)] == ["likeness"]


def test_every_picture_is_measured_and_nothing_else(tmp_path: Path) -> None:
    """Below the directory too, by content and not by name; labels beside them are passed over."""
    (tmp_path / "deeper").mkdir()
    for number, path in enumerate(sorted(SAMPLES.glob("*.jpg"))):
        name = f"{number}.jpg_0" if number % 2 else f"deeper/{number}.png"
        (tmp_path / name).write_bytes(path.read_bytes())
    (tmp_path / "labels.csv").write_text("image,boxes\n0.jpg,[]\n")
    assert len(measure([tmp_path])) == 16
    assert len(measure([SAMPLES, tmp_path])) == 32


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    """They would not tell what is usual."""
    for path in sorted(SAMPLES.glob("*.jpg"))[: LEAST_COUNT - 1]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ImagesError, match=r"9 pictures are too few.*give 10 or more"):
        measure([tmp_path])


def test_a_picture_that_the_device_could_not_read_is_named(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "cut.jpg").write_bytes((SAMPLES / "tag-0001.jpg").read_bytes()[:9_000])
    with pytest.raises(ImagesError, match=r"cut\.jpg: .*take it out"):
        measure([SAMPLES, tmp_path])


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImagesError, match=r"nowhere is no directory"):
        measure([tmp_path / "nowhere"])


def test_the_command_puts_them_into_the_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same each time, and the device tells by them: no sample is unusual, a black one is."""
    for name in ("one", "two"):
        assert main([*ARGUMENTS, "--images", str(SAMPLES), "--output", str(tmp_path / name)]) == 0
    assert "by 16 pictures" in capsys.readouterr().out
    manifests = [(tmp_path / name / "manifest.json").read_bytes() for name in ("one", "two")]
    assert manifests[0] == manifests[1]
    known = detector.load(tmp_path / "one").known_images
    assert known == parse_manifest(manifests[0]).images
    pictures = [cv2.imread(str(path)) for path in SAMPLES.glob("*.jpg")]
    assert [unusual(look(pixels), known) for pixels in pictures] == [()] * 16
    assert unusual(look(np.zeros((300, 450, 3), np.uint8)), known)


def test_without_pictures_the_command_says_what_that_costs(tmp_path: Path, capsys) -> None:
    """The package has no images, and the line says so."""
    assert main([*ARGUMENTS, "--output", str(tmp_path)]) == 0
    assert "images" not in json.loads((tmp_path / "manifest.json").read_bytes())
    assert "for want of --images" in capsys.readouterr().out


def test_the_command_names_what_it_cannot_measure(tmp_path: Path, capsys) -> None:
    """Exit status 1, and no package."""
    assert main([*ARGUMENTS, "--images", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    assert "modelkit: 0 pictures are too few" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
