"""Of many candidates those become golden on which every file decides clearly, and all alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from inspector.core.package import Precision, Thresholds
from inspector.shell import detector
from inspector.shell.detector import Detector
from modelkit.golden import GoldenError, Picture
from modelkit.golden_choice import Choice, choose
from tiny_detector import RED, write_detector, write_picture

THRESHOLDS = Thresholds(confidence=0.6, low_confidence=0.2)
GREEN = (0.0, 1.0, 0.0)


class Candidates:
    """Pictures named for what they are, and models to choose them by."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def picture(self, name: str, red: float) -> Picture:
        path = write_picture(self.directory / f"{name}.png", red, noise=len(list(self.directory.iterdir())))
        return Picture(f"golden/{name}.png", path.read_bytes())

    def models(
        self, weights: Mapping[Precision, tuple[float, float, float]] | None = None
    ) -> dict[Precision, Detector]:
        return {
            precision: detector.load(
                write_detector(
                    self.directory / f"{precision}.onnx", weights=each, quantized=precision == "int8"
                )
            )
            for precision, each in (weights or {"fp32": RED, "int8": RED}).items()
        }


@pytest.fixture
def candidates(tmp_path: Path) -> Candidates:
    return Candidates(tmp_path)


def names(choice: Choice) -> list[str]:
    return [each.picture.name.removeprefix("golden/").removesuffix(".png") for each in choice.taken]


def test_two_of_each_verdict_are_taken_those_that_pass_first_coloured_light_last(
    candidates: Candidates,
) -> None:
    reds = {
        "bad": 0.9,
        "doubtful": 0.4,
        "good": 0.0,
        "good2": 0.07,
        "bad2": 0.95,
        "good3": 0.01,
        "bad3": 0.91,
    }
    pictures = [candidates.picture(name, red) for name, red in reds.items()]
    choice = choose(candidates.models(), pictures, THRESHOLDS)
    assert names(choice) == ["good", "good2", "bad", "bad2", "doubtful", "blue-light"]
    assert [each.verdict for each in choice.taken] == ["pass", "pass", "fail", "fail", "review", "review"]
    assert choice.unfit == {}


def test_what_each_file_finds_is_told_apart(candidates: Candidates) -> None:
    pictures = [candidates.picture("good", 0.0), candidates.picture("bad", 0.9)]
    models = candidates.models({"fp32": RED, "int8": (0.97, 0.0, 0.0)})
    choice = choose(models, pictures, THRESHOLDS)
    found = {precision: choice.golden(precision)[1].detections[0].confidence for precision in models}
    assert found == {"fp32": pytest.approx(0.9, abs=0.005), "int8": pytest.approx(0.874, abs=0.005)}


@pytest.mark.parametrize("red", [0.5, 0.69, 0.11, 0.29])
def test_a_picture_near_a_threshold_is_passed_over(candidates: Candidates, red: float) -> None:
    pictures = [candidates.picture(name, each) for name, each in (("near", red), ("good", 0), ("bad", 0.9))]
    choice = choose(candidates.models(), pictures, THRESHOLDS)
    assert "near" not in names(choice)
    assert "is less than 0.1 from the threshold" in choice.unfit["golden/near.png"]


def test_a_picture_near_a_threshold_of_one_file_is_passed_over(candidates: Candidates) -> None:
    pictures = [candidates.picture(name, each) for name, each in (("near", 0.75), ("good", 0), ("bad", 0.95))]
    choice = choose(candidates.models({"fp32": RED, "int8": (0.9, 0.0, 0.0)}), pictures, THRESHOLDS)
    assert "0.67" in choice.unfit["golden/near.png"]


def test_a_picture_that_two_files_judge_otherwise_is_passed_over(candidates: Candidates) -> None:
    pictures = [candidates.picture("good", 0), candidates.picture("two", 0.8)]
    models = candidates.models({"fp32": RED, "int8": (0.45, 0.0, 0.0)})
    with pytest.raises(GoldenError, match=r"golden/two\.png: fp32 says fail but int8 says review"):
        choose(models, pictures, THRESHOLDS)


