"""A package says what it is, is the same when made again, and catches a model or a device that decides otherwise."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.core.detections import Detections
from inspector.core.package import GoldenDetection, Thresholds, parse_manifest
from inspector.shell import detector
from inspector.shell.package import PackageError
from modelkit.__main__ import main
from modelkit.golden import CLEARANCE, GoldenError, Picture, compare, expect
from modelkit.package import PackagingError, package
from modelkit.verify import verify

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "fp32.onnx"
GOOD = ROOT / "models" / "golden" / "tag-0008.jpg"
SCRATCHED = ROOT / "models" / "golden" / "tag-0006.jpg"
THRESHOLDS = Thresholds(confidence=0.5, low_confidence=0.25)


def make(directory: Path, *, golden: tuple[Path, ...] = (GOOD, SCRATCHED), version: str = "1.2.3") -> Path:
    package(
        directory,
        name="tags",
        version=version,
        models={"fp32": MODEL},
        golden=golden,
        thresholds=THRESHOLDS,
    )
    return directory


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return make(tmp_path / "package")


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def test_the_manifest_says_what_the_export_says(made: Path) -> None:
    manifest = parse_manifest((made / "manifest.json").read_bytes())
    assert (manifest.name, manifest.version, manifest.labels) == ("tags", "1.2.3", ("scratch",))
    assert (manifest.input.width, manifest.input.height) == (448, 320)
    (file,) = manifest.files
    assert (file.name, file.precision, file.bytes) == ("fp32.onnx", "fp32", MODEL.stat().st_size)
    assert file.made_by == "Ultralytics 8.4.190, exported 2026-11-22"


def test_golden_pictures_carry_what_the_shipped_detector_finds(made: Path) -> None:
    (file,) = parse_manifest((made / "manifest.json").read_bytes()).files
    found = {golden.image: len(golden.detections) for golden in file.golden}
    assert found == {"golden/tag-0008.jpg": 0, "golden/tag-0006.jpg": 2, "golden/blue-light.png": 0}


def test_the_same_inputs_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    assert contents(make(tmp_path / "again")) == contents(made)


def test_packaging_again_replaces_what_was_there_and_leaves_the_rest(made: Path) -> None:
    (made / "recipe.yaml").write_text("stays")
    make(made, golden=(GOOD,), version="1.2.4")
    assert set(contents(made)) == {
        "manifest.json",
        "fp32.onnx",
        "golden/tag-0008.jpg",
        "golden/blue-light.png",
        "recipe.yaml",
    }


def test_a_package_can_be_made_of_its_own_files(made: Path) -> None:
    before = contents(made)
    golden = [made / "golden" / GOOD.name, made / "golden" / SCRATCHED.name]
    models = {"fp32": made / "fp32.onnx"}
    package(made, name="tags", version="1.2.3", models=models, golden=golden, thresholds=THRESHOLDS)
    assert contents(made) == before


def test_a_fresh_package_verifies(made: Path) -> None:
    assert verify(made) == []


def test_the_shipped_package_verifies() -> None:
    assert verify(ROOT / "models") == []


def test_the_shipped_golden_pictures_keep_clear_of_the_thresholds() -> None:
    """Their golden detections and those too weak to be expected, on this machine."""
    manifest = parse_manifest((ROOT / "models" / "manifest.json").read_bytes())
    model = detector.load(ROOT / "models")
    for golden in manifest.files[0].golden:
        found, _ = model.detect(Picture("", (ROOT / "models" / golden.image).read_bytes()).pixels())
        for threshold in (manifest.thresholds.confidence, manifest.thresholds.low_confidence):
            assert all(abs(found.confidences - threshold) >= CLEARANCE - 0.01)


def test_a_changed_model_is_named(made: Path) -> None:
    content = bytearray((made / "fp32.onnx").read_bytes())
    content[-1] ^= 1
    (made / "fp32.onnx").write_bytes(content)
    (fault,) = verify(made)
    assert "fp32.onnx has SHA-256" in fault


def test_a_missing_picture_is_named(made: Path) -> None:
    (made / "golden" / "tag-0006.jpg").unlink()
    (fault,) = verify(made)
    assert "golden/tag-0006.jpg" in fault


def test_a_changed_picture_is_named(made: Path) -> None:
    shutil.copyfile(GOOD, made / "golden" / "tag-0006.jpg")
    (fault,) = verify(made)
    assert fault.startswith("fp32.onnx on golden/tag-0006.jpg: SHA-256 is ")


def put_in(made: Path, name: str, content: bytes) -> None:
    """Replace a golden picture, its SHA-256 in the manifest too."""
    digest = hashlib.sha256((made / name).read_bytes()).hexdigest()
    manifest = (made / "manifest.json").read_text()
    (made / name).write_bytes(content)
    (made / "manifest.json").write_text(manifest.replace(digest, hashlib.sha256(content).hexdigest()))


def test_a_picture_that_is_judged_otherwise_is_named(made: Path) -> None:
    put_in(made, "golden/tag-0006.jpg", GOOD.read_bytes())
    assert verify(made) == ["fp32.onnx on golden/tag-0006.jpg: 0 detections, expected 2"]


def test_swapped_channels_fail_the_golden_pictures(made: Path) -> None:
    picture = made / "golden" / "blue-light.png"
    swapped = np.ascontiguousarray(cv2.imread(str(picture))[..., ::-1])
    put_in(made, "golden/blue-light.png", cv2.imencode(".png", swapped)[1].tobytes())
    (fault,) = verify(made)
    assert "blue-light.png" in fault and "detections, expected 0" in fault


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema": "other/1"}'])
def test_a_broken_manifest_is_named(made: Path, content: bytes) -> None:
    (made / "manifest.json").write_bytes(content)
    (fault,) = verify(made)
    assert "manifest.json" in fault


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    (fault,) = verify(tmp_path / "nowhere")
    assert "manifest.json" in fault


def test_a_picture_too_close_to_a_threshold_is_refused() -> None:
    model = detector.load(MODEL)
    pixels = cv2.imread(str(SCRATCHED))
    strongest = float(model.detect(pixels)[0].confidences[0])
    close = Thresholds(confidence=round(strongest - 0.05, 2), low_confidence=0.25)
    with pytest.raises(GoldenError, match=r"tag-0006.*less than 0\.1 from the threshold"):
        expect(model, Picture("golden/tag-0006.jpg", SCRATCHED.read_bytes()), close)


def test_a_picture_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(SCRATCHED.read_bytes()[:200])
    with pytest.raises(GoldenError, match=r"broken\.jpg"):
        make(tmp_path / "package", golden=(tmp_path / "broken.jpg",))
    assert not (tmp_path / "package").exists()


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match="different names"):
        make(tmp_path / "package", golden=(GOOD, GOOD))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no model")
    models = {"fp32": tmp_path / "no.onnx"}
    with pytest.raises(PackageError, match=r"no\.onnx"):
        package(tmp_path, name="x", version="1.0.0", models=models, golden=[GOOD], thresholds=THRESHOLDS)


@pytest.mark.parametrize(("name", "version"), [("a b", "1.0.0"), ("tags", "1.0")])
def test_a_name_or_version_that_the_device_would_refuse_is_refused(
    tmp_path: Path, name: str, version: str
) -> None:
    with pytest.raises(PackagingError, match="manifest would be invalid"):
        package(
            tmp_path, name=name, version=version, models={"fp32": MODEL}, golden=[GOOD], thresholds=THRESHOLDS
        )


EXPECTED = GoldenDetection(class_id=0, confidence=0.8, left=10.0, top=20.0, width=40.0, height=30.0)


def found(*rows: tuple[int, float, float, float, float, float]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    boxes = np.hstack([table[:, 2:4], table[:, 2:4] + table[:, 4:6]])
    return Detections(boxes, table[:, 1], table[:, 0].astype(np.int64))


@pytest.mark.parametrize(
    ("detections", "same"),
    [
        (found((0, 0.8, 10, 20, 40, 30)), True),
        (found((0, 0.84, 10.5, 20, 40, 30)), True),
        (found((0, 0.8, 10, 20, 40, 30), (0, 0.1, 0, 0, 9, 9)), True),
        (found((1, 0.8, 10, 20, 40, 30)), False),
        (found((0, 0.7, 10, 20, 40, 30)), False),
        (found((0, 0.8, 20, 20, 40, 30)), False),
        (found((0, 0.8, 10, 20, 40, 30), (0, 0.6, 99, 99, 9, 9)), False),
        (found(), False),
    ],
)
def test_the_same_detections_are_those_of_one_class_place_and_confidence(
    detections: Detections, same: bool
) -> None:
    assert (compare((EXPECTED,), detections, 0.25) is None) == same


def test_the_commands_make_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "my package"
    arguments = ["--name", "tags", "--version", "1.0.0", "--fp32", str(MODEL), "--golden", str(GOOD)]
    assert main(["package", *arguments, "--output", str(output)]) == 0
    assert main(["verify", str(output)]) == 0
    (output / "fp32.onnx").unlink()
    assert main(["verify", str(output)]) == 1
    assert "fp32.onnx" in capsys.readouterr().err


def test_thresholds_the_wrong_way_round_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--name", "tags", "--version", "1.0.0", "--fp32", str(MODEL), "--golden", str(GOOD)]
    arguments += ["--confidence", "0.2", "--low-confidence", "0.4", "--output", str(tmp_path / "out")]
    assert main(["package", *arguments]) == 1
    assert "low_confidence 0.4 is above confidence 0.2" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["export"], ["package"], ["verify"]])
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "example" in capsys.readouterr().out


def test_it_starts_without_torch_or_ultralytics() -> None:
    code = (
        "import modelkit.__main__, sys; sys.exit(bool({'torch', 'ultralytics', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_manifest_follows_its_schema(made: Path) -> None:
    import jsonschema

    schema = json.loads((ROOT / "docs" / "schema" / "manifest.json").read_text("utf-8"))
    jsonschema.validate(json.loads((made / "manifest.json").read_text("utf-8")), schema)
