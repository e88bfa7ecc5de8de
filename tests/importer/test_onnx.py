"""Import from ONNX: shapes as ONNX' own evaluator gives them; products and parameters are the operators'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convcli
from convcli.errors import ImportFailed
from convcli.records import NetworkRecord

pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_files import CASES, X4, Case, built, ints, model

from convcli.importer.document import text
from convcli.importer.onnx.load import onnx_graph
from convcli.importer.onnx.skim import skimmed
from convcli.spec.load import loads

node = helper.make_node


def record_of(proto: Any, given: Any = None) -> NetworkRecord:
    """The summary of what was written and read again."""
    graph = onnx_graph(proto.SerializeToString(), "model.onnx", given)
    return convcli.summarize(loads(text(graph).encode(), "model.yaml")).reports[0]


def last_shapes(proto: Any, shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """What ONNX' evaluator gives for inputs of these shapes."""
    rng = np.random.default_rng(0)
    given = {f"x{at}": rng.standard_normal(shape).astype(np.float32) for at, shape in enumerate(shapes)}
    return [np.shape(y) for y in ReferenceEvaluator(proto).run(None, given)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_an_operator_gives_onnx_shape_and_its_own_counts(case: Case) -> None:
    proto = built(case)
    graph = onnx_graph(proto.SerializeToString(), "model.onnx")
    assert not [n for n in graph.nodes if n.type == "Unknown"], [n.comment for n in graph.nodes]
    shapes = [n.shape for n in graph.outputs] or [case.shapes[0]]
    assert shapes == ([case.shape] if case.shape else last_shapes(proto, case.shapes))
    record = record_of(proto) if graph.nodes else None
    if record:
        assert (record.totals.macs, record.totals.params) == (case.macs, case.params)


def test_sizes_that_the_graph_works_out_are_numbers() -> None:
    """reshape(x, (shape(x)[0], -1)) @ w, resized as the first input is."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axis"], ["n1"]),
        node("Concat", ["n1", "rest"], ["to"], axis=0),
        node("Reshape", ["x", "to"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
        node("Slice", ["s", "two", "four"], ["space"]),
        node("Mul", ["space", "two"], ["twice"]),
        node("Slice", ["s", "axis", "two"], ["start"]),
        node("Concat", ["start", "twice"], ["sizes"], axis=0),
        node("Resize", ["x", "", "", "sizes"], ["z"]),
    ]
    held = {"zero": np.int64(0), "axis": ints(0), "rest": ints(-1), "two": ints(2), "four": ints(4), "w": (60, 7)}
    proto = model(nodes, {"x": ["batch", 3, 4, 5]}, held, ["y", "z"])
    record = record_of(proto, {"batch": (2,)})
    assert [(layer.type, layer.output) for layer in record.layers] == [
        ("Flatten", (2, 60)),
        ("Linear", (2, 7)),
        ("Upsample", (2, 3, 8, 10)),
    ]
    assert record.totals.macs == 2 * 60 * 7


def test_a_product_takes_the_bias_that_is_added_to_it_and_nothing_else() -> None:
    held = {"w": (4, 5), "b": (5,)}
    proto = model([node("MatMul", ["x", "w"], ["m"]), node("Add", ["b", "m"], ["y"])], {"x": (2, 4)}, held, ["y"])
    assert [layer.type for layer in record_of(proto).layers] == ["Linear"]
    assert record_of(proto).totals.params == 25
    read_twice = model([*proto.graph.node, node("Relu", ["m"], ["z"])], {"x": (2, 4)}, held, ["y", "z"])
    record = record_of(read_twice)
    assert [layer.type for layer in record.layers] == ["Linear", "Parameter", "Add", "ReLU"]
    assert record.totals.params == 25


def test_one_number_is_no_parameter_unless_a_layer_reads_it_as_its_weight() -> None:
    held = {"w": (4, 1), "b": (1,), "n": (1,)}
    nodes = [node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"]), node("Mul", ["y", "n"], ["z"])]
    record = record_of(model(nodes, {"x": (2, 4)}, held, ["z"]))
    assert [(layer.type, layer.params) for layer in record.layers] == [("Linear", 5), ("Scale", 0)]


def test_weights_that_are_used_again_count_once() -> None:
    held = {"w": (4, 4, 3, 3), "b": (4,), "table": (9, 4)}
    same = [node("Conv", [x, "w", "b"], [y], pads=[1, 1, 1, 1]) for x, y in (("x", "y"), ("y", "z"))]
    record = record_of(model(same, {"x": X4}, held, ["z"]))
    assert record.layers[1].shares == "conv"
    assert (record.totals.params, record.totals.macs) == (148, 2 * 2 * 4 * 72 * 36)
    other = [same[0], node("Conv", ["y", "w", "b"], ["z"], dilations=[2, 2])]
    record = record_of(model(other, {"x": X4}, held, ["z"]))
    assert (record.totals.params, record.totals.macs) == (148, 2 * 4 * 36 * (72 + 20))
    assert record.totals.complete
    turned = [
        node("Transpose", ["table"], ["t"]),
        node("MatMul", ["x", "t"], ["y"]),
        node("MatMul", ["y", "table"], ["z"]),
    ]
    record = record_of(model(turned, {"x": (2, 4)}, held, ["z"]))
    assert (record.totals.params, record.totals.macs) == (36, 2 * 2 * 36)


def test_equal_vectors_that_an_exporter_keeps_once_belong_to_every_layer() -> None:
    held = {"w": (4, 4, 1, 1), "v": (4, 4, 1, 1), "zeros": (4,)}
    nodes = [node("Conv", ["x", "w", "zeros"], ["y"]), node("Conv", ["y", "v", "zeros"], ["z"])]
    record = record_of(model(nodes, {"x": X4}, held, ["z"]))
    assert [layer.type for layer in record.layers] == ["Conv2d", "Conv2d"]
    assert record.totals.params == 40


def test_an_embedding_is_a_table_that_indices_read() -> None:
    graph = helper.make_graph(
        [node("Gather", ["table", "x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.INT64, (2, 5))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros((9, 4), np.float32), "table")],
    )
    record = record_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))
    assert [(layer.type, layer.params, layer.output) for layer in record.layers] == [("Embedding", 36, (2, 5, 4))]


def test_quantized_convolutions_count_like_others() -> None:
    held = {"s": np.float32(1), "z": np.uint8(0), "w": np.ones((6, 4, 3, 3), np.uint8)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearConv", ["q", "s", "z", "w", "s", "z", "s", "z"], ["r"]),
        node("DequantizeLinear", ["r", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w", "s", "z"], ["u"]),
        node("Conv", ["x", "u"], ["y"]),
    ]
    record = record_of(model(nodes, {"x": X4}, held, ["d", "y"]))
    assert record.totals.macs == 2 * (2 * 6 * 42 * 36)
    assert record.totals.complete


def test_what_nobody_knows_is_unknown_with_its_weights_and_what_follows_goes_on() -> None:
    held = {"w": (1, 12, 4), "r": (1, 12, 3), "v": (3, 5)}
    nodes = [node("LSTM", ["x", "w", "r"], ["h"], hidden_size=3), node("MatMul", ["h", "v"], ["y"])]
    record = record_of(model(nodes, {"x": (7, 2, 4)}, held, ["y"]))
    assert [(layer.type, layer.params) for layer in record.layers] == [("Unknown", 84), ("Linear", 15)]
    assert record.layers[-1].output == (7, 1, 2, 5)
    assert not record.totals.complete


def test_an_operator_of_another_domain_loses_what_depends_on_it_and_says_so() -> None:
    nodes = [
        node("Box", ["x"], ["b"], domain="com.example"),
        node("Conv", ["b", "w"], ["y"]),
        node("Conv", ["x", "w"], ["z"]),
    ]
    proto = model(nodes, {"x": X4}, {"w": (4, 4, 1, 1)}, ["y", "z"])
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    graph = onnx_graph(proto.SerializeToString(), "model.onnx")
    assert graph.notes == [
        "the shapes of 2 results depend on data, and what they cost is not counted: 1 Conv, 1 com.example.Box"
    ]
    record = record_of(proto)
    assert record.totals.macs == 2 * 72 * 16
    assert not record.totals.complete


def test_an_if_whose_condition_is_known_is_its_branch() -> None:
    branches = [
        helper.make_graph(
            [node(op, ["x"], ["b"])], op, [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
        )
        for op in ("Relu", "Sigmoid")
    ]
    nodes = [node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])]
    record = record_of(model(nodes, {"x": X4}, {"c": np.array(False)}, ["y"]))
    assert [layer.type for layer in record.layers] == ["Sigmoid"]


def test_a_function_of_the_model_is_spelled_out() -> None:
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    proto = model([node("Twice", ["x"], ["y"], domain="own")], {"x": X4}, {}, ["y"], functions=[twice])
    proto.opset_import.append(helper.make_opsetid("own", 1))
    assert [layer.type for layer in record_of(proto).layers] == ["Add"]


def test_layers_are_called_as_their_weights_and_places() -> None:
    nodes = [
        node("Conv", ["x", "layer1.0.conv1.weight"], ["a"], name="/layer1/layer1.0/conv1/Conv"),
        node("Relu", ["a"], ["b"], name="/layer1/layer1.0/relu/Relu"),
        node("Add", ["b", "x"], ["c"], name="/layer1/layer1.0/Add"),
        node("Relu", ["c"], ["d"], name="/layer1/layer1.0/relu_1/Relu"),
        node("Flatten", ["d"], ["e"], name="/Flatten"),
        node("MatMul", ["e", "onnx::MatMul_7"], ["f"], name="/fc/MatMul"),
    ]
    held = {"layer1.0.conv1.weight": (4, 4, 1, 1), "onnx::MatMul_7": (288, 2)}
    names = [layer.name for layer in record_of(model(nodes, {"x": X4}, held, ["f"])).layers]
    assert names == ["layer1.0.conv1", "layer1.0.relu", "layer1.0.add", "layer1.0.relu_1", "flatten", "fc"]


RELU = model([node("Relu", ["x"], ["y"])], {"x": ["batch", 3, "size", "size"]}, {}, ["y"])


def test_open_axes_are_told_by_the_input_its_name_or_their_own() -> None:
    shape = (2, 3, 5, 5)
    for given in (shape, {"x": shape}, {"batch": (2,), "size": (5,)}):
        assert record_of(RELU, given).input == shape


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, ["the input 'x' is [batch, 3, size, size]", "-i x=1,3,224,224"]),
        ({"batch": (2,)}, ["the input 'x' is [2, 3, size, size]"]),
        ({"z": (1, 3, 5, 5)}, ["no input is named 'z'", "x, batch, size"]),
        ((3, 5, 5), ["has 4 axes, [3, 5, 5] has 3"]),
    ],
)
def test_what_is_wrong_with_the_input_is_said(given: Any, words: list[str]) -> None:
    with pytest.raises(convcli.SpecError) as caught:
        onnx_graph(RELU.SerializeToString(), "model.onnx", given)
    assert all(word in str(caught.value) for word in words), caught.value


def test_an_input_that_does_not_fit_is_the_users_to_mend() -> None:
    """Two sizes that a network halves and doubles again meet at a concat."""
    nodes = [
        node("MaxPool", ["x"], ["a"], kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", ["a", "w"], ["b"], strides=[2, 2]),
        node("Concat", ["x", "b"], ["y"], axis=1),
    ]
    proto = model(nodes, {"x": [1, 4, "h", "w"]}, {"w": (4, 4, 2, 2)}, ["y"])
    assert record_of(proto, (1, 4, 6, 8)).totals.complete
    with pytest.raises(convcli.SpecError, match=r"Concat: .*does not fit"):
        onnx_graph(proto.SerializeToString(), "model.onnx", (1, 4, 7, 8))


def broken() -> dict[str, tuple[bytes, type[Exception], str]]:
    whole = model([node("Relu", ["x"], ["y"])], {"x": X4}, {"w": (64, 64)}, ["y"])
    data = whole.SerializeToString()
    old, new = (model([node("Relu", ["x"], ["y"])], {"x": X4}, {}, ["y"], opset) for opset in (6, 99))
    missing = model([node("Relu", ["nothing"], ["y"])], {"x": X4}, {}, ["y"])
    alone = model([node("Relu", ["w"], ["y"])], {}, {"w": X4}, ["y"])
    return {
        "empty": (b"", convcli.SpecError, "there is no graph"),
        "text": (b"layers: []\n", convcli.SpecError, "no ONNX file"),
        "half": (data[: len(data) // 2], convcli.SpecError, "not all of one"),
        "old": (old.SerializeToString(), convcli.SpecError, "opset 6"),
        "new": (new.SerializeToString(), ImportFailed, "opset 99"),
        "missing": (missing.SerializeToString(), convcli.SpecError, "takes 'nothing'"),
        "alone": (alone.SerializeToString(), convcli.SpecError, "no input"),
    }


@pytest.mark.parametrize("name", broken())
def test_a_broken_file_is_told_in_words(name: str, tmp_path: Path) -> None:
    data, kind, words = broken()[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(kind, match=words) as caught:
        convcli.load(path)
    assert "model.onnx" in str(caught.value)


def test_any_part_of_a_file_is_read_or_refused(tmp_path: Path) -> None:
    data = built(CASES[0]).SerializeToString()
    for length in range(0, len(data), 7):
        try:
            convcli.load(_written(tmp_path, data[:length]))
        except (convcli.SpecError, ImportFailed):
            continue
    for place in range(0, len(data), 5):
        try:
            convcli.load(_written(tmp_path, data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :]))
        except (convcli.SpecError, ImportFailed):
            continue


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


def test_numbers_of_large_weights_are_not_needed(tmp_path: Path) -> None:
    """What lies in another file need not be there."""
    import onnx

    proto = model([node("Conv", ["x", "w"], ["y"])], {"x": X4}, {"w": (64, 4, 3, 3)}, ["y"])
    onnx.save(proto, tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").unlink()
    assert convcli.summarize(convcli.load(tmp_path / "model.onnx")).reports[0].totals.params == 64 * 36


def test_large_weights_are_dropped_before_the_file_is_decoded() -> None:
    """All else is byte for byte what it was."""
    from onnx import ModelProto

    held = {"w": (128, 4, 8, 8), "v": (4, 4, 1, 1), "n": np.arange(40_000, dtype=np.int64)}
    proto = model([node("Conv", ["x", "w"], ["y"]), node("Conv", ["x", "v"], ["z"])], {"x": X4}, held, ["y", "z"])
    left = skimmed(proto.SerializeToString())
    assert len(left) < 1000
    for tensor in proto.graph.initializer:
        if tensor.name != "v":
            tensor.ClearField("raw_data")
    assert ModelProto.FromString(left) == proto
    data = built(CASES[0]).SerializeToString()
    assert skimmed(data) == data


def test_a_spec_takes_no_inputs_by_name(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("input: [1, 3, 8, 8]\nlayers: [{type: ReLU}]\n")
    assert convcli.load(tmp_path / "net.yaml", input=(2, 3, 4, 4)).input == (2, 3, 4, 4)
    with pytest.raises(convcli.SpecError, match="by name"):
        convcli.load(tmp_path / "net.yaml", input={"x": (2, 3, 4, 4)})
