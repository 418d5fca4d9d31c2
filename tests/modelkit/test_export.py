"""An exported file is one that the device can use and that agrees with what it was made of, or it isn't written."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import modelkit.export
from inspector.core.detections import Output
from inspector.core.interface import Plain
from inspector.core.tensor import Canvas
from inspector.shell import detector
from modelkit import canvases
from modelkit.__main__ import main
from modelkit.agreement import Gap, gap, runner
from modelkit.cut import cut
from modelkit.export import ExportError, export
from modelkit.extra import ExtraError
from modelkit.images import ImagesError
from tiny_yolo import tiny_yolo

LABELS = ("scratch", "dent")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A plain export of 64x96."""
    return save(tiny_yolo(64, 96, LABELS), tmp_path / "plain.onnx")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures and something else."""
    directory = tmp_path / "pictures"
    (directory / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "more/c.jpg"):
        cv2.imwrite(str(directory / name), rng.integers(0, 256, (30, 45, 3), np.uint8))
    (directory / "labels.csv").write_text("image,tag,boxes\n")
    return directory


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def test_the_device_takes_what_is_exported(plain: Path, tmp_path: Path, pictures: Path) -> None:
    """It loads as a cut network with the labels and size of the plain one, and detects the same."""
    done = export(plain, tmp_path / "cut.onnx", images=pictures)
    ours, theirs = detector.load(tmp_path / "cut.onnx"), detector.load(plain)
    assert (ours.interface.kind, ours.labels) == ("cut", LABELS) == (done.model.interface.kind, theirs.labels)
    assert (ours.interface.height, ours.interface.width) == (64, 96)
    assert done.pictures == 3
    assert done.model.info.sha256 == sha256((tmp_path / "cut.onnx").read_bytes()).hexdigest()
    for path in sorted(pictures.rglob("*.*g")):
        pixels = np.asarray(cv2.imread(str(path)), np.uint8)
        found, wanted = ours.detect(pixels)[0], theirs.detect(pixels)[0]
        assert len(wanted) > 0
        np.testing.assert_array_equal(found.class_ids, wanted.class_ids)
        np.testing.assert_allclose(found.confidences, wanted.confidences, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found.boxes, wanted.boxes, rtol=0, atol=1e-3)


def test_the_gap_is_told(plain: Path, tmp_path: Path) -> None:
    """How far the file is from the plain export, on made-up pictures where none are given."""
    done = export(plain, tmp_path / "cut.onnx")
    assert done.pictures == canvases.MADE_UP
    (name,) = done.gaps
    assert name == "the plain export"
    assert 0 < done.gaps[name].box_px < 1e-3
    assert 0 < done.gaps[name].confidence < 1e-5


def test_the_plain_export_is_kept_where_asked_for(plain: Path, tmp_path: Path) -> None:
    export(plain, tmp_path / "new" / "cut.onnx", plain=tmp_path / "new" / "kept.onnx")
    assert (tmp_path / "new" / "kept.onnx").read_bytes() == plain.read_bytes()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"cut.onnx", "kept.onnx"}


def test_plain_stays_plain(plain: Path, tmp_path: Path) -> None:
    """Asked for a plain file, it writes the export as it is."""
    done = export(plain, tmp_path / "other.onnx", kind="plain")
    assert (tmp_path / "other.onnx").read_bytes() == plain.read_bytes()
    assert (done.model.interface.kind, done.gaps) == ("plain", {})


def test_the_same_export_gives_the_same_bytes(plain: Path, tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        export(plain, tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def spoil(model: onnx.ModelProto, change: Callable[[Any], Any]) -> onnx.ModelProto:
    """A cut network with something else in the first convolution."""
    model = cut(model)
    weights = next(each for each in model.graph.initializer if len(each.dims) == 4)
    weights.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weights).copy()), weights.name))
    return model


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (
            lambda weights: np.ascontiguousarray(weights[:, ::-1]),
            "it would be .* in confidence and .* px away",
        ),
        (lambda weights: weights * np.float32(1.001), "it would be .* away from the plain export"),
        (lambda weights: weights * np.float32(np.nan), "the device could not use it: .*not finite"),
    ],
    ids=["channels", "weights", "nan"],
)
def test_a_file_that_differs_is_not_written(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any], cause: str
) -> None:
    """Swapped channels, a thousandth more in one layer, or no number at all: an error, and no file."""
    monkeypatch.setattr(modelkit.export, "cut", lambda model: spoil(model, change))
    with pytest.raises(ExportError, match=cause):
        export(plain, tmp_path / "cut.onnx", plain=tmp_path / "kept.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"plain.onnx"}


def test_a_gap_is_the_greatest_of_all_pictures_and_anchors() -> None:
    """Boxes and confidences apart; what is no number is no small gap."""
    canvas = np.zeros((1, 32, 32, 3), np.uint8)
    outputs = iter([[0, 0, 3, 0, 0.1], [0, 0, 0, 0, 0.5]])
    far = gap(
        lambda _: np.zeros((1, 5, 1), np.float32),
        lambda _: np.array(next(outputs), np.float32).reshape(1, 5, 1),
        [canvas, canvas],
    )
    assert (far.confidence, far.box_px) == (0.5, 3)
    assert far.is_within(far)
    assert not far.is_within(Gap(0.5, 2.9))
    assert not far.is_within(Gap(0.4, 3))


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("no.onnx", b"this is no model", r"no\.onnx refused: ONNX Runtime cannot load it"),
        (
            "cut.onnx",
            cut(tiny_yolo()).SerializeToString(),
            r"cut\.onnx is cut already; give what it was made of",
        ),
        ("bins.onnx", tiny_yolo(bins=8).SerializeToString(), r"cannot be cut: its distances .*--kind plain"),
        (
            "new.onnx",
            tiny_yolo(opset=24).SerializeToString(),
            r"opset 24, IR 8 is more than 23, 11.*opset=17",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_exported_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, cause: str
) -> None:
    """The file, the cause and the fix on stderr, exit code 1, nothing written."""
    (tmp_path / name).write_bytes(content)
    assert main(["export", str(tmp_path / name), "--output", str(tmp_path / "out.onnx")]) == 1
    assert re.search(cause, capsys.readouterr().err)
    assert not (tmp_path / "out.onnx").exists()


def test_an_export_that_older_devices_cannot_load_is_refused(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of a newer opset or IR than the oldest ONNX Runtime knows."""
    for limit in ("NEWEST_OPSET", "NEWEST_IR"):
        with monkeypatch.context() as patch:
            patch.setattr(modelkit.export, limit, getattr(modelkit.export, limit) // 2)
            with pytest.raises(ExportError, match=r"opset 17, IR 8 is more than .*; export it with opset=17"):
                export(plain, tmp_path / "cut.onnx")


def test_a_size_is_that_of_the_plain_export(plain: Path, tmp_path: Path) -> None:
    """It cannot be changed any more; the same is allowed."""
    export(plain, tmp_path / "cut.onnx", size=(64, 96))
    with pytest.raises(ExportError, match=r"plain\.onnx is made for 64x96; leave --size out"):
        export(plain, tmp_path / "cut.onnx", size=(96, 64))


@pytest.mark.parametrize("targets", [("plain.onnx", None), ("a.onnx", "a.onnx"), ("a.onnx", "plain.onnx")])
def test_no_file_is_written_over(plain: Path, tmp_path: Path, targets: tuple[str, str | None]) -> None:
    """Neither what it is made of, nor one output by the other."""
    before = plain.read_bytes()
    output, kept = (tmp_path / each if each else None for each in targets)
    assert output is not None
    with pytest.raises(ExportError, match="would be written over"):
        export(plain, output, plain=kept)
    assert [path.name for path in tmp_path.iterdir()] == ["plain.onnx"]
    assert plain.read_bytes() == before


def test_pictures_that_cannot_be_read_are_named(plain: Path, tmp_path: Path, pictures: Path) -> None:
    (pictures / "a.png").write_bytes((pictures / "a.png").read_bytes()[:100])
    with pytest.raises(ImagesError, match=r"a\.png: .*; take it out"):
        export(plain, tmp_path / "cut.onnx", images=pictures)
    with pytest.raises(ImagesError, match=r"there is no picture in .*nothing"):
        export(plain, tmp_path / "cut.onnx", images=tmp_path / "nothing")
    assert not (tmp_path / "cut.onnx").exists()


class FakeWeights:
    """Exports what it holds, and says that it makes what ``other`` makes of a picture."""

    exported, other = tiny_yolo(64, 96), tiny_yolo(64, 96)

    def __init__(self, path: Path) -> None:
        path.stat()
        self.run = runner(self.other.SerializeToString(), Plain(1, 64, 96))

    def export(self, height: int, width: int) -> bytes:
        assert (height, width) == (64, 96)
        return self.exported.SerializeToString()

    def __call__(self, canvas: Canvas) -> Output:
        return self.run(canvas)


@pytest.fixture
def best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights whose content a test chooses."""
    monkeypatch.setattr(modelkit.export, "Weights", FakeWeights)
    (tmp_path / "best.pt").touch()
    return tmp_path / "best.pt"


def test_weights_are_compared_with_pytorch_too(best: Path, tmp_path: Path) -> None:
    done = export(best, tmp_path / "cut.onnx", size=(64, 96))
    assert set(done.gaps) == {"PyTorch", "the plain export"}
    assert set(export(best, tmp_path / "plain.onnx", size=(64, 96), kind="plain").gaps) == {"PyTorch"}


def test_an_export_that_pytorch_disagrees_with_is_not_written(
    best: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain export may be wrong as well."""
    monkeypatch.setattr(FakeWeights, "other", tiny_yolo(64, 96, seed=1))
    for kind in ("plain", "cut"):
        with pytest.raises(ExportError, match=r"best\.pt: exported, it would be .* px away from PyTorch; "):
            export(best, tmp_path / "out.onnx", size=(64, 96), kind=kind)  # type: ignore[arg-type]
    assert not (tmp_path / "out.onnx").exists()


def test_weights_that_make_another_network_are_refused(
    best: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the detector would refuse, such as a YOLO that suppresses overlaps by itself."""
    finished = tiny_yolo(64, 96)
    onnx.helper.set_model_props(finished, {"names": "{0: 'scratch', 1: 'dent'}"})
    monkeypatch.setattr(FakeWeights, "exported", finished)
    with pytest.raises(ExportError, match=r"best\.pt: the device could not use it: .*no YOLOv8 detector"):
        export(best, tmp_path / "out.onnx", size=(64, 96), kind="plain")
    assert not (tmp_path / "out.onnx").exists()


def test_weights_without_ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .pt needs the extra models, and the error says so; a missing one is just missing."""
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    (tmp_path / "best.pt").write_bytes(b"weights")
    with pytest.raises(ExtraError, match="make venv-models"):
        export(tmp_path / "best.pt", tmp_path / "cut.onnx")
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        export(tmp_path / "gone.pt", tmp_path / "cut.onnx")


def test_the_command_says_what_it_made(
    plain: Path, tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line and a gap each, or as one object."""
    command = ["export", str(plain), "--output", str(tmp_path / "cut.onnx"), "--images", str(pictures)]
    assert main(command) == 0
    head, apart = capsys.readouterr().out.splitlines()
    assert head.endswith("cut.onnx: cut, 64x96, scratch, dent; on 3 pictures")
    assert "px from the plain export" in apart
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    content = (tmp_path / "cut.onnx").read_bytes()
    assert (said["sha256"], said["bytes"]) == (sha256(content).hexdigest(), len(content))
    assert (said["kind"], said["height"], said["width"], said["labels"]) == ("cut", 64, 96, list(LABELS))
    assert said["gaps"]["the plain export"]["box_px"] < 1e-3


@pytest.mark.parametrize("size", ["320", "320x", "320x450", "0x32", "-32x32"])
def test_a_size_that_is_none_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["export", "best.pt", "--output", "cut.onnx", f"--size={size}"])
    assert stop.value.code == 2
    assert f"{size} is no height x width in multiples of 32, such as 320x448" in capsys.readouterr().err
