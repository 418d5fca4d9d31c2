"""A second problem, of six classes and pictures of another shape, from labels to verdicts with no code changed."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import made_up_parts
from colour_yolo import COLOURS, HEIGHT, REACH_PX, WIDTH, colour_yolo
from edge import MODEL_VERSION, Edge
from modelkit.__main__ import main

ROOT = Path(__file__).parents[2]
INT8_BYTES = 4_000_000


def modelkit(*arguments: object) -> None:
    """Run a command line, which must succeed."""
    assert main([str(each) for each in arguments]) == 0


def overlap(found: Mapping[str, float], box: Mapping[str, float]) -> float:
    """Intersection over union."""
    width = min(found["left"] + found["width"], box["left"] + box["width"]) - max(found["left"], box["left"])
    height = min(found["top"] + found["height"], box["top"] + box["height"]) - max(found["top"], box["top"])
    shared = max(width, 0) * max(height, 0)
    return shared / (found["width"] * found["height"] + box["width"] * box["height"] - shared)


class TestColours:
    """A network made by hand, so without torch: a spot of a class's colour on a black part is found for sure."""

    LEFT, TOP, SIDE = 104, 128, 48
    """Of a spot in a picture of 240x320, which is twice the size of the input but for padding."""

    @pytest.fixture
    def labels(self, tmp_path: Path) -> Path:
        """A part without a spot, one for each class with it, and their labels."""
        (tmp_path / "images").mkdir()
        (tmp_path / "classes.txt").write_text("\n".join(COLOURS))
        with (tmp_path / "labels.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("image", "tag", "boxes"))
            for class_id, (name, colour) in enumerate({"good": (0, 0, 0), **COLOURS}.items(), start=-1):
                pixels = np.zeros((320, 240, 3), np.uint8)
                pixels[self.TOP : self.TOP + self.SIDE, self.LEFT : self.LEFT + self.SIDE] = colour
                cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), pixels)
                sides = {"left": self.LEFT, "top": self.TOP, "width": self.SIDE, "height": self.SIDE}
                boxes = [] if class_id < 0 else [{"class_id": class_id, **sides}]
                rows.writerow((f"{name}.png", name, json.dumps(boxes)))
        return tmp_path / "labels.csv"

    @pytest.fixture
    def package(self, labels: Path) -> Path:
        root, images = labels.parent, labels.parent / "images"
        (root / "plain.onnx").write_bytes(colour_yolo().SerializeToString())
        modelkit("export", root / "plain.onnx", "--output", root / "fp32.onnx", "--images", images)
        named = ("--labels", labels, "--images", images, "--parts", "good", *COLOURS)
        modelkit("quantize", root / "fp32.onnx", *named, "--output", root / "int8.onnx")
        golden = [images / f"{name}.png" for name in ("good", *COLOURS)]
        models = ("--fp32", root / "fp32.onnx", "--int8", root / "int8.onnx")
        about = ("--name", "colours", "--version", "2.1.0")
        modelkit("package", *about, *models, "--golden", *golden, "--output", root / "package")
        modelkit("verify", root / "package")
        return root / "package"

    @pytest.mark.parametrize("precision", ["fp32", "int8"])
    def test_the_inspector_judges_by_it(self, package: Path, precision: str) -> None:
        """By its labels, and boxes are where the spots are, of a size that only the right input size gives."""
        images = [package.parent / "images" / f"{name}.png" for name in ("good", *COLOURS)]
        command = [
            sys.executable,
            "-m",
            "inspector",
            "once",
            "--model",
            str(package),
            "--precision",
            precision,
        ]
        run = subprocess.run([*command, *map(str, images)], capture_output=True, text=True, check=True)
        good, *spotted = [json.loads(line) for line in run.stdout.splitlines()]
        assert good["verdict"] == "pass"
        assert [result["verdict"] for result in spotted] == ["fail"] * 6
        assert [{each["label"] for each in result["detections"]} for result in spotted] == [
            {name} for name in COLOURS
        ]
        assert {result["model"]["name"] for result in spotted} == {"colours"}
        for result in spotted:
            strongest = result["detections"][0]
            middle = strongest["left"] + strongest["width"] / 2, strongest["top"] + strongest["height"] / 2
            assert middle == pytest.approx((self.LEFT + self.SIDE / 2, self.TOP + self.SIDE / 2), abs=16)
            scale = min(HEIGHT / 320, WIDTH / 240)
            assert strongest["height"] == pytest.approx(2 * REACH_PX / scale, abs=8)


PICTURES = 240
RECIPE = ("height=160", "width=128", "epochs=16", "batch=8", "nbs=8", "mosaic=0", "close_mosaic=0")
"""Small, so that it is learned in a minute or two; the rest is the recipe's as it is for tags."""


