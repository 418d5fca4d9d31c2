"""`modelkit evaluate`, from pictures to figures: what it says of cases that can be worked out by hand."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bright_detector import CLASSES, write_model, write_package, write_picture
from bright_tags import MAP50, STRONG, TAGS, write_tags
from inspector.core.appearance import look
from modelkit import predictions as predicted
from modelkit.__main__ import main
from modelkit.images import know

FIGURES = {"map50", "map50_95", "escapes", "overkill", "review", "images"}


class Files:
    """Labels and pictures in a directory, and commands on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.labels, self.images = write_tags(root)

    def arguments(self, *arguments: object) -> list[str]:
        common = ["--labels", self.labels, "--images", self.images, "--resamples", 40]
        return ["evaluate", *map(str, [*arguments, *common])]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def judged(files: Files, capsys: pytest.CaptureFixture[str]):
    """What ``--json`` prints of a package."""

    def judge(package: Path, *arguments: object) -> dict:
        assert main(files.arguments("--package", package, "--json", *arguments)) == 0
        return json.loads(capsys.readouterr().out)

    return judge


def test_one_object_with_each_precision(files: Files, judged) -> None:
    """Counts of pictures, as worked out by hand; INT8 is less confident by a fifth, which costs it nothing."""
    result = judged(write_package(files.root / "package", {"fp32": 1.0, "int8": 0.8}))
    for precision in ("fp32", "int8"):
        scores = result[precision]
        assert {name: scores[name] for name in ("escapes", "overkill", "review", "images")} == {
            "escapes": 1,
            "overkill": 1,
            "review": 2,
            "images": 7,
        }
        assert scores["map50"] == pytest.approx(MAP50)
        assert scores["map50_95"] == pytest.approx(MAP50)
    assert result["verdict_flips"] == 0
    assert result["difference"]["map50"] == {"value": 0.0, "interval": [0.0, 0.0]}


def test_precision_and_recall_at_both_thresholds(files: Files, judged) -> None:
    """Of 3 strong detections 2 are true, of 5 that are not faint 3; of 4 labels they find 2, and 3."""
    scores = judged(write_package(files.root / "package", {"fp32": 1.0}))["fp32"]
    assert (scores["precision"], scores["recall"]) == pytest.approx((2 / 3, 2 / 4))
    assert (scores["precision_low"], scores["recall_low"]) == pytest.approx((3 / 5, 3 / 4))


def test_shares_have_intervals(files: Files, judged) -> None:
    """Escapes of defective pictures, overkill of good ones, review of all; the share lies in both."""
    shares = judged(write_package(files.root / "package", {"fp32": 1.0}))["fp32"]["shares"]
    assert {name: (share["count"], share["of"]) for name, share in shares.items()} == {
        "escapes": (1, 4),
        "overkill": (1, 3),
        "review": (2, 7),
    }
    intervals = [shares["escapes"]["by_part"], *(share["wilson"] for share in shares.values())]
    assert all(low < high for low, high in intervals)
    assert all(share["wilson"][0] <= share["share"] <= share["wilson"][1] for share in shares.values())
    assert shares["overkill"]["by_part"] is None  # good pictures are of one part alone


def test_a_flip_is_named(files: Files, judged) -> None:
    """What FP32 fails with 0.8 INT8 passes with 0.24; what is 0.4 or 0.2 does not flip."""
    result = judged(write_package(files.root / "package", {"fp32": 1.0, "int8": 0.3}))
    assert result["verdict_flips"] == 3
    assert sorted(result["flipped"]) == ["found.png", "overkill.png", "rusty.png"]


@pytest.mark.parametrize(("precision", "other"), [("fp32", "int8"), ("int8", "fp32")])
def test_a_package_of_one_file(files: Files, judged, precision, other) -> None:
    """The other is null, and nothing can flip."""
    result = judged(write_package(files.root / "package", {precision: 1.0}))
    assert result[precision].keys() >= FIGURES
    assert result[other] is None
    assert result["verdict_flips"] is None
    assert result["difference"] == {}


