"""`modelkit evaluate --folds`: each model judges what it has never seen, and nothing else."""

import json
from pathlib import Path

import pytest

from bright_detector import write_model
from bright_tags import TAGS, write_tags
from modelkit import predictions as predicted
from modelkit.__main__ import main


class Folds:
    """A directory of folds over the seven pictures of parts A, B and C."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.directory, self._capsys = root, root / "folds", capsys
        self.labels, self.images = write_tags(root)

    def add(self, number: int, recipe: dict, **gains: float) -> None:
        """A fold with a file of each of ``gains``."""
        fold = self.directory / f"fold{number}"
        for name, gain in gains.items():
            write_model(fold / f"{name}.onnx", gain=gain)
        (fold / "recipe.json").write_text(json.dumps(recipe))

    def run(self, *arguments: object) -> tuple[int, str, str]:
        common = ["--labels", self.labels, "--images", self.images, "--resamples", 40]
        code = main(["evaluate", "--folds", *map(str, [self.directory, *arguments, *common])])
        return code, *self._capsys.readouterr()

    def judged(self, *arguments: object) -> dict:
        code, output, _ = self.run("--json", *arguments)
        assert code == 0
        return json.loads(output)

    def refused(self, *arguments: object) -> str:
        code, output, error = self.run("--json", *arguments)
        assert (code, output) == (1, "")
        return error


@pytest.fixture
def folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Folds:
    return Folds(tmp_path, capsys)


@pytest.fixture
def three(folds: Folds) -> Folds:
    """One part held out by each; the second model sees nothing."""
    for number, (part, gain) in enumerate({"A": 1.0, "B": 0.0, "C": 1.0}.items()):
        rest = sorted({"A", "B", "C"} - {part})
        folds.add(number, {"held_out": [part], "trained_on": rest, "epochs": 3}, fp32=gain, int8=gain)
    return folds


def test_each_picture_is_judged_by_the_model_that_never_saw_its_part(three: Folds) -> None:
    """The blind model overlooks what is in part B, and nothing of the others; together they are all pictures."""
    result = three.judged()
    assert {name: result["fp32"][name] for name in ("images", "escapes", "overkill", "review")} == {
        "images": 7,
        "escapes": 1,
        "overkill": 0,
        "review": 1,
    }
    assert [(each["fold"], each["parts"], each["fp32"]["images"]) for each in result["folds"]] == [
        (0, ["A"], 3),
        (1, ["B"], 3),
        (2, ["C"], 1),
    ]
    assert [each["fp32"]["escapes"] for each in result["folds"]] == [1, 0, 0]
    assert result["folds"][2]["fp32"]["map50"] == pytest.approx(1)
    assert (result["verdict_flips"], result["parts"]) == (0, 3)
    assert result["difference"]["map50"] == {"value": 0.0, "interval": [0.0, 0.0]}


def test_the_difference_is_drawn_in_pairs(folds: Folds) -> None:
    """INT8 is blind on part A alone: whichever parts are drawn, it is never better."""
    folds.add(0, {"held_out": ["A"]}, fp32=1.0, int8=0.0)
    folds.add(1, {"held_out": ["B", "C"]}, fp32=1.0, int8=1.0)
    result = folds.judged()
    low, high = result["difference"]["map50"]["interval"]
    assert low < result["difference"]["map50"]["value"] < 0
    assert high <= 0
    assert result["verdict_flips"] == 1
    assert [each["verdict_flips"] for each in result["folds"]] == [1, 0]


def test_pictures_can_be_held_out_by_name(folds: Folds) -> None:
    """As a random split does, which leaks; pictures that no fold holds out are told, and not judged."""
    folds.add(0, {"held_out_images": ["found.png", "good.png"]}, fp32=1.0)
    code, output, error = folds.run("--json")
    assert code == 0
    assert json.loads(output)["fp32"]["images"] == 2
    assert "5 of 7 pictures are held out by no fold, and not judged" in error


def test_the_predictions_say_which_fold(three: Folds) -> None:
    output = three.root / "out-of-fold.json"
    three.judged("--output", output)
    pictures = predicted.read(output).pictures
    assert {picture.image: picture.fold for picture in pictures} == {
        name: "ABC".index(tag.part) for name, tag in TAGS.items()
    }


def test_other_files_can_be_named(folds: Folds) -> None:
    """``plain.onnx`` for FP32; INT8 is null where no fold has it."""
    folds.add(0, {"held_out": ["A", "B", "C"]}, plain=1.0, small=1.0)
    assert "no fp32.onnx and no int8.onnx; name its models by --file" in folds.refused()
    assert folds.judged("--file", "plain.onnx")["int8"] is None
    both = folds.judged("--file", "plain.onnx", "--int8-file", "small.onnx")
    assert both["int8"]["images"] == 7
    assert "has no other.onnx" in folds.refused("--file", "plain.onnx", "--int8-file", "other.onnx")


def test_thresholds_are_those_of_the_device_unless_given(three: Folds) -> None:
    assert three.judged()["thresholds"] == {"confidence": 0.5, "low_confidence": 0.25}
    assert three.judged("--low-confidence", "0.1")["fp32"]["escapes"] == 0


def test_the_table_has_each_fold(three: Folds) -> None:
    code, output, _ = three.run()
    assert code == 0
    assert "each fold, by models that never saw what it holds out" in output
    assert [line.split()[:3] for line in output.splitlines() if " FP32 " in line and line[1].isdigit()] == [
        ["0", "1", "FP32"],
        ["1", "1", "FP32"],
        ["2", "1", "FP32"],
    ]


def test_a_part_on_both_sides(folds: Folds) -> None:
    """The model has seen what it would be judged on."""
    folds.add(0, {"held_out": ["A", "B"], "trained_on": ["B", "C"]}, fp32=1.0)
    assert "B is held out and trained on" in folds.refused()


def test_a_picture_held_out_twice(folds: Folds) -> None:
    folds.add(0, {"held_out": ["A"]}, fp32=1.0)
    folds.add(1, {"held_out_images": ["found.png"]}, fp32=1.0)
    assert "found.png is held out by fold0 and fold1" in folds.refused()


def test_labels_of_something_else(folds: Folds) -> None:
    folds.add(0, {"held_out": ["A", "Z"]}, fp32=1.0)
    assert "holds out Z, not in the labels" in folds.refused()


@pytest.mark.parametrize("recipe", [{}, {"held_out": []}, {"held_out": "A"}])
def test_a_recipe_that_does_not_say_what_is_unseen(folds: Folds, recipe: dict) -> None:
    folds.add(0, recipe, fp32=1.0)
    assert "recipe.json" in folds.refused()


def test_a_fold_that_lacks_what_the_others_have(three: Folds) -> None:
    (three.directory / "fold1" / "recipe.json").unlink()
    assert "fold1/recipe.json, which says what was held out" in three.refused()
    (three.directory / "fold1" / "int8.onnx").unlink()
    assert "fold1 has no int8.onnx; make it" in three.refused()


def test_no_folds_at_all(folds: Folds) -> None:
    folds.directory.mkdir()
    assert "holds no fold0, fold1" in folds.refused()


def test_folds_of_different_classes(folds: Folds) -> None:
    folds.add(0, {"held_out": ["A"]}, fp32=1.0)
    folds.add(1, {"held_out": ["B"]}, fp32=1.0)
    write_model(folds.directory / "fold1" / "fp32.onnx", classes=1)
    assert "has the classes dent, the first fold's model dent, rust" in folds.refused()
