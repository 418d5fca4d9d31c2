"""Whether a device takes a model package, and which of its files it runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

from inspector.__main__ import main
from inspector.core.detections import Detections
from inspector.core.message import Latency
from inspector.core.model_status import Outcome
from inspector.core.package import Precision
from inspector.shell.detector import Detector
from inspector.trial import LEAST_ROUNDS, MOST_ROUNDS, attempt, measure
from model_versions import expect_otherwise, list_hashes, read, rewrite, tamper

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the shipped package, with its FP32 file alone."""
    shutil.copytree(MODELS, tmp_path / "package", ignore=shutil.ignore_patterns("int8.onnx"))
    files = [file for file in read(tmp_path / "package")["files"] if file["precision"] == "fp32"]
    rewrite(tmp_path / "package", files=files)
    return tmp_path / "package"


@pytest.fixture
def both(package: Path) -> Path:
    """With an INT8 file beside it, which is the same network under another name."""
    (file,) = read(package)["files"]
    shutil.copy(package / file["name"], package / "int8.onnx")
    rewrite(package, files=[file, file | {"name": "int8.onnx", "precision": "int8"}])
    return package


def speeds(monkeypatch: pytest.MonkeyPatch, fp32: float, int8: float) -> None:
    """Let the device be so fast."""
    monkeypatch.setattr("inspector.trial.measure", lambda *_: {"fp32": fp32, "int8": int8})


def change_int8(package: Path, **changes: Any) -> None:
    fp32, int8 = read(package)["files"]
    rewrite(package, files=[fp32, int8 | changes])


def test_a_package_of_one_file_runs_that_one(package: Path) -> None:
    """Nothing is measured, for there is no choice."""
    assert attempt(package, "auto", 1) == Outcome("accepted", precision="fp32")


def test_a_single_file_is_taken_as_it_is() -> None:
    """It has no golden pictures."""
    assert attempt(MODELS / "fp32.onnx", "auto", 1) == Outcome("accepted", precision="fp32")


def test_a_network_that_takes_nothing_is_refused_for_good(tmp_path: Path) -> None:
    """Whatever it puts out."""
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0])
    node = helper.make_node("Constant", [], ["output"], value=value)
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(
        helper.make_graph([node], "none", [], [output]), opset_imports=opset, ir_version=8
    )
    (tmp_path / "none.onnx").write_bytes(model.SerializeToString())
    outcome = attempt(tmp_path / "none.onnx", "auto", 1)
    assert (outcome.verdict, outcome.is_passing) == ("refused", False)


def test_int8_is_taken_where_it_is_faster(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By more than what is measured varies; the times are told."""
    speeds(monkeypatch, 18.0, 9.0)
    note = "int8 takes 9 ms a picture, fp32 18 ms"
    assert attempt(both, "auto", 1) == Outcome(
        "accepted", precision="int8", milliseconds={"fp32": 18.0, "int8": 9.0}, note=note
    )
    for milliseconds in (17.5, 31.6):
        speeds(monkeypatch, 18.0, milliseconds)
        assert attempt(both, "auto", 1).precision == "fp32"


def test_both_are_measured(both: Path) -> None:
    """On this machine; what comes of it depends on the machine."""
    outcome = attempt(both, "auto", 1)
    assert outcome.verdict == "accepted" and outcome.precision
    assert set(outcome.milliseconds) == {"fp32", "int8"} and min(outcome.milliseconds.values()) > 0


@pytest.mark.parametrize("choice", ["fp32", "int8"])
def test_a_precision_that_is_set_is_not_measured(both: Path, choice: Precision) -> None:
    assert attempt(both, choice, 1) == Outcome("accepted", precision=choice)


def test_a_package_without_golden_pictures_says_so(package: Path) -> None:
    """Nothing vouches for what it finds."""
    (file,) = read(package)["files"]
    rewrite(package, files=[file | {"golden": []}])
    outcome = attempt(package, "fp32", 1)
    assert (outcome.verdict, "no golden pictures" in outcome.note) == ("accepted", True)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("Failed to allocate memory for requested buffer of size 8"),
    ],
)
@pytest.mark.parametrize("where", ["fp32", "int8"])
def test_want_of_memory_passes(
    both: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    """Neither the package nor its INT8 file is to blame, and it is tried again."""
    detect = Detector.detect

    def short(self: Detector, pixels: Any, **options: Any) -> Any:
        if self.info.precision == where:
            raise error
        return detect(self, pixels, **options)

    monkeypatch.setattr(Detector, "detect", short)
    outcome = attempt(both, "auto", 1)
    assert (outcome.verdict, outcome.is_passing) == ("refused", True)
    assert "more memory" in outcome.fix


def test_whatever_a_package_makes_the_trial_raise_is_the_packages_fault(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would raise it again."""
    monkeypatch.setattr("inspector.trial.verdict_on", lambda *_: {}["unexpected"])
    outcome = attempt(package, "fp32", 1)
    assert (outcome.verdict, outcome.is_passing) == ("refused", False)
    assert "unexpected" in outcome.cause


def test_a_precision_that_is_not_there_is_refused(package: Path) -> None:
    """With those that are."""
    outcome = attempt(package, "int8", 1)
    assert (outcome.verdict, outcome.fix) == ("refused", "set Precision to fp32")


def test_golden_pictures_must_be_found_as_expected(package: Path) -> None:
    """Whichever precision: the cause names picture and difference."""
    expect_otherwise(package)
    outcome = attempt(package, "auto", 1)
    assert outcome.verdict == "refused" and not outcome.is_passing
    assert outcome.cause.startswith("fp32 finds in golden/tag-0008.jpg: 1 detections, expected 0")


def swap_colours(package: Path) -> None:
    """What a model of the other channel order finds under red light."""
    files = read(package)["files"]
    (red,) = (each for each in files[0]["golden"] if "red-light" in each["image"])
    red["detections"] = [
        {"class_id": 0, "confidence": 0.7, "left": 1.0, "top": 1.0, "width": 9.0, "height": 9.0}
    ]
    rewrite(package, files=files)


def damage_a_picture(package: Path) -> None:
    (package / "golden" / "tag-0008.jpg").write_bytes(b"no picture at all, by whatever name")


def damage_a_picture_and_list_it(package: Path) -> None:
    damage_a_picture(package)
    list_hashes(package)


def remove_a_picture(package: Path) -> None:
    (package / "golden" / "tag-0008.jpg").unlink()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (swap_colours, "fp32 finds in golden/red-light.png: 0 detections, expected 1"),
        (tamper, "fp32.onnx has SHA-256"),
        (damage_a_picture, "golden/tag-0008.jpg has SHA-256"),
        (damage_a_picture_and_list_it, "golden/tag-0008.jpg: the content is not JPEG"),
        (remove_a_picture, "No such file or directory"),
    ],
)
def test_what_is_wrong_is_told_and_stays_wrong(
    package: Path, change: Callable[[Path], None], cause: str
) -> None:
    """Each with a fix; none that would pass by itself."""
    change(package)
    outcome = attempt(package, "auto", 1)
    assert outcome.verdict == "refused" and cause in outcome.cause
    assert outcome.fix and not outcome.is_passing


