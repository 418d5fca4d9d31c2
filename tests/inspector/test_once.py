"""``inspector once`` as a process, with the packaged model and the sample pictures."""

import csv
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "sample_images").glob("*.jpg"))
SCHEMA = json.loads((ROOT / "docs" / "schema" / "result.json").read_text())


def once(
    *arguments: object, model: Path = ROOT / "models", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "inspector", "once", *map(os.fsencode, map(str, arguments))]
    return subprocess.run(
        [*command, "--model", model], capture_output=True, env=os.environ | environment, timeout=60
    )


def results(run: subprocess.CompletedProcess[bytes]) -> list[dict]:
    """The lines that were printed, each a valid result message."""
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    return lines


def scratched() -> dict[str, bool]:
    """Whether each sample picture shows a scratch, by its labels."""
    with (ROOT / "sample_images" / "labels.csv").open() as file:
        return {row["image"]: bool(json.loads(row["boxes"])) for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def samples() -> subprocess.CompletedProcess[bytes]:
    """One run over all sample pictures."""
    return once(*SAMPLES)


def test_each_sample_gets_one_valid_line_in_order(samples) -> None:
    """Exit status 0, nothing on standard error, the model named."""
    assert (samples.returncode, samples.stderr) == (0, b"")
    lines = results(samples)
    assert [line["image"]["name"] for line in lines] == [image.name for image in SAMPLES]
    assert [line["seq"] for line in lines] == list(range(1, len(SAMPLES) + 1))
    manifest = json.loads((ROOT / "models" / "manifest.json").read_text())
    assert {(line["model"]["name"], line["model"]["version"]) for line in lines} == {
        (manifest["name"], manifest["version"])
    }


def test_the_verdicts_on_the_samples_are_sensible(samples) -> None:
    """No good part fails, no scratched one passes, and all three verdicts occur."""
    truth = scratched()
    verdicts = {line["image"]["name"]: line["verdict"] for line in results(samples)}
    assert set(verdicts.values()) == {"pass", "fail", "review"}
    for name, verdict in verdicts.items():
        assert verdict != ("pass" if truth[name] else "fail"), name


def test_an_unusual_picture_is_a_review_that_says_why(tmp_path) -> None:
    """What is unusual about it on standard error; it was inspected, so the exit status is 0."""
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((300, 450, 3), np.uint8))
    run = once(black)
    (line,) = results(run)
    assert (run.returncode, line["verdict"]) == (0, "review")
    assert "unusual_image" in line["reasons"]
    complaints = run.stderr.decode().splitlines()
    assert f"inspector once: {black}: unusual brightness 0, known 27.2 to 249" in complaints


def test_the_same_picture_twice_is_judged_twice(tmp_path) -> None:
    """These come from no camera that could be stuck."""
    good = next(image for image in SAMPLES if image.name == "tag-0004.jpg")
    copy = shutil.copy(good, tmp_path / "copy.jpg")
    assert [line["verdict"] for line in results(once(good, copy))] == ["pass", "pass"]


def test_what_cannot_be_inspected_has_its_line_and_exit_status_1(tmp_path) -> None:
    """Good pictures between bad files are inspected all the same, each in its place."""
    (tmp_path / "cut.jpg").write_bytes(SAMPLES[0].read_bytes()[:9_000])
    (tmp_path / "text.jpg").write_text("scratch at the upper left\n")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.jpg").mkdir()
    names = ["cut.jpg", "missing.jpg", "text.jpg", "empty.png", "folder.jpg"]
    run = once(SAMPLES[0], *(tmp_path / name for name in names), SAMPLES[1])
    assert run.returncode == 1
    good, *bad, last = results(run)
    assert (good["image"]["name"], last["image"]["name"]) == (SAMPLES[0].name, SAMPLES[1].name)
    assert "error" not in good["kept"] + last["kept"]
    assert [(line["image"]["name"], line["verdict"], line["reasons"]) for line in bad] == [
        ("cut.jpg", "review", ["unreadable"]),
        ("missing.jpg", "review", ["unreadable"]),
        ("text.jpg", "review", ["unsupported"]),
        ("empty.png", "review", ["unreadable"]),
        ("folder.jpg", "review", ["unreadable"]),
    ]