def test_a_picture_that_cannot_be_read_is_passed_over(candidates: Candidates) -> None:
    pictures = [candidates.picture("good", 0), candidates.picture("bad", 0.9)]
    broken = Picture("golden/broken.png", pictures[0].content[:40])
    choice = choose(candidates.models(), [broken, *pictures], THRESHOLDS)
    assert "broken" not in names(choice)
    assert choice.unfit["golden/broken.png"]


def test_the_same_content_or_name_again_is_passed_over(candidates: Candidates) -> None:
    good, bad = candidates.picture("good", 0), candidates.picture("bad", 0.9)
    copy, other = (
        Picture("golden/copy.png", good.content),
        Picture(bad.name, candidates.picture("x", 0.95).content),
    )
    lit = Picture("golden/blue-light.png", candidates.picture("y", 0.0).content)
    choice = choose(candidates.models(), [good, bad, copy, other, lit], THRESHOLDS)
    assert names(choice) == ["good", "bad", "blue-light"]
    assert choice.unfit == {
        "golden/copy.png": "it is golden/good.png again",
        "golden/bad.png": "another picture has this name; rename it",
        "golden/blue-light.png": "a copy under coloured light, which is made anew, has this name",
    }


@pytest.mark.parametrize(("red", "verdict"), [(0.9, "pass"), (0.0, "fail")])
def test_pictures_of_one_kind_alone_are_refused(candidates: Candidates, red: float, verdict: str) -> None:
    """A model that fails everything, or passes everything, would be right about all of them."""
    pictures = [candidates.picture("one", red), candidates.picture("near", 0.55)]
    with pytest.raises(GoldenError, match=f"verdict {verdict}.*\n.*near.png: a confidence of 0.5"):
        choose(candidates.models(), pictures, THRESHOLDS)


def test_a_model_that_takes_red_for_blue_unseen_is_refused(candidates: Candidates) -> None:
    """Whichever of the files it is: here the one that sees neither."""
    pictures = [candidates.picture("good", 0), candidates.picture("bad", 0.9)]
    models = candidates.models({"fp32": (0.4, 0.6, 0.0), "int8": GREEN})
    with pytest.raises(GoldenError, match=r"tells red from blue(.*\n)+.*bad\.png.*: int8 finds the same"):
        choose(models, pictures, Thresholds(confidence=0.4, low_confidence=0.2))


def test_any_clear_picture_may_be_the_one_under_coloured_light(candidates: Candidates) -> None:
    """Those of a verdict of which there are enough already, too."""
    reds = {"good": 0.0, "bad": 0.86, "bad2": 0.87, "bad3": 0.95}
    pictures = [candidates.picture(name, red) for name, red in reds.items()]
    models = candidates.models({"fp32": (0.8, 0.0, 0.2)})
    choice = choose(models, pictures, Thresholds(confidence=0.7, low_confidence=0.35))
    assert names(choice) == ["good", "bad", "bad2", "blue-light"]
    (lit,) = choice.taken[-1].expected["fp32"]
    assert lit.confidence == pytest.approx(0.95 * (0.8 * 0.35 + 0.2), abs=0.005)


def test_red_light_does_where_blue_light_does_not(candidates: Candidates) -> None:
    """A copy has to be clear, too."""
    pictures = [candidates.picture("good", 0), candidates.picture("bad", 0.8)]
    thresholds = Thresholds(confidence=0.5, low_confidence=0.28)
    choice = choose(candidates.models(), pictures, thresholds)
    assert names(choice) == ["good", "bad", "red-light"]
    assert choice.taken[-1].verdict == "fail"


def test_of_many_reasons_some_are_told(candidates: Candidates) -> None:
    pictures = [candidates.picture(f"near{number}", 0.55) for number in range(12)]
    with pytest.raises(GoldenError, match=r"near9\.png: .*\n  and 2 more$"):
        choose(candidates.models(), pictures, THRESHOLDS)


def test_no_more_are_read_than_are_needed(candidates: Candidates) -> None:
    reds = (0.0, 0.01, 0.9, 0.92, 0.4, 0.41, 0.02)
    pictures = iter([candidates.picture(f"p{number}", red) for number, red in enumerate(reds)])
    choose(candidates.models(), pictures, THRESHOLDS)
    assert [picture.name for picture in pictures] == ["golden/p6.png"]
