"""PyTorch's spelling of a layer: read, never evaluated, every mistake at its column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawn import CASES, Case
from hypothesis import given
from hypothesis import strategies as st
from laws import refused_at_most

from convcli import SpecError, parse
from convcli.layers import Conv, ConvTranspose, DeformConv, Layer, Separable
from convcli.spec.spelling import LONGEST, spelled, value


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Conv2d(3, 64, 7)", {"type": "Conv2d", "in_channels": 3, "out_channels": 64, "kernel_size": 7}),
        ("nn.Conv2d(3, 64, 7)", {"type": "Conv2d", "in_channels": 3, "out_channels": 64, "kernel_size": 7}),
        (
            "torch.nn.Conv1d(1, 2, kernel_size=(3,))",
            {"type": "Conv1d", "in_channels": 1, "out_channels": 2, "kernel_size": [3]},
        ),
        (
            " Conv2d( 3,64 , (3,5), bias=False ) ",
            {"type": "Conv2d", "in_channels": 3, "out_channels": 64, "kernel_size": [3, 5], "bias": False},
        ),
        (
            "Conv2d(3, 4, 3, padding=same)",
            {"type": "Conv2d", "in_channels": 3, "out_channels": 4, "kernel_size": 3, "padding": "same"},
        ),
        (
            "Conv2d(3, 4, 3, padding='same')",
            {"type": "Conv2d", "in_channels": 3, "out_channels": 4, "kernel_size": 3, "padding": "same"},
        ),
        (
            "Conv2d(3, 4, 3, 1, 1, 1, 1, False)",
            {
                "type": "Conv2d",
                "in_channels": 3,
                "out_channels": 4,
                "kernel_size": 3,
                "stride": 1,
                "padding": 1,
                "dilation": 1,
                "groups": 1,
                "bias": False,
            },
        ),
        (
            "Conv2d(3, 4, 3, padding=[[0, 1], [1, 2]], bias=true)",
            {
                "type": "Conv2d",
                "in_channels": 3,
                "out_channels": 4,
                "kernel_size": 3,
                "padding": [[0, 1], [1, 2]],
                "bias": True,
            },
        ),
        (
            "Conv2d(3, 4, 3, stride=-1)",
            {"type": "Conv2d", "in_channels": 3, "out_channels": 4, "kernel_size": 3, "stride": -1},
        ),
        (
            "SeparableConv2d(3, 4, 3, 2, 1)",
            {
                "type": "SeparableConv2d",
                "in_channels": 3,
                "out_channels": 4,
                "kernel_size": 3,
                "stride": 2,
                "padding": 1,
            },
        ),
    ],
)
def test_a_layer_becomes_its_fields(text: str, fields: dict[str, Any]) -> None:
    assert spelled(text).fields == fields


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("Conv2d(3, 4, 3, strid=2)", 17, "strid"),
        ("Conv2d(3, 4, 3, stride=0)", 17, "stride"),
        ("Conv2d(3, 0, 3)", 11, "out_channels"),
        ("Convolve2d(3, 4, 3)", 1, "Convolve2d"),
        ("Conv2d(3, 4, 3, stride=2, stride=2)", 0, "stride"),
        ("Conv2d(3, 4, 3, 1, kernel_size=3)", 32, "kernel_size is given twice"),
        ("Conv2d(3, 4, 3, **more)", 19, "data, not code"),
        ("Conv2d(*args)", 8, "data, not code"),
        ("Conv2d(3, 4, 1+2)", 14, "data, not code"),
        ("Conv2d(3, 4, len('abc'))", 14, "data, not code"),
        ("Conv2d(3, 4, [x for x in y])", 14, "data, not code"),
        ("Conv2d(3, 4, f'{3}')", 14, "data, not code"),
        ("Conv2d(3, 4, lambda: 3)", 14, "data, not code"),
        ("Conv2d(3, 4, (yield))", 15, "data, not code"),
        ("Conv2d(3, 4, x := 3)", 0, ""),
        ("Conv2d(3, 4", 7, "never closed"),
        ("Conv2d(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)", 35, "takes 9 positional values"),
        ("(lambda: 0)(3)", 2, "not the name of a layer type"),
        ("Conv2d", 1, "not a layer"),
        ("3", 1, "not a layer"),
        ("__import__('os').system('true')", 1, "system"),
    ],
)
def test_a_mistake_is_placed(text: str, column: int, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    problem = caught.value.problems[0]
    assert said in problem.message
    assert problem.excerpt.strip() == text.strip()
    if column:
        assert problem.column == column


def test_nothing_is_evaluated(tmp_path: Path) -> None:
    there = tmp_path / "evaluated"
    for text in (
        f"Conv2d(3, 4, open({str(there)!r}, 'w'))",
        f"open({str(there)!r}, 'w')",
        f"Conv2d(3, 4, 3, name=__import__('pathlib').Path({str(there)!r}).touch())",
    ):
        with pytest.raises(SpecError):
            parse(text)
    assert not there.exists()


@pytest.mark.parametrize(
    "text",
    [
        "Conv2d(" + "(" * 500 + ")" * 500 + ")",
        "Conv2d(" + "-" * 5000 + "3)",
        "Conv2d(" + "9" * 9000 + ")",
        "Conv2d(3, 4, 0x" + "f" * 9000 + ")",
        "Conv2d(3, 4, [0x" + "f" * 9000 + "])",
        "Conv2d(3,\n4, 3)",
        "Conv2d(3\0)",
        "x" * (LONGEST + 1),
        "",
        "(",
        "\ud800(3)",
    ],
)
def test_what_no_parser_should_see(text: str) -> None:
    with pytest.raises(SpecError):
        parse(text)


@given(st.one_of(st.text(max_size=60), st.text("Conv2d(3,4 )=[]'\"-.xX_*+:;#\\@{}", max_size=40)))
def test_any_text_is_a_layer_or_an_error(text: str) -> None:
    for read in (parse, value):
        with refused_at_most():
            read(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("3,5", [3, 5]),
        ("(1, 2)", [1, 2]),
        ("1x3x224x224", [1, 3, 224, 224]),
        ("same", "same"),
        ("[[0,1],[1,2]]", [[0, 1], [1, 2]]),
        ("true", True),
        ("-1", -1),
        ("1_000", 1000),
        ("2.5", 2.5),
    ],
)
def test_a_flags_value(text: str, expected: object) -> None:
    assert value(text) == expected


def test_a_type_without_a_rank_needs_one_here() -> None:
    with pytest.raises(SpecError, match="names no rank") as caught:
        parse("Conv(3, 4, 3)")
    assert "Conv2d" in caught.value.problems[0].allowed


def written(case: Case) -> str:
    """A case's layer as Python writes it."""
    fields = {name: item for name, item in case.fields.items() if name != "type" and item is not None}
    return f"{case.fields['type']}({', '.join(f'{name}={item!r}' for name, item in fields.items())})"


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: str(kind.kind))
def test_a_spelled_layer_is_the_layer_of_the_mapping(kind: type[Layer]) -> None:
    @given(CASES[kind]())
    def same(case: Case) -> None:
        assert parse(written(case)).settled(case.x) == case.layer

    same()


