"""A package says what it is, is the same when made again, and replaces another only if it is no worse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from inspector.core.package import Manifest, ModelFile, Thresholds, parse_manifest
from inspector.shell import detector
from inspector.shell.package import Trust, read_package
from modelkit.__main__ import main
from modelkit.golden import CLEARANCE, Picture
from modelkit.labels import LabelledBox
from modelkit.package import Background, draft
from modelkit.predictions import SCHEMA, PredictedBox, Prediction, Predictions, write
from modelkit.signing import make_keys
from modelkit.verify import verify
from small_disk import small_disk
from tiny_detector import write_detector, write_picture

ROOT = Path(__file__).parents[2]
REDS = {"good": 0.0, "bad": 0.9, "good2": 0.07, "doubtful": 0.4}
THRESHOLDS = Thresholds(confidence=0.6, low_confidence=0.2)


class Bench:
    """Models and candidates, and the command that makes a package of them in ``output``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "out"
        self.fp32 = write_detector(directory / "a.onnx")
        self.int8 = write_detector(directory / "b.onnx", quantized=True)
        self.candidates = directory / "candidates"
        self.candidates.mkdir()
        for number, (name, red) in enumerate(REDS.items()):
            write_picture(self.candidates / f"{name}.png", red, noise=number)

    def run(self, *more: object, version: str = "1.2.3", **changes: object) -> int:
        options = {
            "name": "tags",
            "version": version,
            "fp32": self.fp32,
            "int8": self.int8,
            "golden": self.candidates,
            "output": self.output,
            "confidence": 0.6,
            "low_confidence": 0.2,
        } | changes
        given = [
            f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None
        ]
        return main(["package", *given, *map(str, more)])

    def manifest(self) -> Manifest:
        return parse_manifest((self.output / "manifest.json").read_bytes())

    def predictions(self, *confidences: float, names: tuple[str, ...] = ("scratch",)) -> Path:
        """Out of fold: a scratched picture for each confidence, and as many good ones."""
        pictures = [
            Prediction(
                image=f"{number}.jpg",
                part=f"part-{number // 2}",
                width=450,
                height=300,
                is_unusual=False,
                labels=(LabelledBox(0, 10, 10, 50, 50),) if is_bad else (),
                detections={
                    precision: (PredictedBox(0, confidence, 10, 10, 50, 50, is_bad),) if is_bad else ()
                    for precision in ("fp32", "int8")
                },
                fold=number % 5,
                is_part_unseen=True,
            )
            for is_bad in (True, False)
            for number, confidence in enumerate(confidences, start=100 * is_bad)
        ]
        path = self.directory / "out-of-fold.json"
        write(Predictions(SCHEMA, names, ("fp32", "int8"), tuple(pictures)), path)
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def test_predictions_of_a_random_split_are_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """The models have seen other pictures of the same parts."""
    path = bench.predictions(0.9)
    path.write_bytes(path.read_bytes().replace(b'"is_part_unseen":true', b'"is_part_unseen":false'))
    assert "is of a random split" in refusal(bench, capsys, out_of_fold=path)


