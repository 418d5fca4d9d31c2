"""An INT8 file judges as the float one does and runs by ONNX Runtime's fast kernels, or it isn't written."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import modelkit.quantize
from inspector.shell import detector
from modelkit import canvases
from modelkit.__main__ import main
from modelkit.activations import STEPS, channel_means, measure, mend
from modelkit.agreement import gap, runner
from modelkit.candidates import LADDER, spread
from modelkit.cut import cut
from modelkit.labels import read_csv
from modelkit.quantize import QuantizeError, ends, named, quantize, trunk
from tiny_yolo import tiny_yolo

HEIGHT, WIDTH = 64, 96
ACTIVATIONS = ("Relu", "SiLU")
BRANCHES = 6
"""Distances and scores at each of three strides: so many convolutions are the last ones."""


def network(activation: str = "Relu", kind: str = "cut") -> onnx.ModelProto:
    plain = tiny_yolo(HEIGHT, WIDTH, activation=activation, is_whole=True)
    return named(cut(plain) if kind == "cut" else plain)


def inputs(model: onnx.ModelProto) -> list[np.ndarray]:
    pictures = canvases.make_up(HEIGHT, WIDTH)
    if len(model.graph.output) == 2:
        return list(pictures)
    return [
        np.ascontiguousarray(each[..., ::-1].transpose(0, 3, 1, 2), np.float32) / 255 for each in pictures
    ]


def quantized(model: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
    given = inputs(model)
    taken = {node.input[0] for node in trunk(model.graph) if node.op_type == "Conv"}
    return quantize(model, measure(model, given, "minmax"), channel_means(model, taken, given), **options)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    """All outputs for all pictures, by the kernels that the device uses."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [output for given in inputs(model) for output in session.run(None, {"images": given})]