def test_what_is_no_file_is_not_waited_for(tmp_path) -> None:
    """A FIFO that nobody writes to, a socket and an endless device are unreadable, at once."""
    os.mkfifo(tmp_path / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        run = once(tmp_path / "fifo.jpg", tmp_path / "socket.jpg", "/dev/zero", SAMPLES[0])
    assert run.returncode == 1
    *bad, good = results(run)
    assert [line["reasons"] for line in bad] == [["unreadable"]] * 3
    assert "error" not in good["kept"]


def test_any_name_and_any_locale_will_do(tmp_path) -> None:
    """A name with spaces, a newline and bytes that are not UTF-8, where the terminal knows ASCII alone."""
    name = "a b\n部\udcff.jpg"
    shutil.copy(SAMPLES[0], tmp_path / name)
    run = once(tmp_path / name, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert run.returncode == 0, run.stderr
    assert [line["image"]["name"] for line in results(run)] == ["a b\n部\\xff.jpg"]


def test_thresholds_may_be_given(tmp_path) -> None:
    """With an accepting threshold that nothing reaches, no part fails."""
    run = once(*SAMPLES, "--confidence", "0.999", "--low-confidence", "0.2")
    assert run.returncode == 0
    assert {line["verdict"] for line in results(run)} == {"pass", "review"}


def test_a_single_onnx_file_is_a_model_too() -> None:
    """Without a manifest, labels and sizes are those of the export; the same defects are found."""
    (line,) = results(once(SAMPLES[0], model=ROOT / "models" / "fp32.onnx"))
    (packaged,) = results(once(SAMPLES[0], "--precision", "fp32"))
    assert line["model"]["name"] == "fp32"
    assert line["detections"] == packaged["detections"]


@pytest.mark.parametrize(
    ("arguments", "model", "complaint"),
    [
        ((), "nowhere", b"nowhere"),
        ((), "pyproject.toml", b"pyproject.toml"),
        (("--confidence", "high"), "models", b"ConfidenceThreshold='high'"),
        (("--confidence", "0.2", "--low-confidence", "0.4"), "models", b"is above ConfidenceThreshold"),
    ],
)
def test_without_a_model_or_valid_options_nothing_is_inspected(arguments, model, complaint) -> None:
    """Exit status 2, nothing on standard output, one line that says what to mend."""
    run = once(SAMPLES[0], *arguments, model=ROOT / model)
    assert (run.returncode, run.stdout) == (2, b"")
    assert complaint in run.stderr
    assert run.stderr.startswith(b"inspector once: ")
    assert b"Traceback" not in run.stderr


def test_a_precision_that_the_package_lacks_is_no_precision(tmp_path: Path) -> None:
    """Exit status 2; with what it does offer."""
    package = shutil.copytree(ROOT / "models", tmp_path / "package")
    manifest = json.loads((package / "manifest.json").read_bytes())
    manifest["files"] = [file for file in manifest["files"] if file["precision"] == "fp32"]
    (package / "manifest.json").write_text(json.dumps(manifest))
    run = once(SAMPLES[0], "--precision", "int8", model=package)
    assert (run.returncode, run.stdout) == (2, b"")
    assert b"it holds no int8 file, only fp32" in run.stderr


def test_a_reader_that_has_seen_enough_is_no_error_to_shout_about() -> None:
    """`inspector once … | head -1` ends without a traceback."""
    command = (
        f"{shlex.quote(sys.executable)} -m inspector once --model models sample_images/*.jpg | head -n 1"
    )
    run = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, timeout=60)
    assert len(run.stdout.splitlines()) == 1
    assert run.stderr == b""


def test_it_leaves_no_trace_in_the_home_directory(tmp_path: Path) -> None:
    """ONNX Runtime neither reports nor writes its identifier: what is inspected is nobody else's business."""
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-m", "inspector", "once", "--model", str(ROOT / "models")]
    command.append(str(ROOT / "sample_images" / "tag-0001.jpg"))
    subprocess.run(command, env=environment, capture_output=True, check=True)
    assert list(tmp_path.rglob("*")) == []