def test_a_model_that_fails_on_a_golden_picture_is_refused(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on a blank one, on which it is tried first."""
    detect = Detector.detect

    def fail(self: Detector, pixels: Any, **options: Any) -> Any:
        if pixels.shape[0] > 64:
            raise RuntimeError("no such kernel")
        return detect(self, pixels, **options)

    monkeypatch.setattr(Detector, "detect", fail)
    assert "fp32 fails on golden/tag-0001.jpg: no such kernel" in attempt(package, "auto", 1).cause


def test_int8_that_decides_otherwise_is_left_out(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast it is. FP32 runs, and the reason is told; who asks for INT8 is refused."""
    speeds(monkeypatch, 18.0, 1.0)
    _, int8 = read(both)["files"]
    golden = json.loads(json.dumps(int8["golden"]))
    next(each for each in golden if each["detections"])["detections"].pop()
    change_int8(both, golden=golden)
    outcome = attempt(both, "auto", 1)
    assert (outcome.verdict, outcome.precision) == ("accepted", "fp32")
    assert outcome.note == ("int8 is not taken: int8 finds in golden/tag-0008.jpg: 1 detections, expected 0")
    assert attempt(both, "int8", 1).verdict == "refused"


def test_int8_that_nothing_vouches_for_is_left_out(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without golden pictures in common nobody knows whether it decides the same."""
    speeds(monkeypatch, 18.0, 1.0)
    for golden in ([], read(both)["files"][1]["golden"][:2]):
        change_int8(both, golden=golden)
        outcome = attempt(both, "auto", 1)
        assert outcome.precision == "fp32" and "no golden pictures that both" in outcome.note


def test_int8_that_is_blind_is_left_out(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds what is expected of it, nothing: the verdicts must be those of FP32."""
    speeds(monkeypatch, 18.0, 1.0)
    golden = [each | {"detections": []} for each in read(both)["files"][1]["golden"]]
    change_int8(both, golden=golden)
    detect = Detector.detect

    def blind(self: Detector, pixels: Any, **options: Any) -> tuple[Detections, Latency]:
        found, latency = detect(self, pixels, **options)
        return (Detections.none() if self.info.precision == "int8" else found), latency

    monkeypatch.setattr(Detector, "detect", blind)
    outcome = attempt(both, "auto", 1)
    assert outcome.precision == "fp32"
    assert outcome.note == "int8 is not taken: golden/tag-0008.jpg is a pass, and by fp32 a fail"


def test_a_damaged_int8_file_is_a_damaged_package(both: Path) -> None:
    """Even though FP32 could run."""
    content = bytearray((both / "int8.onnx").read_bytes())
    content[-1] ^= 1
    (both / "int8.onnx").write_bytes(content)
    outcome = attempt(both, "auto", 1)
    assert outcome.verdict == "refused" and "int8.onnx has SHA-256" in outcome.cause


class Timed:
    """A model whose every second picture is held up by something else, in which another's is not."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds, self.runs = clock, seconds, 0

    def detect(self, _: Any) -> None:
        self.runs += 1
        self.clock[0] += self.seconds * (5 if self.runs % 2 else 1)


@pytest.mark.parametrize(("slow", "rounds"), [(0.5, LEAST_ROUNDS), (0.001, MOST_ROUNDS)])
def test_the_least_time_counts(slow: float, rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken in turns, for a few seconds at most where the device is slow."""
    clock = [0.0]
    monkeypatch.setattr("inspector.trial.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("inspector.trial.time.monotonic", lambda: clock[0])
    models: Mapping[Any, Any] = {"fp32": Timed(clock, slow), "int8": Timed(clock, slow / 4)}
    assert measure(models, np.zeros((4, 4, 3), np.uint8)) == {
        "fp32": pytest.approx(slow * 1e3),
        "int8": pytest.approx(slow * 250),
    }
    assert [each.runs for each in models.values()] == [rounds, rounds]


def test_the_command_prints_the_outcome(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line of JSON; the exit status tells a refusal."""
    assert main(["trial", str(package), "--threads", "1"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=Outcome).precision == "fp32"
    tamper(package)
    assert main(["trial", str(package), "--threads", "1"]) == 1
    assert "SHA-256" in json.loads(capsys.readouterr().out)["cause"]
