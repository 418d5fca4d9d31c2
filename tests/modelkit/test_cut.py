"""A cut network is the plain export without its ends, of any size, classes and activation; or it says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from inspector.core.interface import Cut, Plain
from modelkit.agreement import gap, runner
from modelkit.canvases import make_up
from modelkit.cut import CutError, cut
from tiny_yolo import tiny_yolo
from uncut import uncut

ROOT = Path(__file__).parents[2]


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def interface(values: object) -> list[tuple[str, int, list[int]]]:
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [each.dim_value for each in value.type.tensor_type.shape.dim],
        )
        for value in values  # type: ignore[attr-defined]
    ]


@pytest.fixture(scope="module")
def shipped() -> onnx.ModelProto:
    return uncut()


@pytest.fixture(scope="module")
def cut_shipped(shipped: onnx.ModelProto) -> onnx.ModelProto:
    return cut(shipped)


@pytest.mark.parametrize(
    ("height", "width", "classes", "activation"),
    [(64, 96, 1, "Relu"), (320, 448, 6, "SiLU"), (32, 32, 80, "Relu"), (224, 96, 2, "LeakyRelu")],
)
def test_the_outputs_are_those_of_the_plain_export(
    height: int, width: int, classes: int, activation: str
) -> None:
    """Every anchor's box and confidences, found by what the graph does and not by its names."""
    plain = tiny_yolo(height, width, [f"class {each}" for each in range(classes)], activation=activation)
    run_plain = runner(plain.SerializeToString(), Plain(classes, height, width))
    run_cut = runner(cut(plain).SerializeToString(), Cut(classes, height, width))
    apart = gap(run_cut, run_plain, make_up(height, width))
    assert apart.confidence < 1e-5
    assert apart.box_px < 1e-3


def test_it_takes_bytes_and_gives_logits(cut_shipped: onnx.ModelProto) -> None:
    """uint8 BGR in rows in, two float32 tensors out."""
    graph = cut_shipped.graph
    assert interface(graph.input) == [("images", TensorProto.UINT8, [1, 320, 448, 3])]
    assert interface(graph.output) == [
        ("distances", TensorProto.FLOAT, [1, 64, 2940]),
        ("scores", TensorProto.FLOAT, [1, 1, 2940]),
    ]


def test_nothing_is_left_of_the_decoding(shipped: onnx.ModelProto, cut_shipped: onnx.ModelProto) -> None:
    """Neither its nodes nor its constants."""
    model = cut_shipped
    assert operators(shipped) - operators(model) == {"Softmax", "Slice", "Sub", "Div", "Mul", "Sigmoid"}
    taken = {name for node in model.graph.node for name in node.input}
    assert {each.name for each in model.graph.initializer} <= taken
    assert len(model.graph.initializer) < len(shipped.graph.initializer)


def test_the_picture_stays_bytes_until_the_first_convolution(cut_shipped: onnx.ModelProto) -> None:
    """Nothing is between the cast and the convolution, so that in INT8 the pixels can be the quantized input."""
    first, second, third = cut_shipped.graph.node[:3]
    assert [first.op_type, second.op_type, third.op_type] == ["Transpose", "Cast", "Conv"]
    assert (list(first.input), list(second.input)) == (["images"], list(first.output))
    assert third.input[0] == second.output[0]


def test_what_ultralytics_wrote_stays(shipped: onnx.ModelProto, cut_shipped: onnx.ModelProto) -> None:
    """Names, size, date and the rest of the metadata, the opset and the IR version."""
    model = cut_shipped
    assert {each.key: each.value for each in model.metadata_props} == {
        each.key: each.value for each in shipped.metadata_props
    }
    assert model.ir_version == shipped.ir_version
    assert list(model.opset_import) == list(shipped.opset_import)


def test_the_same_export_gives_the_same_bytes_and_stays_as_it_is() -> None:
    """Whatever else was cut in between."""
    plain = tiny_yolo()
    before, first = (
        plain.SerializeToString(deterministic=True),
        cut(plain).SerializeToString(deterministic=True),
    )
    cut(tiny_yolo(32, 32))
    assert cut(plain).SerializeToString(deterministic=True) == first
    assert plain.SerializeToString(deterministic=True) == before


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    model.graph.node.append(helper.make_node("Identity", ["mask"], ["masked"]))
    model.graph.output.append(helper.make_tensor_value_info("masked", TensorProto.FLOAT, [1]))


def any_height(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_param = "anchors"


def scaled_input(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Mul", ["images", "images"], ["squared"]))
    model.graph.node[1].input[0] = "squared"


def logits_out(model: onnx.ModelProto) -> None:
    sigmoid = next(node for node in model.graph.node if node.op_type == "Sigmoid")
    model.graph.node[-1].input[1] = sigmoid.input[0]


def no_softmax(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Softmax").op_type = "LogSoftmax"


def transposed(model: onnx.ModelProto) -> None:
    model.graph.node[-1].output[0] = "upright"
    model.graph.node.append(helper.make_node("Transpose", ["upright"], ["output0"], perm=[0, 2, 1]))
    first, second = (each.dim_value for each in model.graph.output[0].type.tensor_type.shape.dim[1:])
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = second
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = first


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (two_inputs, r"its input has the shape \[\[1, 3, 64, 96\], \[1\]\]"),
        (any_height, r"its distances have the shape|its input has the shape \[\[1, 3, 0, 96\]\]"),
        (scaled_input, "its picture goes into something else than one convolution"),
        (logits_out, "its output is not boxes and then the sigmoid of scores"),
        (transposed, "its output is not boxes and then the sigmoid of scores"),
        (no_softmax, "its boxes come of no softmax"),
    ],
)
def test_another_network_is_refused(spoil: Callable[[onnx.ModelProto], None], cause: str) -> None:
    model = tiny_yolo()
    spoil(model)
    with pytest.raises(CutError, match=cause):
        cut(model)


def test_another_number_of_bins_is_refused() -> None:
    """The device decodes 16."""
    with pytest.raises(CutError, match=r"shape \[1, 32, 126\], not of 4 sides of 16 bins"):
        cut(tiny_yolo(bins=8))


def test_a_detector_that_answers_differently_is_refused() -> None:
    """The small network of the benchmarks has boxes that never change."""
    with pytest.raises(CutError, match="its output is not boxes"):
        cut(onnx.load(ROOT / "bench" / "small.onnx"))