@dataclass(frozen=True)
class Trained:
    """What came of the made-up parts: a checkout whose model is theirs, and how it was evaluated."""

    checkout: Path
    images: Path
    held_out: Mapping[str, list[dict[str, Any]]]
    """Picture -> labelled boxes, of parts that the network has not seen."""
    evaluation: dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """From labels to package, by the command lines."""
    root = tmp_path_factory.mktemp("marks")
    dataset, fold = root / "fold0", root / "folds" / "fold0"
    fp32, int8 = fold / "fp32.onnx", fold / "int8.onnx"
    labels = made_up_parts.make(root / "parts", PICTURES)
    images = labels.parent / "images"
    labelled = ("--labels", labels, "--images", images)
    modelkit("dataset", *labelled, "--fold", 0, "--output", dataset)
    modelkit("train", dataset, "--recipe", "scratch", "--set", *RECIPE, "--device", "cpu", "--output", fold)
    modelkit("export", fold / "model.pt", "--size", "160x128", "--images", images, "--output", fp32)
    modelkit("quantize", fp32, *labelled, "--fold", fold / "recipe.json", "--output", int8)
    told = io.StringIO()
    with redirect_stdout(told):
        modelkit("evaluate", "--folds", root / "folds", *labelled, "--json")
    shutil.copytree(ROOT / "tools", root / "checkout" / "tools")
    shutil.copytree(ROOT / "models", root / "checkout" / "models")
    seen = dataset / "images" / "train"
    models = ("--fp32", fp32, "--int8", int8, "--golden", seen, "--images", seen)
    package = root / "checkout" / "models"
    modelkit("package", "--name", "marks", "--version", MODEL_VERSION, *models, "--output", package)
    modelkit("verify", package)
    parts = json.loads((fold / "recipe.json").read_bytes())["held_out"]
    with labels.open(newline="") as file:
        held_out = {
            row["image"]: json.loads(row["boxes"]) for row in csv.DictReader(file) if row["tag"] in parts
        }
    return Trained(root / "checkout", images, held_out, json.loads(told.getvalue()))


@pytest.mark.models
@pytest.mark.filterwarnings("ignore")  # Ultralytics' and torch's own
@pytest.mark.timeout(1800)
class TestMarks:
    """A network trained on made-up parts: six kinds of mark, in colour, in upright pictures."""

    @pytest.fixture
    def build(self, build: Path, trained: Trained, tmp_path: Path) -> Path:
        """Both components, the model being that of a checkout in which nothing but the package is other."""
        output = shutil.copytree(build, tmp_path / "build")
        command = [sys.executable, str(trained.checkout / "tools" / "build.py"), "model"]
        subprocess.run([*command, "--output", str(output)], check=True)
        return output

    def test_it_finds_marks_on_parts_that_it_has_not_seen(self, trained: Trained) -> None:
        """On these a network that learned nothing has a mean average precision of about 0."""
        fp32, int8 = trained.evaluation["fp32"], trained.evaluation["int8"]
        assert fp32["images"] == int8["images"] == len(trained.held_out) == PICTURES // 5
        assert fp32["map50"] >= 0.8
        assert int8["map50"] >= fp32["map50"] - 0.02
        assert int8["map50_95"] >= fp32["map50_95"] - 0.03
        assert trained.evaluation["verdict_flips"] == 0
        assert (fp32["overkill"], int8["overkill"]) == (0, 0)

    def test_the_package_is_of_this_problem(self, trained: Trained) -> None:
        manifest = json.loads((trained.checkout / "models" / "manifest.json").read_bytes())
        assert (manifest["name"], tuple(manifest["labels"])) == ("marks", made_up_parts.CLASSES)
        assert (manifest["input"]["height"], manifest["input"]["width"]) == (160, 128)
        assert {file["precision"]: file["kind"] for file in manifest["files"]} == {
            "fp32": "cut",
            "int8": "cut",
        }
        assert (trained.checkout / "models" / "int8.onnx").stat().st_size <= INT8_BYTES

    def test_deployed_it_judges_the_parts(self, edge: Edge, trained: Trained) -> None:
        """Messages tell the six kinds apart, and where they are in the picture as it was taken."""
        edge.start()
        for name in trained.held_out:
            edge.drop(trained.images / name, name)
        results = {each["image"]["name"]: each for each in edge.wait_for_results(len(trained.held_out))}
        assert set(results) == set(trained.held_out)
        for result in results.values():
            assert (result["model"]["name"], result["model"]["version"]) == ("marks", MODEL_VERSION)
            assert (result["image"]["width"], result["image"]["height"]) == (240, 320)
        found = [each["label"] for result in results.values() for each in result["detections"]]
        assert set(found) == set(made_up_parts.CLASSES)
        verdicts = {name: result["verdict"] for name, result in results.items()}
        assert {verdicts[name] for name, boxes in trained.held_out.items() if not boxes} == {"pass"}
        failed = [verdicts[name] == "fail" for name, boxes in trained.held_out.items() if boxes]
        assert np.mean(failed) >= 0.7
        marks = [(results[name], box) for name, boxes in trained.held_out.items() for box in boxes]
        assert np.mean([is_found(result, box) for result, box in marks]) >= 0.7


def is_found(result: Mapping[str, Any], box: Mapping[str, Any]) -> bool:
    """Whether a labelled mark lies under a detection of its kind."""
    label = made_up_parts.CLASSES[box["class_id"]]
    return any(each["label"] == label and overlap(each, box) >= 0.5 for each in result["detections"])
