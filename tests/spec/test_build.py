"""From plain data to a network: every problem of a document at once, each at its field."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from drawn import layer_of
from hypothesis import given
from hypothesis import strategies as st
from laws import refused_at_most

from convcli import SpecError, parse
from convcli.layers import Conv
from convcli.plan import plan
from convcli.spec import fields
from convcli.spec.build import entry, flags_network, lines_network, network, shape_of, spelled_network
from convcli.spec.checked import checked, shown

CONV: dict[str, Any] = {"type": "Conv2d", "out_channels": 4, "kernel_size": 3}
DATA = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
FIELDS = [
    "type",
    "name",
    "input",
    "expect",
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "bias",
    "groups",
    "padding_mode",
    "output_padding",
    "depth_multiplier",
    "pointwise_bias",
    "offset_groups",
    "modulated",
]
TYPES = [
    "Conv1d",
    "Conv2d",
    "conv",
    "depthwise",
    "pointwise",
    "grouped",
    "dilated",
    "ConvTranspose2d",
    "SeparableConv2d",
    "DeformConv2d",
    "DCNv2",
]


def wrong(document: object) -> dict[str, str]:
    """message by field of everything wrong with a document."""
    with pytest.raises(SpecError) as caught:
        network(document, "net.yaml")
    return {problem.field: problem.message for problem in caught.value.problems}


def test_a_document_is_a_network() -> None:
    found = network(
        {"name": "n", "input": [1, 3, 8, 8], "budget": {"macs": "1M"}, "layers": [CONV, "Conv2d(4, 4, 3)"]}, "net.yaml"
    )
    assert (found.name, found.source, found.input, found.budget) == ("n", "net.yaml", (1, 3, 8, 8), {"macs": "1M"})
    assert [one.path for one in found.entries] == [("layers", 0), ("layers", 1)]


def test_a_bare_list_is_a_network_too() -> None:
    found = network([{**CONV, "input": [1, 3, 8, 8]}], "net.yaml")
    assert [one.path for one in found.entries] == [(0,)]
    assert plan(found).steps[0].y == (4, 6, 6)


def test_all_problems_of_a_document_are_found() -> None:
    document = {
        "nmae": "typo",
        "input": [1, -3],
        "budget": {"macs": "lots", "parms": 3},
        "layers": [
            {**CONV, "stride": 0, "padding": "sideways", "colour": "red"},
            {"type": "Conv2d"},
            "Conv2d(3, 4, 3, strid=1)",
            7,
            {"out_channels": 3},
            {**CONV, "type": "Convolve"},
            CONV,
        ],
    }
    found = wrong(document)
    assert {
        "nmae",
        "input",
        "budget.parms",
        "layers[0].stride",
        "layers[0].colour",
        "layers[3]",
        "layers[4].type",
        "layers[5].type",
    } <= set(found)
    assert any(field.startswith("layers[1]") for field in found)
    assert any(field.startswith("layers[2]") for field in found)


def test_a_name_is_taken_once() -> None:
    found = wrong({"layers": [{**CONV, "name": "a"}, CONV, {**CONV, "name": "a"}], "input": [1, 3, 9, 9]})
    assert list(found) == ["layers[2].name"]
    assert "layers[0]" in found["layers[2].name"]


def test_the_name_that_a_layer_gets_may_be_taken_too() -> None:
    assert list(wrong({"layers": [{**CONV, "name": "conv2d_2"}, CONV], "input": [1, 3, 9, 9]})) == ["layers[1].name"]


@pytest.mark.parametrize(
    ("fields", "field", "repair"),
    [
        ({"bias": "yes"}, "bias", "true"),
        ({"bias": 0}, "bias", "false"),
        ({"stride": "2"}, "stride", "2"),
        ({"stride": 2.0}, "stride", "2"),
        ({"stride": "2x3"}, "stride", "[2, 3]"),
        ({"kernel_sise": 3}, "kernel_sise", "kernel_size"),
        ({"filters": 3}, "filters", "out_channels"),
        ({"strides": 2}, "strides", "stride"),
        ({"stride": 2.5}, "stride", ""),
        ({"padding_mode": "mirror"}, "padding_mode", ""),
    ],
)
def test_a_repair_is_offered_where_one_is_obvious(fields: dict[str, Any], field: str, repair: str) -> None:
    with pytest.raises(SpecError) as caught:
        entry({**CONV, **fields}, 1)
    assert [(p.field, p.repair) for p in caught.value.problems] == [(field, repair)]
    assert caught.value.problems[0].allowed


@given(st.dictionaries(st.sampled_from(FIELDS), DATA, max_size=6), st.sampled_from(TYPES))
def test_any_fields_make_a_layer_or_an_error(fields: dict[str, Any], type_: str) -> None:
    for raw in (fields, {"type": type_, **fields}, {**CONV, **fields, "type": type_}):
        with refused_at_most():
            layer_of(raw, 2)


@given(DATA)
def test_any_document_is_a_network_or_an_error(document: object) -> None:
    for whole in (
        document,
        {"layers": document},
        {"layers": [document]},
        {"layers": [CONV], "input": document, "budget": document},
    ):
        with refused_at_most(str):
            network(whole, "net.yaml")


@given(DATA)
def test_a_wrong_value_is_shown_in_one_short_line(value: object) -> None:
    text = shown(value)
    assert len(text) <= 60
    assert isinstance(text, str)


@pytest.mark.parametrize(
    "value", [10**5000, -(10**4400), 2**63, "x" * 10**6, [10**5000], {"a": [10**5000]}], ids=range(6)
)
def test_a_huge_wrong_value_is_shown_short(value: object) -> None:
    assert len(shown(value)) <= 60


# The other ways in.


@pytest.mark.parametrize(
    ("text", "shape"),
    [("1,3,224,224", (1, 3, 224, 224)), ("1x3x224x224", (1, 3, 224, 224)), ("(3, 9)", (3, 9)), ("[0,3,9]", (0, 3, 9))],
)
def test_a_flags_shape(text: str, shape: tuple[int, ...]) -> None:
    assert shape_of(text) == shape


@pytest.mark.parametrize(
    "text", ["", "3", "a,b", "1,-3", "1,3.5", "1,True", "1;3", "1,3,[4]", "9" * 5000], ids=range(9)
)
def test_a_flag_that_is_no_shape(text: str) -> None:
    with pytest.raises(SpecError):
        shape_of(text)


def test_flags_make_the_layer_that_the_spelling_makes() -> None:
    flags: dict[str, str | bool] = {
        "type": "Conv2d",
        "in_channels": "3",
        "out_channels": "8",
        "kernel_size": "3,5",
        "padding": "[[0,1],[1,2]]",
        "padding_mode": "reflect",
        "bias": False,
    }
    (one,) = flags_network(flags).entries
    assert one.layer is not None
    assert one.made(2) == parse("Conv2d(3, 8, (3, 5), padding=[[0, 1], [1, 2]], padding_mode='reflect', bias=False)")


def test_a_wrong_flag_is_named_as_it_was_typed() -> None:
    with pytest.raises(SpecError) as caught:
        flags_network({"type": "Conv2d", "out_channels": "many", "kernel_size": "0"})
    assert [problem.field for problem in caught.value.problems] == ["--out-channels", "--kernel-size"]


def test_spelled_layers_make_one_network() -> None:
    found = spelled_network(["Conv2d(3, 4, 3)", "Conv2d(4, 4, 3)", "mb1ic4oc8ih10kh3"])
    assert [one.type for one in found.entries] == ["Conv2d"] * 3
    assert found.entries[2].input == (1, 4, 10, 10)
    with pytest.raises(SpecError) as caught:
        spelled_network(["Conv2d(3, 4", "Conv2d(3, 0, 3)", "ic3ih8kh3"])
    assert len(caught.value.problems) == 3


def test_json_lines_keep_their_line_numbers() -> None:
    found = lines_network([(1, {**CONV, "input": [1, 3, 8, 8]}), (7, "Conv2d(4, 4, 3)")], "bulk.jsonl")
    assert [one.line for one in found.entries] == [1, 7]
    with pytest.raises(SpecError) as caught:
        lines_network([(2, 5), (3, CONV), (9, {**CONV, "stride": 0})], "bulk.jsonl")
    assert [(p.source, p.line) for p in caught.value.problems] == [("bulk.jsonl", 2), ("bulk.jsonl", 9)]


def test_depthwise_needs_no_out_channels() -> None:
    layer = layer_of({"type": "depthwise", "kernel_size": 3, "depth_multiplier": 2}, 2).settled((5, 8, 8))
    assert isinstance(layer, Conv)
    assert (layer.groups, layer.out_channels) == (5, 10)


# msgspec has corrupted memory while it reported that a union inside a tuple does not fit. Wrong data of every form, to
# every struct, and then the collector, in a process of its own: it must live.
CORRUPTION = """
import gc, itertools, msgspec
from convcli.spec import fields
from convcli.spec.checked import checked
from convcli.errors import SpecError
structs = [s for s in vars(fields).values() if isinstance(s, type) and issubclass(s, msgspec.Struct)]
assert len(structs) > 8
leaves = [None, True, -1, 0, 3, 2**70, 1.5, float("nan"), "x", [], {}, {"a": 1}, [1], [None], [[1]]]
leaves += [[[1, 2]], [[1, 2], 3], [[1, 2, 3]], [["a", "b"]], [-1, [1, -1]], [[None, None]]]
nested = [[leaf, leaf] for leaf in leaves] + [[[leaf, 1], [1, leaf]] for leaf in leaves]
nested += [{"output": leaf, "macs": leaf} for leaf in leaves]
for struct in structs:
    names = [f.encode_name for f in msgspec.structs.fields(struct)]
    for value in leaves + nested:
        for data in ({name: value for name in names}, *({name: value} for name in names), value):
            for _ in range(3):
                try:
                    msgspec.convert(data, struct)
                except (msgspec.ValidationError, RecursionError):
                    pass
        try:
            checked({name: value for name in names}, struct)
        except SpecError as error:
            str(error)
    gc.collect()
print("alive")
"""


def test_wrong_data_does_not_corrupt_memory() -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CORRUPTION],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "alive\n"), ran.stderr


def test_structs_say_what_is_allowed() -> None:
    """Every field of every struct has words for a user, and no type of msgspec's shows through."""
    silent = []
    for struct in vars(fields).values():
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            for field in msgspec.structs.fields(struct):
                with pytest.raises(SpecError) as caught:
                    checked({field.encode_name: object}, struct)
                if not next(p.allowed for p in caught.value.problems if p.path == (field.encode_name,)):
                    silent.append(f"{struct.__name__}.{field.name}")
    assert not silent, f"no description, so no message says what is allowed: {', '.join(silent)}"