def test_a_single_onnx_file_passes_for_fp32(files: Files, judged) -> None:
    result = judged(write_model(files.root / "model.onnx"))
    assert result["fp32"]["map50"] == pytest.approx(MAP50)
    assert result["int8"] is None


def test_thresholds_are_the_packages_unless_given(files: Files, judged) -> None:
    """As on the device: one that is given alone moves the other out of its way."""
    package = write_package(files.root / "package", {"fp32": 1.0})
    assert judged(package)["thresholds"] == {"confidence": 0.5, "low_confidence": 0.25}
    lower = judged(package, "--low-confidence", 0.1)
    assert (lower["fp32"]["escapes"], lower["fp32"]["review"]) == (0, 3)
    assert judged(package, "--confidence", 0.1)["thresholds"] == {"confidence": 0.1, "low_confidence": 0.1}


def test_an_unusual_picture_is_reviewed_as_on_the_device(files: Files, judged) -> None:
    """Where it would pass; counted apart. What the model knows here are brighter pictures."""
    bright = [look(np.full((64, 64, 3), 255, np.uint8))]
    package = write_package(files.root / "package", {"fp32": 1.0}, images=know(bright))
    scores = judged(package)["fp32"]
    assert (scores["escapes"], scores["review"], scores["unusual"], scores["overkill"]) == (0, 4, 2, 1)


def test_what_is_perfect_and_what_is_blind(files: Files, judged) -> None:
    """All found and nothing else; and nothing found at all."""
    good = [(name, tag) for name, tag in TAGS.items() if name in ("found.png", "rusty.png", "good.png")]
    files.labels, files.images = write_tags(files.root / "perfect", good)
    perfect = judged(write_package(files.root / "package", {"fp32": 1.0}))["fp32"]
    assert (perfect["map50"], perfect["map50_95"]) == (pytest.approx(1), pytest.approx(1))
    assert (perfect["escapes"], perfect["overkill"], perfect["review"]) == (0, 0, 0)
    assert perfect["shares"]["escapes"]["wilson"][1] > 0
    assert perfect["shares"]["escapes"]["by_part"] is None
    blind = judged(write_package(files.root / "package", {"fp32": 0.0}))["fp32"]
    assert (blind["map50"], blind["escapes"], blind["review"], blind["ece"]) == (0, 2, 0, None)
    assert (blind["precision"], blind["recall"]) == (None, 0)


def test_pictures_without_a_defect(files: Files, judged) -> None:
    """There is no average precision of nothing, and nothing can escape."""
    files.labels, files.images = write_tags(files.root / "good", [("good.png", TAGS["good.png"])])
    scores = judged(write_package(files.root / "package", {"fp32": 1.0}))["fp32"]
    assert (scores["map50"], scores["map50_95"], scores["escapes"]) == (None, None, 0)
    assert scores["shares"]["escapes"] == {
        "count": 0,
        "of": 0,
        "share": None,
        "wilson": None,
        "by_part": None,
    }


def test_the_file_of_predictions_has_every_detection(files: Files, judged) -> None:
    """Down to the detector's floor, in order, each with whether it is true; it is the same when read again."""
    output = files.root / "predictions.json"
    judged(write_package(files.root / "package", {"fp32": 1.0, "int8": 0.2}), "--output", output)
    content = predicted.read(output)
    assert content.class_names == CLASSES
    assert [picture.image for picture in content.pictures] == list(TAGS)
    pictures = {picture.image: picture for picture in content.pictures}
    (box,) = pictures["escaped.png"].detections["fp32"]
    assert (box.class_id, box.is_true) == (0, True)
    assert (box.left, box.top, box.width, box.height) == (24, 24, 8, 8)
    assert box.confidence == pytest.approx(0.2)
    assert pictures["escaped.png"].detections["int8"] == ()  # 0.04 is below the floor
    assert [each.is_true for each in pictures["overkill.png"].detections["fp32"]] == [False]
    again = files.root / "again.json"
    predicted.write(content, again)
    assert again.read_bytes() == output.read_bytes()