def executed(model: onnx.ModelProto, directory: Path) -> Counter[str]:
    """What ONNX Runtime makes of a graph: how many nodes of each kind it runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(directory / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["cut", "plain"])
def test_it_puts_out_nearly_the_same(activation: str, kind: str, tmp_path: Path) -> None:
    """At every anchor; and the device takes it for a file of the same kind, with the same metadata."""
    model = network(activation, kind)
    path = tmp_path / "int8.onnx"
    path.write_bytes(quantized(model).SerializeToString())
    interface = detector.load(path).interface
    assert interface.kind == kind
    ours, theirs = (runner(each, interface) for each in (path.read_bytes(), model.SerializeToString()))
    apart = gap(ours, theirs, canvases.make_up(HEIGHT, WIDTH))
    assert 0 < apart.confidence < 0.1
    assert apart.box_px < 8
    assert list(onnx.load(path).metadata_props) == list(model.metadata_props)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_of_it_runs_in_bytes(activation: str, tmp_path: Path) -> None:
    """From the pixels, which are not converted at all, to the last convolutions: nothing is float in between."""
    model = network(activation)
    convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
    kinds = executed(quantized(model), tmp_path)
    assert kinds["QLinearConv"] == convolutions
    assert kinds["DequantizeLinear"] == BRANCHES
    float_kinds = {"Conv", "Cast", "QuantizeLinear", "Relu", "Sigmoid", "Mul", "Add", "MaxPool", "Resize"}
    assert not float_kinds & set(kinds)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nothing_is_left_over(activation: str) -> None:
    graph = quantized(network(activation)).graph
    taken = {name for node in graph.node for name in node.input}
    assert {each.name for each in graph.initializer} <= taken
    made = {name for node in graph.node for name in node.output}
    assert made <= taken | {each.name for each in graph.output}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_layout_for_speed_changes_no_bit(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(activation)
    streamlined = quantized(model)
    monkeypatch.setattr(modelkit.quantize, "streamline", lambda _: None)
    straight = quantized(model)
    assert Counter(node.op_type for node in straight.graph.node)["Resize"] == 2
    assert "Cast" in {node.op_type for node in straight.graph.node}
    for ours, theirs in zip(run(streamlined), run(straight), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_first_convolution_takes_four_columns_for_one() -> None:
    """Twelve channels, three blocks of four; without it ONNX Runtime takes a kernel several times slower."""
    graph = quantized(network()).graph
    shapes = {value.name: value.dims for value in graph.initializer}
    first = next(node for node in graph.node if node.op_type == "Conv")
    dequantizer = next(node for node in graph.node if first.input[1] in node.output)
    assert list(shapes[dequantizer.input[0]])[1:] == [12, 3, 2]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_is_named_stays_in_float(activation: str, tmp_path: Path) -> None:
    """The first convolution and the last of each branch, with their activations."""
    model = network(activation)
    convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
    kinds = executed(quantized(model, in_float=ends(model.graph, 1, 1)), tmp_path)
    assert kinds["QLinearConv"] == convolutions - BRANCHES - 1


def test_the_ends_of_a_network() -> None:
    model = network()
    last = ends(model.graph, 0, 1)
    outputs = {name: node for node in model.graph.node for name in node.output}
    assert ends(model.graph, 0, 0) == frozenset()
    assert len(last) == BRANCHES
    assert all(outputs[node.input[0]].name in last for node in model.graph.node if node.op_type == "Reshape")
    first = [node for node in model.graph.node if node.name in ends(model.graph, 1, 0)]
    assert [node.op_type for node in first] == ["Conv", "Relu"]
    assert ends(model.graph, 0, 1) < ends(model.graph, 0, 2) < ends(model.graph, 1, 2)


def test_the_decoding_is_no_part_of_what_is_quantized() -> None:
    """Of a plain export: neither the softmax nor the convolution after it, nor what makes boxes of them."""
    model = network(kind="plain")
    kinds = Counter(node.op_type for node in trunk(model.graph))
    assert kinds["Conv"] == sum(node.op_type == "Conv" for node in network().graph.node)
    assert not {"Softmax", "Sigmoid", "Sub", "Div", "Reshape"} & set(kinds)


def test_weights_of_7_bits() -> None:
    """The sum of two products of an activation and a weight then fits 16 bits: x86 without VNNI needs that."""
    for options, most in (({"weight_bits": 8}, 127), ({}, 64)):
        graph = quantized(network(), **options).graph
        weights = [numpy_helper.to_array(each) for each in graph.initializer if len(each.dims) == 4]
        assert {each.dtype for each in weights} == {np.dtype(np.int8)}
        assert max(np.abs(each.astype(int)).max() for each in weights) == most
    assert 255 * (64 + 64) < 2**15


def test_a_network_without_convolutions_is_refused() -> None:
    value = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3])
    output = helper.make_tensor_value_info("output0", onnx.TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("Relu", ["images"], ["output0"])], "none", [value], [output])
    with pytest.raises(QuantizeError, match="no convolution"):
        quantize(named(helper.make_model(graph)), {}, {})


def test_biases_take_back_what_rounded_weights_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    """On average over pictures the outputs are nearer to those of FP32 than without."""
    model = network()
    apart = {}
    for name in ("corrected", "not corrected"):
        if name == "not corrected":
            monkeypatch.setattr(modelkit.quantize, "correct_biases", lambda *_: None)
        pairs = zip(run(quantized(model)), run(model), strict=True)
        apart[name] = np.mean([np.abs((ours - theirs).mean(axis=2)).mean() for ours, theirs in pairs])
    assert apart["corrected"] < apart["not corrected"]


class TestRanges:
    def test_minmax_takes_the_extremes_of_all_pictures(self) -> None:
        model = network()
        together = measure(model, inputs(model), "minmax")
        alone = [measure(model, [each], "minmax") for each in inputs(model)]
        name = next(node.output[0] for node in model.graph.node if node.op_type == "Conv")
        assert together[name] == (min(each[name][0] for each in alone), max(each[name][1] for each in alone))

    def test_percentile_is_within_minmax(self) -> None:
        model = network()
        outer, inner = (measure(model, inputs(model), method) for method in ("minmax", "percentile"))
        widths = [(high - low, inner[name][1] - inner[name][0]) for name, (low, high) in outer.items()]
        assert all(narrow <= wide * 1.001 for wide, narrow in widths)
        assert any(narrow < wide * 0.99 for wide, narrow in widths)

    def test_what_is_joined_shares_a_range(self) -> None:
        """Through a split, a concatenation and a pooling; not beyond a convolution."""
        nodes = [
            helper.make_node("Split", ["a"], ["b", "c"]),
            helper.make_node("Concat", ["c", "d"], ["e"]),
            helper.make_node("MaxPool", ["e"], ["f"]),
            helper.make_node("Conv", ["f", "weights"], ["g"]),
        ]
        ranges = {name: (-float(index), float(index)) for index, name in enumerate("abcdefg")}
        mended = mend(nodes, ranges)
        assert {mended[name] for name in "abcdef"} == {(-5.0, 5.0)}
        assert mended["g"] == ranges["g"]

    def test_a_silu_spends_no_level_on_what_counts_as_nothing(self) -> None:
        """Below the cut the SiLU is within a quarter of a level of zero; a sigmoid is between 0 and 1."""
        nodes = [
            helper.make_node("Sigmoid", ["x"], ["s"]),
            helper.make_node("Mul", ["x", "s"], ["y"]),
        ]
        mended = mend(nodes, {"x": (-40.0, 6.0), "s": (0.0, 0.99), "y": (-0.27, 6.0)})
        low, high = mended["x"]
        step = (6.0 + 0.2785) / STEPS
        assert high == 6.0
        assert low / (1 + np.exp(-low)) == pytest.approx(-step / 4, rel=0.05)
        assert mended["s"] == (0.0, 1.0)
        assert mend(nodes, {"x": (-2.0, 6.0), "s": (0.1, 0.9), "y": (-0.27, 6.0)})["x"] == (-2.0, 6.0)


class Files:
    """A network, and labelled pictures of three parts, in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = root / "int8.onnx"
        (root / "fp32.onnx").write_bytes(network().SerializeToString())
        rng = np.random.default_rng(0)
        (root / "images").mkdir()
        with (root / "labels.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "tag", "boxes"])
            for number in range(9):
                noise = cv2.GaussianBlur(
                    rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 1 + number
                )
                cv2.imwrite(
                    str(root / "images" / f"{number}.png"),
                    cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX),
                )
                box = {"class_id": 0, "left": 8 * number, "top": 5, "width": 20, "height": 30}
                writer.writerow([f"{number}.png", "ABC"[number % 3], json.dumps([box])])

    def arguments(self, *more: object, parts: tuple[object, ...] = ("--parts", "A", "B")) -> list[str]:
        labels, images = self.root / "labels.csv", self.root / "images"
        given = ["quantize", self.root / "fp32.onnx", "--labels", labels, "--images", images]
        return [str(each) for each in (*given, *parts, "--output", self.output, *more)]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def tried(files: Files, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """What ``--json`` prints."""

    def call(*more: object, **options: Any) -> dict[str, Any]:
        assert main(files.arguments("--json", *more, **options)) == 0
        return json.loads(capsys.readouterr().out)

    return call


LENIENT = ("--map50-loss", 100, "--map50-95-loss", 100, "--confidence-error", 1)


def test_the_command_writes_what_the_device_takes(files: Files, tried: Callable[..., dict[str, Any]]) -> None:
    told = tried(*LENIENT)
    content = files.output.read_bytes()
    assert detector.load(files.output).info.sha256 == told["sha256"]
    assert (told["bytes"], told["judged"], told["measured"]) == (len(content), 6, 6)
    (only,) = told["tried"]
    assert (only["first"], only["last"], only["method"], only["holds"]) == (*LADDER[0], "minmax", True)
    assert only["cost"]["flips"] == 0


def test_the_same_input_gives_the_same_bytes(files: Files, tried: Callable[..., dict[str, Any]]) -> None:
    """In another process too, where sets have another order."""
    sha256 = tried(*LENIENT)["sha256"]
    arguments = [sys.executable, "-m", "modelkit", *files.arguments(*LENIENT, "--json")]
    done = subprocess.run(
        arguments, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["sha256"] == sha256


def test_more_stays_in_float_until_it_holds(
    files: Files, tried: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Candidates are tried from the fastest on, each method at each step, and the first that holds is written."""
    moved = tried(*LENIENT)["tried"][0]["cost"]["confidence"]
    assert moved > 0
    told = tried("--map50-loss", 100, "--map50-95-loss", 100, "--confidence-error", moved * 0.99)
    steps = [(each["first"], each["last"]) for each in told["tried"]]
    assert len(steps) > 1
    assert steps == list(LADDER[: len(steps)])
    assert [each["holds"] for each in told["tried"]] == [False] * (len(steps) - 1) + [True]
    assert told["tried"][-1]["cost"]["confidence"] < moved
    both = tried(*LENIENT[:-1], moved * 0.99, "--method", "percentile", "minmax")["tried"]
    assert [each["method"] for each in both[:2]] == ["percentile", "minmax"][: len(both)]


def test_where_none_holds_nothing_is_written(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """The table tells what each candidate cost."""
    assert main(files.arguments("--confidence-error", 0)) == 1
    shown, fault = capsys.readouterr()
    assert not files.output.exists()
    assert shown.count("minmax") == len(LADDER)
    assert "no candidate holds" in fault
    assert "FP32" in fault


def test_a_fold_calibrates_on_what_it_was_trained_on(
    files: Files, tried: Callable[..., dict[str, Any]]
) -> None:
    """What is held out, by its part or by its name, is not so much as read."""
    recipe = files.root / "recipe.json"
    recipe.write_text(json.dumps({"held_out": ["C"], "held_out_images": ["0.png"], "trained_on": ["A", "B"]}))
    for name in ("0.png", "2.png", "5.png"):
        (files.root / "images" / name).write_bytes(b"unreadable")
    told = tried(*LENIENT, "--pictures", 3, parts=("--fold", recipe))
    assert (told["judged"], told["measured"]) == (5, 3)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        (("--parts", "A", "Z"), r"labels.csv has no part Z"),
        (("--fold", "bad.json"), r"bad.json is no recipe: .*recipe.json of a training"),
        (("--fold", "empty.json"), r"empty.json names no part .*--parts"),
        (("--fold", "missing.json"), r"missing.json"),
    ],
)
def test_parts_that_cannot_be_used(
    files: Files, capsys: pytest.CaptureFixture[str], parts: tuple[str, ...], fault: str
) -> None:
    (files.root / "bad.json").write_text('{"trained_on": 3}')
    (files.root / "empty.json").write_text('{"held_out": ["A"]}')
    given = tuple(str(files.root / each) if each.endswith(".json") else each for each in parts)
    assert main(files.arguments(parts=given)) == 1
    assert re.search(fault, capsys.readouterr().err)
    assert not files.output.exists()


@pytest.mark.parametrize("content", [b"", b"no ONNX"])
def test_a_file_that_is_no_network(files: Files, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (files.root / "fp32.onnx").write_bytes(content)
    assert main(files.arguments()) == 1
    assert "fp32.onnx" in capsys.readouterr().err


def test_what_is_quantized_already_is_refused(
    files: Files, tried: Callable[..., dict[str, Any]], capsys
) -> None:
    """The quantizer would never end with it."""
    tried(*LENIENT)
    shutil.copyfile(files.output, files.root / "fp32.onnx")
    capsys.readouterr()
    assert main(files.arguments()) == 1
    assert "it is quantized already" in capsys.readouterr().err


def test_the_float_network_is_not_written_over(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = files.arguments()
    arguments[arguments.index("--output") + 1] = str(files.root / "fp32.onnx")
    assert main(arguments) == 1
    assert "would be written over" in capsys.readouterr().err


def test_pictures_are_spread_evenly(files: Files) -> None:
    pictures = read_csv(files.root / "labels.csv", files.root / "images")
    assert [each.path.stem for each in spread(pictures, 3)] == ["0", "4", "8"]
    assert spread(pictures, 100) == pictures
