"""A model is loaded whole and as its manifest says, or refused with the thing, the cause and the fix."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inspector.core.interface import Cut, Plain
from inspector.core.package import parse_manifest
from inspector.shell.detector import Detector, Network, load
from inspector.shell.package import PackageError
from modelkit.cut import cut
from tiny_yolo import tiny_yolo

MODELS = Path(__file__).parents[3] / "models"
NAMES = {"names": "{0: 'scratch'}", "imgsz": "[64, 96]"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the shipped package that a test may spoil."""
    shutil.copytree(MODELS, tmp_path / "package")
    return tmp_path / "package"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load(MODELS, threads=1)


def fp32(package: Path) -> Path:
    (file,) = (each for each in manifest(package)["files"] if each["precision"] == "fp32")
    return package / file["name"]


def manifest(package: Path) -> Any:
    return json.loads((package / "manifest.json").read_bytes())


def rewrite(package: Path, **changes: object) -> None:
    (package / "manifest.json").write_text(json.dumps(manifest(package) | changes))


def replace_bytes(file: Path, old: bytes, new: bytes) -> None:
    """Change a model's content, keeping the length of everything in it."""
    content = file.read_bytes()
    assert len(old) == len(new)
    assert old in content
    file.write_bytes(content.replace(old, new))


def list_hashes(package: Path) -> None:
    """Let the manifest agree with the file's content."""
    document = manifest(package)
    for file in document["files"]:
        content = (package / file["name"]).read_bytes()
        file |= {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
    (package / "manifest.json").write_text(json.dumps(document))


def test_package(detector: Detector) -> None:
    """The shipped package says of itself what its manifest says."""
    expected = parse_manifest((MODELS / "manifest.json").read_bytes())
    assert (detector.info.name, detector.info.version) == (expected.name, expected.version)
    assert detector.info.precision == "fp32"
    assert detector.info.sha256 == sha256(fp32(MODELS).read_bytes()).hexdigest()
    assert (detector.labels, detector.thresholds) == (expected.labels, expected.thresholds)
    assert expected.images is not None
    assert detector.known_images == expected.images


def test_bare_file(detector: Detector) -> None:
    """An ONNX file without a manifest has its labels and size from its own metadata, no thresholds, and knows
    no pictures."""
    bare = load(fp32(MODELS), threads=1)
    assert bare.labels == detector.labels
    assert (bare.thresholds, bare.known_images) == (None, None)
    assert (bare.info.name, bare.info.version) == (fp32(MODELS).stem, "0.0.0")
    assert bare.info.sha256 == detector.info.sha256


def test_symlink_to_a_package(package: Path, detector: Detector) -> None:
    """A package is found through the symlink that a deployment moves."""
    (package.parent / "current").symlink_to(package.name)
    assert load(package.parent / "current", threads=1).info == detector.info


def test_golden_images(detector: Detector) -> None:
    """The golden images give the detections that the manifest expects, and each stage's time is told."""
    expected = parse_manifest((MODELS / "manifest.json").read_bytes())
    (file,) = (each for each in expected.files if each.precision == "fp32")
    assert file.golden
    for golden in file.golden:
        pixels = cv2.imread(str(MODELS / golden.image))
        found, latency = detector.detect(np.asarray(pixels, np.uint8))
        strong = found.confidences >= expected.thresholds.low_confidence
        assert found.confidences[strong] == pytest.approx(
            [each.confidence for each in golden.detections], abs=0.02
        )
        assert latency.decode is None
        assert min(latency.preprocess or 0, latency.inference or 0, latency.postprocess or 0) > 0


def test_a_model_that_fails_when_it_runs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is run once when it is loaded: one that loads and cannot run never meets a part."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(Detector, "detect", fail)
    with pytest.raises(PackageError, match=r"refused: it fails on a blank picture: no such kernel; export"):
        load(MODELS)


def remove_all(package: Path) -> None:
    shutil.rmtree(package)


def remove_manifest(package: Path) -> None:
    (package / "manifest.json").unlink()


def cut_manifest(package: Path) -> None:
    (package / "manifest.json").write_bytes((package / "manifest.json").read_bytes()[:-20])


def garble_manifest(package: Path) -> None:
    (package / "manifest.json").write_bytes(b"\xff\xfe")


def escape(package: Path) -> None:
    document = manifest(package)
    document["files"][0]["name"] = "../outside.onnx"
    rewrite(package, files=document["files"])


def remove_file(package: Path) -> None:
    fp32(package).unlink()


def flip_a_byte(package: Path) -> None:
    content = bytearray(fp32(package).read_bytes())
    content[len(content) // 2] ^= 1
    fp32(package).write_bytes(content)


def truncate(package: Path) -> None:
    fp32(package).write_bytes(fp32(package).read_bytes()[:1_000_000])


def no_onnx(package: Path) -> None:
    fp32(package).write_bytes(b"this is no model")
    list_hashes(package)


def truncated_and_listed(package: Path) -> None:
    truncate(package)
    list_hashes(package)


def other_labels(package: Path) -> None:
    rewrite(package, labels=["dent"])


def more_labels(package: Path) -> None:
    rewrite(package, labels=["scratch", "dent"])


def other_size(package: Path) -> None:
    rewrite(package, input={"width": 640, "height": 640})


def no_names(package: Path) -> None:
    replace_bytes(fp32(package), b"\x05names", b"\x05nameX")
    list_hashes(package)


def garbled_names(package: Path) -> None:
    replace_bytes(fp32(package), b"{0: 'scratch'}", b"{0: 'scratch'(")
    list_hashes(package)


def names_from_one(package: Path) -> None:
    replace_bytes(fp32(package), b"{0: 'scratch'}", b"{1: 'scratch'}")
    list_hashes(package)


def two_names(package: Path) -> None:
    replace_bytes(fp32(package), b"{0: 'scratch'}", b"{0:'a',1: 'b'}")
    list_hashes(package)


def other_task(package: Path) -> None:
    replace_bytes(fp32(package), b"\x06detect", b"\x06posing")
    list_hashes(package)


REDEPLOY = "redeploy com.edgeinspector.Model"
EXPORT = "export it with `yolo export format=onnx`"


@pytest.mark.parametrize(
    ("spoil", "cause", "fix"),
    [
        (remove_all, "No such file or directory", "deploy com.edgeinspector.Model or mend ModelDirectory"),
        (remove_manifest, "manifest.json: No such file or directory", "deploy com.edgeinspector.Model"),
        (cut_manifest, "manifest.json: Input data was truncated", REDEPLOY),
        (garble_manifest, "manifest.json: ", REDEPLOY),
        (escape, "manifest.json: Expected `str` matching regex", REDEPLOY),
        (remove_file, "fp32.onnx: No such file or directory", "deploy com.edgeinspector.Model"),
        (flip_a_byte, "fp32.onnx has SHA-256", REDEPLOY),
        (
            truncate,
            f"fp32.onnx has 1000000 bytes, manifest.json says {fp32(MODELS).stat().st_size}",
            REDEPLOY,
        ),
        (no_onnx, "ONNX Runtime cannot load it", "export the model again"),
        (truncated_and_listed, "ONNX Runtime cannot load it", "export the model again"),
        (
            other_labels,
            "fp32.onnx has the labels ('scratch',), manifest.json says ('dent',)",
            "package the model again",
        ),
        (
            more_labels,
            "fp32.onnx has the labels ('scratch',), manifest.json says ('scratch', 'dent')",
            "package the model again",
        ),
        (other_size, "fp32.onnx has the input width 448, manifest.json says 640", "package the model again"),
        (no_names, "its metadata lacks what Ultralytics writes at export", EXPORT),
        (garbled_names, "its metadata lacks what Ultralytics writes at export", EXPORT),
        (names_from_one, "its metadata lacks what Ultralytics writes at export", EXPORT),
        (
            two_names,
            "it is no YOLOv8 detector of 2 classes: images uint8 [1, 320, 448, 3] in, ",
            "without NMS in the graph",
        ),
        (other_task, "it is no YOLOv8 detector", "without NMS in the graph"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_refused(package: Path, spoil: Callable[[Path], None], cause: str, fix: str) -> None:
    """A package that is not whole, not as its manifest says, or no detector is refused."""
    spoil(package)
    with pytest.raises(PackageError) as refused:
        load(package, threads=1)
    assert str(refused.value).startswith(f"model package {package}")
    assert cause in str(refused.value)
    assert fix in str(refused.value).rpartition("; ")[2]


def test_hash_before_loading(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime sees no byte of a file whose hash is not the manifest's."""
    flip_a_byte(package)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("onnxruntime.InferenceSession", never)
    with pytest.raises(PackageError, match="SHA-256"):
        load(package)


def test_precision_that_is_not_there(package: Path) -> None:
    """A precision that the package lacks is refused, naming what there is."""
    document = manifest(package)
    rewrite(package, files=[each for each in document["files"] if each["precision"] == "fp32"])
    with pytest.raises(PackageError, match="it holds no int8 file, only fp32; set Precision to fp32"):
        load(package, precision="int8")


def test_missing_bare_file(tmp_path: Path) -> None:
    """A model that isn't there is refused, naming the file."""
    with pytest.raises(PackageError, match=r"none\.onnx: No such file or directory; deploy"):
        load(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"this is no model", b"\x08\x07" * 100])
def test_bare_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    """Whatever lies where a model should be is refused, not a crash."""
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(PackageError, match=r"x\.onnx refused: "):
        load(tmp_path / "x.onnx")


class Session:
    """A session that returns what it was made with."""

    def __init__(self, *outputs: np.ndarray[Any, Any]) -> None:
        self.outputs = list(outputs)

    def run(self, names: object, inputs: object) -> list[np.ndarray[Any, Any]]:
        return self.outputs


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_output_that_is_not_finite(detector: Detector, number: float) -> None:
    """A model that answers with something else than numbers is an error, never a pass."""
    session = Session(np.full((1, 5, 10), number, np.float32))
    network = Network(detector.labels, "images", Plain(1, 64, 64))
    broken = Detector(session, network, detector.info, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not finite"):
        broken.detect(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("broken", [0, 1], ids=["distances", "scores"])
def test_output_of_a_cut_network_that_is_not_finite(detector: Detector, number: float, broken: int) -> None:
    """Nor is one of a cut model that does, in one place of one output."""
    network = Network(detector.labels, "images", Cut(1, 64, 64))
    outputs = [np.full(shape, -9, np.float32) for shape in network.interface.output_shapes]  # type: ignore[arg-type]
    quiet = Detector(Session(*outputs), network, detector.info, None)  # type: ignore[arg-type]
    assert len(quiet.detect(np.zeros((64, 64, 3), np.uint8))[0]) == 0
    outputs[broken][0, 0, 7] = number
    with pytest.raises(ValueError, match="not finite"):
        quiet.detect(np.zeros((64, 64, 3), np.uint8))


def put_network(package: Path, model: onnx.ModelProto, **changes: object) -> None:
    """Put another network into the package, listed in its manifest with the changes; None: without that."""
    fp32(package).write_bytes(model.SerializeToString())
    document = manifest(package)
    (file,) = (each for each in document["files"] if each["precision"] == "fp32")
    listed = {name: value for name, value in (file | changes).items() if value is not None}
    rewrite(package, files=[listed])
    list_hashes(package)


def test_a_package_of_a_cut_network(package: Path) -> None:
    """It detects what a package of the plain export detects."""
    found = {}
    for kind, model in (("plain", tiny_yolo(320, 448)), ("cut", cut(tiny_yolo(320, 448)))):
        put_network(package, model, kind=kind)
        loaded = load(package, threads=1)
        assert loaded.interface.kind == kind
        picture = cv2.imread(str(package / "golden" / "tag-0008.jpg"))
        found[kind], latency = loaded.detect(np.asarray(picture, np.uint8))
        assert min(latency.preprocess or 0, latency.inference or 0, latency.postprocess or 0) > 0
    assert len(found["plain"]) > 0
    np.testing.assert_array_equal(found["cut"].class_ids, found["plain"].class_ids)
    np.testing.assert_allclose(found["cut"].confidences, found["plain"].confidences, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found["cut"].boxes, found["plain"].boxes, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["plain", "cut"])
def test_a_network_of_another_kind_than_the_manifest_says(package: Path, kind: str) -> None:
    """It is refused, also where the manifest, being older than kinds, says nothing."""
    other = {"plain": "cut", "cut": "plain"}[kind]
    model = tiny_yolo(320, 448) if kind == "plain" else cut(tiny_yolo(320, 448))
    put_network(package, model, kind="cut" if other == "cut" else None)
    with pytest.raises(PackageError, match=f"has the kind '{kind}', manifest.json says '{other}'; package"):
        load(package, threads=1)


def shape(value: onnx.ValueInfoProto, *sides: int) -> None:
    for each, side in zip(value.type.tensor_type.shape.dim, sides, strict=True):
        each.dim_value = side


def scores_first(model: onnx.ModelProto) -> None:
    outputs = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend(reversed(outputs))


def other_names(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.output[:] = ["logits" if name == "scores" else name for name in node.output]
    model.graph.output[1].name = "logits"


def another_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["scores"], ["more"]))
    model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 1, 126]))


def half_precision(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Cast", ["scores"], ["half"], to=TensorProto.FLOAT16))
    for node in model.graph.node:
        node.input[:] = ["logits" if name == "scores" else name for name in node.input]
        node.output[:] = [{"scores": "logits", "half": "scores"}.get(name, name) for name in node.output]
    model.graph.output[1].type.tensor_type.elem_type = TensorProto.FLOAT16


def planes(model: onnx.ModelProto) -> None:
    transpose = model.graph.node[0]
    model.graph.node[1].input[0] = "images"
    model.graph.node.remove(transpose)
    shape(model.graph.input[0], 1, 3, 64, 96)


def long_integers(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    del model.graph.value_info[:]


def any_size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"
    helper.set_model_props(model, {"names": "{0: 'scratch'}", "imgsz": "[96, 96]"})


def three_classes(model: onnx.ModelProto) -> None:
    helper.set_model_props(model, {"names": "{0: 'a', 1: 'b', 2: 'c'}"})


@pytest.mark.parametrize(
    "spoil",
    [
        scores_first,
        other_names,
        another_output,
        half_precision,
        planes,
        long_integers,
        any_size,
        three_classes,
    ],
)
def test_a_network_that_is_nearly_cut(tmp_path: Path, spoil: Callable[[onnx.ModelProto], None]) -> None:
    """What has not all of the inputs and outputs of a cut network is refused, with what it has."""
    model = cut(tiny_yolo(64, 96))
    spoil(model)
    (tmp_path / "odd.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        PackageError, match=r"odd\.onnx refused: it is no YOLOv8 detector of . class.* in, .* out;"
    ):
        load(tmp_path / "odd.onnx", threads=1)


@pytest.mark.parametrize(
    ("metadata", "cause"), [({}, "lacks what Ultralytics writes"), (NAMES, "of 1 class")]
)
def test_a_classifier(tmp_path: Path, metadata: dict[str, str], cause: str) -> None:
    """A network for something else is refused, whether Ultralytics' or anybody's."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 96])
    classes = helper.make_tensor_value_info("classes", TensorProto.FLOAT, [1, 3])
    node = helper.make_node("ReduceMean", ["images"], ["classes"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph([node], "classifier", [image], [classes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    (tmp_path / "classifier.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(PackageError, match=cause):
        load(tmp_path / "classifier.onnx", threads=1)