def test_a_file_that_is_no_file_of_predictions(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(predicted.PredictionsError, match=r"other\.json is no file of predictions.*schema"):
        predicted.read(tmp_path / "other.json")


def test_the_table_says_what_the_object_says(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    package = write_package(files.root / "package", {"fp32": 1.0, "int8": 0.3})
    assert main(files.arguments("--package", package)) == 0
    printed = capsys.readouterr().out
    assert "1 of 4: 25.0%" in printed
    assert f"{MAP50:.3f}" in printed
    assert "INT8 - FP32" in printed
    assert "3 pictures that one precision fails and the other passes" in printed


def failing(files: Files, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is said of a command that does not work; nothing is on standard output."""
    assert main(files.arguments(*arguments)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_a_class_that_the_model_does_not_have(files: Files, capsys) -> None:
    package = write_package(files.root / "package", {"fp32": 1.0}, classes=1)
    error = failing(files, capsys, "--package", package, "--json")
    assert "1 pictures, rusty.png first, have labels of class 1" in error
    assert "bright 1.0.0 has only 0 (dent)" in error


def test_pictures_that_are_missing_or_unreadable(files: Files, capsys) -> None:
    package = write_package(files.root / "package", {"fp32": 1.0})
    (files.images / "good.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    assert "good.png cannot be read" in failing(files, capsys, "--package", package)
    (files.images / "good.png").unlink()
    (files.images / "rusty.png").unlink()
    error = failing(files, capsys, "--package", package)
    assert "2 rows cannot be used" in error
    assert "good.png" in error
    assert "rusty.png" in error


def test_a_package_that_is_refused(files: Files, capsys) -> None:
    """A byte of its model is changed; it has no manifest; it is not there."""
    package = write_package(files.root / "package", {"fp32": 1.0})
    model = bytearray((package / "fp32.onnx").read_bytes())
    model[-1] ^= 1
    (package / "fp32.onnx").write_bytes(model)
    assert "refused: fp32.onnx has SHA-256" in failing(files, capsys, "--package", package)
    (package / "manifest.json").unlink()
    assert "refused" in failing(files, capsys, "--package", package)
    assert "refused" in failing(files, capsys, "--package", files.root / "nowhere")


def test_thresholds_that_contradict_each_other(files: Files, capsys) -> None:
    package = write_package(files.root / "package", {"fp32": 1.0})
    error = failing(files, capsys, "--package", package, "--confidence", 0.2, "--low-confidence", 0.4)
    assert "0.4 is above" in error
    assert "ConfidenceThreshold" in failing(files, capsys, "--package", package, "--confidence", 2)


def test_models_of_folds_are_not_named_beside_a_package(files: Files, capsys) -> None:
    error = failing(files, capsys, "--package", files.root / "package", "--file", "plain.onnx")
    assert "--folds" in error


def test_neither_torch_nor_ultralytics_is_needed(files: Files) -> None:
    """It runs where they cannot be imported."""
    package = write_package(files.root / "package", {"fp32": 1.0})
    barred = "import sys; sys.modules.update(torch=None, ultralytics=None)"
    run = f"{barred}; from modelkit.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, *files.arguments("--package", package, "--json")]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(output.stdout)["fp32"]["images"] == 7
    assert output.stderr == ""


def test_boxes_are_in_pixels_of_the_picture(files: Files, judged) -> None:
    """Of one twice as large as the model's input they are still exactly on the label."""
    small, large = files.images / "small.png", files.images / "large.png"
    write_picture(small, (1, 1, 0, STRONG))
    cv2.imwrite(str(large), cv2.resize(cv2.imread(str(small)), (128, 128), interpolation=cv2.INTER_NEAREST))
    boxes = '[{""class_id"": 0, ""left"": 16, ""top"": 16, ""width"": 16, ""height"": 16}]'
    files.labels.write_text(f'image,tag,boxes\nlarge.png,D,"{boxes}"\n')
    scores = judged(write_package(files.root / "package", {"fp32": 1.0}))["fp32"]
    assert scores["map50_95"] == pytest.approx(1)
    assert scores["intervals"]["map50"] is None  # of a single part