def test_predictions_of_which_nobody_knows_say_so(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one model on all pictures: they may be its own."""
    path = bench.predictions(0.9)
    text = re.sub(
        rb'"fold":\d,"is_part_unseen":true', b'"fold":null,"is_part_unseen":false', path.read_bytes()
    )
    path.write_bytes(text)
    assert bench.run(out_of_fold=path) == 0
    assert "may have been trained on" in capsys.readouterr().out
    evidence = bench.manifest().evidence
    assert evidence and not evidence.out_of_fold


def test_what_is_no_package_is_not_replaced(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of somebody else that happen to have the names of a package's."""
    mine = {"golden/mine.png": b"mine", "manifest.json": b'{"name": "a web app"}', "int8.onnx": b"mine"}
    for name, content in mine.items():
        (bench.output / name).parent.mkdir(parents=True, exist_ok=True)
        (bench.output / name).write_bytes(content)
    assert "holds no package, but manifest.json, golden, int8.onnx" in refusal(bench, capsys)
    assert contents(bench.output) == mine


def test_the_manifest_says_what_the_exports_say(bench: Bench) -> None:
    assert bench.run() == 0
    manifest = bench.manifest()
    assert (manifest.name, manifest.version, manifest.labels) == ("tags", "1.2.3", ("scratch",))
    assert (manifest.input.width, manifest.input.height) == (64, 64)
    assert manifest.thresholds == THRESHOLDS
    assert [(file.name, file.precision, file.kind) for file in manifest.files] == [
        ("fp32.onnx", "fp32", "plain"),
        ("int8.onnx", "int8", "plain"),
    ]
    assert {file.made_by for file in manifest.files} == {"Ultralytics 8.4.190, exported 2026-11-22"}


def test_cut_networks_are_packaged_as_such(bench: Bench) -> None:
    """And decide as their plain exports do."""
    assert bench.run() == 0
    plain = bench.manifest().files
    write_detector(bench.fp32, kind="cut")
    write_detector(bench.int8, kind="cut", quantized=True)
    assert bench.run(version="1.3.0") == 0
    assert verify(bench.output) == []
    cut = bench.manifest().files
    assert [file.kind for file in cut] == ["cut", "cut"]
    for before, after in zip(plain, cut, strict=True):
        assert confidences(before) == pytest.approx(confidences(after), abs=0.002)


def confidences(file: ModelFile) -> list[float]:
    return [found.confidence for golden in file.golden for found in golden.detections]


def test_the_manifest_follows_its_schema(bench: Bench) -> None:
    assert bench.run(out_of_fold=bench.predictions(0.9), recipe=written(bench, '{"seed": 7}')) == 0
    schema = json.loads((ROOT / "docs" / "schema" / "manifest.json").read_text("utf-8"))
    jsonschema.validate(json.loads((bench.output / "manifest.json").read_text("utf-8")), schema)


def written(bench: Bench, text: str) -> Path:
    path = bench.directory / "recipe.json"
    path.write_text(text)
    return path


def test_it_tells_which_pictures_are_golden_and_why_others_are_not(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture(bench.candidates / "near.png", 0.65)
    assert bench.run() == 0
    said = capsys.readouterr().out
    assert (
        "golden: golden/good.png pass, golden/good2.png pass, golden/bad.png fail, golden/doubtful.png review, "
        "golden/blue-light.png review"
    ) in said
    assert "not golden: golden/near.png: a confidence of 0.6" in said
    assert {golden.image for golden in bench.manifest().files[0].golden} == {
        name for name in contents(bench.output) if name.startswith("golden/")
    }


def test_the_same_inputs_give_the_same_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another directory, at another time, on another number of processors; and of files with other times."""
    options: dict[str, object] = {
        "out_of_fold": bench.predictions(0.9, 0.8),
        "recipe": written(bench, '{"z": 1, "a": 2}'),
    }
    assert bench.run(**options) == 0
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 1e6)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    bench.fp32.touch()
    assert bench.run(**options, output=bench.directory / "again" / "out") == 0
    assert contents(bench.directory / "again" / "out") == contents(bench.output)


def test_packaging_again_replaces_what_was_there_and_leaves_the_rest(bench: Bench) -> None:
    """A signature goes with the package that it was of, and so does a file of a precision that is gone."""
    make_keys(bench.directory / "keys", 3072)
    assert bench.run(sign=bench.directory / "keys" / "private.pem") == 0
    assert "manifest.sig" in contents(bench.output)
    (bench.output / "recipe.yaml").write_text("stays")
    (bench.candidates / "good2.png").unlink()
    assert bench.run(int8=None, version="1.2.4") == 0
    golden = {f"golden/{name}.png" for name in ("good", "bad", "doubtful", "blue-light")}
    assert set(contents(bench.output)) == {"manifest.json", "fp32.onnx", "recipe.yaml", *golden}


def test_a_package_can_be_made_of_its_own_files(bench: Bench) -> None:
    assert bench.run() == 0
    before = contents(bench.output)
    own = {"fp32": bench.output / "fp32.onnx", "int8": bench.output / "int8.onnx"}
    assert bench.run(**own, golden=bench.output / "golden") == 0
    assert contents(bench.output) == before


def test_a_fresh_package_verifies_and_is_signed_by_the_key_given(bench: Bench) -> None:
    make_keys(bench.directory / "keys", 3072)
    public = (bench.directory / "keys" / "public.pem").read_text()
    assert bench.run(sign=bench.directory / "keys" / "private.pem") == 0
    assert verify(bench.output, public) == []
    assert read_package(bench.output, "int8", Trust(public, is_required=True))


def test_thresholds_and_metrics_come_from_the_predictions(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "confidence": None,
        "low_confidence": None,
        "out_of_fold": bench.predictions(0.605, *[0.705] * 9),
    }
    assert bench.run(**options) == 0
    manifest = bench.manifest()
    assert manifest.thresholds == Thresholds(confidence=0.7, low_confidence=0.5)
    assert "(of 10, these pass: fp32 0, int8 0)" in manifest.threshold_rule
    assert manifest.threshold_rule in capsys.readouterr().out
    assert manifest.evidence
    assert (manifest.evidence.pictures, manifest.evidence.defective) == (20, 10)
    assert manifest.evidence.out_of_fold
    metrics = manifest.files[1].metrics
    assert {name: metrics[name] for name in ("escapes", "overkill", "review", "images")} == {
        "escapes": 0,
        "overkill": 0,
        "review": 1,
        "images": 20,
    }
    assert metrics["map50"] == metrics["map50_95"] == 1
    assert bench.run("--max-escapes=0.1", **options) == 0
    assert bench.manifest().thresholds == Thresholds(confidence=0.8, low_confidence=0.6)
    assert bench.manifest().files[0].metrics["review"] == 10
    assert bench.run("--max-escapes=0.1", "--margin=0.05", **options) == 0
    assert bench.manifest().thresholds == Thresholds(confidence=0.75, low_confidence=0.65)
    assert bench.manifest().files[0].metrics["escapes"] == 1


def test_what_is_set_goes_before_the_rule(bench: Bench) -> None:
    assert bench.run(out_of_fold=bench.predictions(0.7), confidence=0.6, low_confidence=0.2) == 0
    assert bench.manifest().thresholds == THRESHOLDS
    assert bench.manifest().threshold_rule.count("set by hand") == 2
    assert bench.manifest().files[0].metrics["escapes"] == 0


def test_how_it_was_trained_stands_in_the_manifest(bench: Bench) -> None:
    recipe = {"seed": 7, "parameters": {"lr0": 0.002}, "trained_on": ["tag-1"]}
    assert bench.run(recipe=written(bench, json.dumps(recipe))) == 0
    assert bench.manifest().recipes == (recipe,)
    assert bench.run("--recipe", bench.directory / "recipe.json", bench.directory / "recipe.json") == 0
    assert bench.manifest().recipes == (recipe, recipe)


def test_a_manifest_without_what_came_later_is_still_one() -> None:
    """As packages were made before there were recipes, evidence and cut networks."""
    old = {
        "schema": "edge-inspector/model/1",
        "name": "tags",
        "version": "0.1.0",
        "labels": ["scratch"],
        "input": {"width": 448, "height": 320},
        "thresholds": {"confidence": 0.5, "low_confidence": 0.25},
        "files": [
            {
                "name": "fp32.onnx",
                "precision": "fp32",
                "sha256": "0" * 64,
                "bytes": 1,
                "golden": [],
                "metrics": {},
                "made_by": "",
            }
        ],
    }
    manifest = parse_manifest(json.dumps(old).encode())
    assert (manifest.recipes, manifest.evidence, manifest.files[0].kind) == ((), None, "plain")


def refusal(bench: Bench, capsys: pytest.CaptureFixture[str], *more: object, **changes: object) -> str:
    """What it says, having left nothing behind."""
    before = contents(bench.output)
    assert bench.run(*more, **changes) == 1  # type: ignore[arg-type]
    assert contents(bench.output) == before
    assert bench.output.exists() == bool(before)
    return capsys.readouterr().err


@pytest.mark.parametrize("version", ["1.0", "1.0.0-rc1", "v1.0.0", "01.0.0", "1.0.0\n", "one", ""])
def test_a_version_that_is_none_is_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    assert f"version {version!r} should be three numbers such as 1.0.0" in refusal(
        bench, capsys, version=version
    )


def test_a_name_that_the_device_would_refuse_is_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "name 'a b' should be" in refusal(bench, capsys, name="a b")


@pytest.mark.parametrize("content", [b"no model", b""])
def test_a_file_that_is_no_model_is_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    bench.fp32.write_bytes(content)
    assert "a.onnx" in refusal(bench, capsys)


def test_a_network_that_is_no_detector_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    write_detector(bench.fp32, named=False)
    assert "a.onnx refused: its metadata lacks" in refusal(bench, capsys)


def test_files_of_different_models_are_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    write_detector(bench.int8, quantized=True, labels=("dent",))
    assert "differ in class names: scratch, and dent" in refusal(bench, capsys)
    write_detector(bench.int8, quantized=True, size=96)
    assert "differ in input size: 64x64, and 96x96" in refusal(bench, capsys)


def test_files_given_the_wrong_way_round_are_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "b.onnx is quantized, and was given as fp32" in refusal(bench, capsys, fp32=bench.int8)
    assert "a.onnx is not quantized, and was given as int8" in refusal(bench, capsys, int8=bench.fp32)


def test_predictions_that_are_not_of_these_models_are_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    of_others = bench.predictions(0.9, names=("dent",))
    assert "is of the classes dent, the models of scratch" in refusal(bench, capsys, out_of_fold=of_others)
    fp32_alone = json.loads(bench.predictions(0.9).read_text())
    fp32_alone["precisions"] = ["fp32"]
    of_others.write_text(json.dumps(fp32_alone))
    assert "has no int8 predictions" in refusal(bench, capsys, out_of_fold=of_others)
    of_others.write_text("{")
    assert "no file of predictions" in refusal(bench, capsys, out_of_fold=of_others)


def test_thresholds_that_cannot_be_are_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert "low_confidence 0.7 is above confidence 0.6" in refusal(bench, capsys, low_confidence=0.7)
    assert "confidence is 1.5, not 0 to 1" in refusal(bench, capsys, confidence=1.5)
    assert "low_confidence is -1.0, not 0 to 1" in refusal(bench, capsys, low_confidence=-1)


def test_a_rule_without_predictions_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert "choose from --out-of-fold" in refusal(bench, capsys, max_escapes=0.1)


def test_a_recipe_that_is_none_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert "recipe.json is no recipe" in refusal(bench, capsys, recipe=written(bench, "[1]"))


def test_a_key_that_is_none_is_refused_before_anything_is_made(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run() == 0
    assert "a.onnx is no private key" in refusal(bench, capsys, sign=bench.fp32, version="1.3.0")


def test_a_full_disk_leaves_the_package_that_was_there(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(bench.directory / "small", 1) as disk:
        bench.output = disk.path / "out"
        assert bench.run() == 0
        disk.fill()
        assert "No space left" in refusal(bench, capsys, version="1.3.0")


class TestGate:
    """Against the package that is there, of whose predictions every other one is worse or better."""

    @pytest.fixture
    def bench(self, bench: Bench) -> Bench:
        assert bench.run(out_of_fold=bench.predictions(0.9, 0.9, 0.9)) == 0
        return bench

    def test_a_worse_package_is_refused_with_the_figures(
        self, bench: Bench, capsys: pytest.CaptureFixture[str]
    ) -> None:
        worse = bench.predictions(0.9, 0.9, 0.1)
        said = refusal(bench, capsys, version="1.3.0", against=bench.output, out_of_fold=worse)
        assert f"must not replace {bench.output}" in said
        assert "fp32: escapes 1 of 6 pictures, before 0" in said
        assert "int8: escapes 1 of 6 pictures, before 0" in said

    def test_it_is_made_where_it_is_forced_and_says_so(
        self, bench: Bench, capsys: pytest.CaptureFixture[str]
    ) -> None:
        worse = bench.predictions(0.9, 0.9, 0.1)
        assert bench.run("--force", against=bench.output, out_of_fold=worse) == 0
        said = capsys.readouterr().out
        assert "made nevertheless: version 1.2.3 is not above 1.2.3" in said
        assert "made nevertheless: fp32: escapes 1 of 6 pictures, before 0" in said

    def test_one_as_good_is_made(self, bench: Bench) -> None:
        same = bench.predictions(0.9, 0.9, 0.95)
        assert bench.run(version="1.3.0", against=bench.output, out_of_fold=same) == 0
        assert bench.manifest().version == "1.3.0"

    def test_a_downgrade_is_refused(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        same = bench.predictions(0.9, 0.9, 0.9)
        said = refusal(bench, capsys, version="1.2.2", against=bench.output, out_of_fold=same)
        assert said.endswith("version 1.2.2 is not above 1.2.3\n")

    def test_without_metrics_of_the_same_pictures_it_is_refused(
        self, bench: Bench, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said = refusal(bench, capsys, version="1.3.0", against=bench.output)
        assert "the new one has no metrics on labelled pictures; measure both, --on" in said
        other = bench.predictions(0.9, 0.9)
        said = refusal(bench, capsys, version="1.3.0", against=bench.output, out_of_fold=other)
        assert "not taken on the same labelled pictures" in said

    def test_both_are_measured_on_labelled_pictures(
        self, bench: Bench, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The new one has a higher floor, and lets pass what the old one sends to review."""
        scratch = '"[{""class_id"": 0, ""left"": 24, ""top"": 24, ""width"": 16, ""height"": 16}]"'
        labels = bench.directory / "labels.csv"
        labels.write_text(
            f"image,tag,boxes\nbad.png,t1,{scratch}\ndoubtful.png,t1,{scratch}\ngood.png,t2,[]\n"
        )
        on = ("--on", labels, bench.candidates)
        assert bench.run(*on, version="1.3.0", against=bench.output) == 0
        said = refusal(bench, capsys, *on, version="1.4.0", against=bench.output, low_confidence=0.51)
        assert "fp32: escapes 1 of 3 pictures, before 0\n  int8: escapes 1 of 3 pictures, before 0\n" in said

    def test_what_is_no_package_is_told(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        said = refusal(bench, capsys, version="1.3.0", against=bench.candidates)
        assert "candidates holds no package to compare with" in said

    @pytest.mark.parametrize("option", ["--force", "--on"])
    def test_options_that_need_another_package_say_so(
        self, bench: Bench, capsys: pytest.CaptureFixture[str], option: str
    ) -> None:
        more = (option, "a", "b") if option == "--on" else (option,)
        assert "about --against" in refusal(bench, capsys, *more)


def test_a_draft_says_what_is_known_of_the_model(bench: Bench) -> None:
    """Nothing, where nothing is."""
    made: dict[str, Any] = {
        "name": "tags",
        "version": "1.0.0",
        "models": {"fp32": bench.fp32},
        "candidates": sorted(bench.candidates.iterdir()),
        "thresholds": THRESHOLDS,
    }
    document = json.loads(draft(**made).contents["manifest.json"])
    assert {"recipes", "evidence", "threshold_rule", "images"}.isdisjoint(document)
    known = replace(Background(), threshold_rule="by hand")
    assert draft(**made, background=known).manifest.threshold_rule == "by hand"


def test_the_shipped_package_verifies() -> None:
    assert verify(ROOT / "models") == []


def test_the_shipped_golden_pictures_keep_clear_of_the_thresholds() -> None:
    """Their golden detections and those too weak to be expected, on this machine."""
    manifest = parse_manifest((ROOT / "models" / "manifest.json").read_bytes())
    for file in manifest.files:
        model = detector.load(ROOT / "models", precision=file.precision)
        for golden in file.golden:
            found, _ = model.detect(Picture("", (ROOT / "models" / golden.image).read_bytes()).pixels())
            for threshold in (manifest.thresholds.confidence, manifest.thresholds.low_confidence):
                assert all(abs(found.confidences - threshold) >= CLEARANCE - 0.01)


@pytest.mark.parametrize("command", [[], ["package"], ["verify"], ["keygen"], ["sign"]])
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "example" in capsys.readouterr().out


def test_it_starts_without_torch_or_ultralytics() -> None:
    code = "import modelkit.package_command, sys; sys.exit(bool({'torch', 'ultralytics', 'onnx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
