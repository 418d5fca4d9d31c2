"""Weights that Ultralytics made become files that put out what PyTorch does with them."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from modelkit.__main__ import main
from modelkit.agreement import runner
from modelkit.canvases import make_up
from modelkit.export import Size, export
from modelkit.weights import WeightsError

pytestmark = pytest.mark.models

TRAINED_ON = "/home/somebody/data/tags.yaml"


def weights(ultralytics: ModuleType, directory: Path, *, classes: int = 1, relu: bool = False) -> Path:
    """Untrained weights as training saves them, of a network that answers each anchor differently."""
    import torch

    torch.manual_seed(classes)
    published = Path(ultralytics.__file__).parent / "cfg" / "models" / "v8" / "yolov8.yaml"
    architecture = directory / "yolov8n.yaml"
    text = published.read_text("utf-8").replace("nc: 80", f"nc: {classes}")
    architecture.write_text(text + ("\nactivation: torch.nn.ReLU()\n" if relu else ""), "utf-8")
    model = ultralytics.YOLO(architecture, task="detect")
    head = model.model.model[-1]
    with torch.no_grad():
        for module in model.model.modules():
            if isinstance(module, torch.nn.Conv2d) and module.weight.requires_grad:
                torch.nn.init.kaiming_normal_(module.weight).mul_(1.0 if relu else 1.2)
        for branch in head.cv3:
            branch[-1].bias.fill_(-2.0)
    model.ckpt = {"train_args": {"data": TRAINED_ON}}
    model.model.args = {**model.model.args, "data": TRAINED_ON}
    model.save(directory / "best.pt")
    return directory / "best.pt"


@pytest.mark.parametrize(("size", "classes", "relu"), [(None, 1, False), ((256, 96), 6, True)])
def test_what_is_exported_puts_out_what_pytorch_does(
    ultralytics: ModuleType, tmp_path: Path, size: Size | None, classes: int, relu: bool
) -> None:
    """At every anchor, of any size, number of classes and activation."""
    made_of = weights(ultralytics, tmp_path, classes=classes, relu=relu)
    done = export(made_of, tmp_path / "cut.onnx", size=size)
    assert set(done.gaps) == {"the plain export", "PyTorch"}
    interface = done.model.interface
    assert (interface.height, interface.width) == (size or (320, 448))
    operators = {node.op_type for node in onnx.load(tmp_path / "cut.onnx").graph.node}
    assert ("Relu" in operators, "Sigmoid" in operators) == (relu, not relu)
    content = (tmp_path / "cut.onnx").read_bytes()
    confidences = [
        runner(content, interface)(each)[0, 4:] for each in make_up(interface.height, interface.width)
    ]
    assert np.std(confidences) > 0.01


def test_the_same_weights_give_the_same_bytes_with_nothing_of_this_machine(
    ultralytics: ModuleType, tmp_path: Path
) -> None:
    """The date is the weights' own, of the path of the training data its name is left; nothing is put beside them."""
    import torch

    (tmp_path / "weights").mkdir()
    made_of = weights(ultralytics, tmp_path).rename(tmp_path / "weights" / "best.pt")
    for name in ("one", "two"):
        export(made_of, tmp_path / f"{name}.onnx", plain=tmp_path / f"{name}-plain.onnx", size=(64, 64))
    assert [path.name for path in made_of.parent.iterdir()] == ["best.pt"]
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
    plain = (tmp_path / "one-plain.onnx").read_bytes()
    assert (tmp_path / "two-plain.onnx").read_bytes() == plain
    metadata = {each.key: each.value for each in onnx.ModelProto.FromString(plain).metadata_props}
    assert metadata["date"] == torch.load(made_of, weights_only=False)["date"]
    assert metadata["description"].endswith("trained on tags.yaml")
    assert metadata["names"] == "{0: '0'}"
    for part in (b"somebody", str(tmp_path).encode()):
        assert part not in plain


def test_weights_of_another_task_are_refused(ultralytics: ModuleType, tmp_path: Path) -> None:
    ultralytics.YOLO("yolov8n-seg.yaml").save(tmp_path / "seg.pt")
    with pytest.raises(
        WeightsError, match=r"seg\.pt: it is for the task segment; give weights of a detection model"
    ):
        export(tmp_path / "seg.pt", tmp_path / "cut.onnx")


@pytest.mark.parametrize("content", [b"", b"these are no weights", b"PK\3\4" + b"\0" * 60])
def test_a_file_that_holds_no_weights_is_refused(
    ultralytics: ModuleType, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "best.pt").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["export", str(tmp_path / "best.pt"), "--output", str(tmp_path / "cut.onnx")]) == 1
    assert "best.pt: Ultralytics cannot load it" in capsys.readouterr().err