@pytest.mark.torch
@pytest.mark.parametrize("kind", [Conv, ConvTranspose, DeformConv], ids=lambda kind: str(kind.kind))
def test_what_torch_prints_is_read(kind: type[Layer]) -> None:
    """repr(module) of any layer, and the layer it makes."""
    torch: Any = pytest.importorskip("torch")
    ops: Any = pytest.importorskip("torchvision.ops")

    @given(CASES[kind]())
    def read(case: Case) -> None:
        layer = case.layer
        assert isinstance(layer, Conv | ConvTranspose)
        if any(axis.before != axis.after or axis.before < 0 for axis in layer.axes):
            return  # torch has no such padding
        fields: dict[str, Any] = {
            "kernel_size": tuple(a.kernel for a in layer.axes),
            "stride": tuple(a.stride for a in layer.axes),
            "padding": tuple(a.before for a in layer.axes),
            "dilation": tuple(a.dilation for a in layer.axes),
            "groups": layer.groups,
            "bias": layer.bias,
        }
        if isinstance(layer, ConvTranspose):
            fields["output_padding"] = tuple(a.output_padding for a in layer.axes)
        elif not isinstance(layer, DeformConv):
            fields["padding_mode"] = layer.padding_mode
        name = (
            "DeformConv2d"
            if isinstance(layer, DeformConv)
            else f"Conv{'Transpose' if kind is ConvTranspose else ''}{case.rank}d"
        )
        module = getattr(torch.nn, name, None) or getattr(ops, name)
        printed = repr(module(case.x[0], layer.out_channels, **fields))
        found = parse(printed).settled(case.x)
        if isinstance(layer, DeformConv):  # offset groups and masks are not the module's but its inputs'
            assert isinstance(found, DeformConv)
            assert (found.axes, found.groups, found.bias) == (layer.axes, layer.groups, layer.bias)
        else:
            assert found == layer

    read()


def test_types_that_torch_does_not_have_are_spelled_alike() -> None:
    layer = parse("SeparableConv2d(16, 32, 3, padding=1, depth_multiplier=2, pointwise_bias=False)")
    assert isinstance(layer, Separable)
    assert layer.pointwise_bias is False
    assert layer.depth_multiplier == 2
