"""A graph of whatever origin becomes a spec that reads back as it was: no torch here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convcli
from convcli import SpecError
from convcli.importer.document import document, text
from convcli.importer.graph import Graph, Node, pruned
from convcli.importer.lines import flow
from convcli.importer.settled import settled
from convcli.importer.target import arguments, found
from convcli.spec.load import loads
from convcli.spec.text import decode

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
    | st.sampled_from(
        ["yes", "No", "null", "1e3", "0x10", "1.0", "a: b", "a #b", "- a", "~", "layer1.0.conv", "0", "", ".5"]
    )
)
KEYS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8).filter(lambda key: key != "<<")


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)))
def test_a_line_reads_back_as_it_was_written(value: object) -> None:
    assert decode(f"here: {flow(value)}\n".encode(), "x.yaml") == {"here": value}


def residual() -> Graph:
    """A block with a branch, a layer used again, and names that want to be one."""
    graph = Graph("block", (1, 4, 8, 8))
    said = {"out_channels": 4, "kernel_size": 3, "padding": 1, "bias": False}
    conv = Node("Conv2d", said, (None,), (1, 4, 8, 8), "conv", alone=True, weights={"weight": "conv.weight"})
    relu = Node("ReLU", {}, (conv,), (1, 4, 8, 8), "act", "relu", alone=True)
    again = Node("Conv2d", said, (relu,), (1, 4, 8, 8), "conv", alone=True, shares=conv)
    unread = Node("Rearrange", {"shape": (2,)}, (again,), (2,), "", "getitem")
    add = Node("Add", {}, (again, None), (1, 4, 8, 8), "", "add")
    last = Node("ReLU", {}, (add,), (1, 4, 8, 8), "act", "relu", alone=True)
    graph.nodes, graph.outputs, graph.params = [conv, relu, again, unread, add, last], [last], 144
    return graph


def test_from_stands_only_where_it_is_not_the_layer_before() -> None:
    graph = settled(pruned(residual()), {"conv.weight": 144})
    assert text(graph) == (
        "name: block\n"
        "input: [1, 4, 8, 8]\n"
        "layers:\n"
        "  - {name: conv, type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, bias: false}\n"
        "  - {name: act, type: ReLU}\n"
        "  - {name: conv_2, shares: conv}\n"
        "  - {name: add, type: Add, from: [conv_2, input]}\n"
        "  - {name: act_2, type: ReLU}\n"
    )
    totals = convcli.summarize(loads(text(graph).encode(), "block.yaml")).reports[0].totals
    assert (totals.params, totals.macs) == (144, 2 * 144 * 64)


def test_no_name_is_taken_twice() -> None:
    graph = Graph("names", (1, 4))
    for place in ("a", "a", "a_2", "input", "a", "a_2"):
        graph.nodes.append(Node("ReLU", {}, (graph.nodes[-1] if graph.nodes else None,), (1, 4), place, alone=True))
    names = [layer["name"] for layer in document(graph)["layers"]]
    assert names == ["a", "a_3", "a_2", "input_2", "a_4", "a_2_2"]


def test_a_layer_that_convcli_sees_otherwise_is_unknown() -> None:
    graph = residual()
    graph.nodes[1].shape = (1, 4, 9, 9)  # no ReLU gives that
    settled(graph, {"conv.weight": 143})  # nor has the convolution so few parameters
    assert [node.type for node in graph.nodes[:2]] == ["Unknown", "Unknown"]
    assert graph.nodes[0].comment == "Conv2d has 144 parameters"
    assert graph.nodes[1].comment == "ReLU gives [1, 4, 8, 8]"
    assert graph.notes == ["the layers have 143 parameters, the model says 144"]


def test_arguments_are_data() -> None:
    said = [
        "a=1",
        "b=none",
        "c=(1, 2.5)",
        "d=True",
        "e=DEFAULT",
        "f=__import__('os').getcwd()",
        "g=x=y",
        "h={'k': [1]}",
    ]
    assert arguments(said) == {
        "a": 1,
        "b": None,
        "c": (1, 2.5),
        "d": True,
        "e": "DEFAULT",
        "f": "__import__('os').getcwd()",
        "g": "x=y",
        "h": {"k": [1]},
    }
    for wrong in ("a", "=1", "1a=2", "a b=2"):
        with pytest.raises(SpecError, match="--arg"):
            arguments([wrong])


def test_a_target_is_found_where_it_says(tmp_path: Path) -> None:
    file = tmp_path / "net_of_mine.py"
    file.write_text("from beside import number\nclass Net:\n    depth = number\n", encoding="utf-8")
    (tmp_path / "beside.py").write_text("number = 3\n", encoding="utf-8")
    assert found(f"{file}:Net.depth") == 3
    assert found("math:pi") > 3
    for wrong, told in (
        ("math", "names no model"),
        (f"{file}:Ned", "has no 'Ned'.*try: .*:Net"),
        (f"{tmp_path}/none.py:Net", "no such file"),
        ("no_such_module:x", "no module"),
    ):
        with pytest.raises(SpecError, match=told):
            found(wrong)
