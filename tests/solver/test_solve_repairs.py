"""Repairs of illegal layers: each is legal, for us and for torch, and the right ones come first."""

from __future__ import annotations

import pytest
from drawn import convs, transposed
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from laws import refused_at_most
from solved import in_torch, repairs

import convcli
from convcli import SpecError
from convcli.solver.records import Repairs
from convcli.solver.spelling import spelling
from convcli.verifier.neighbours import Neighbour, neighbours

TORCHS_OWN = ("circular", "reflect")  # modes that torch refuses for some sizes, as we do
RANKS = st.sampled_from([(1,), (2,), (3,)])


def check(found: Repairs) -> None:
    """What is proposed is legal and makes what is told; what was asked is neither, or it is legal itself."""
    for repair in found.repairs:
        assert convcli.parse(repair.layer).output_shape(repair.input) == repair.output
        assert repair.change
    assert len({(repair.layer, repair.input) for repair in found.repairs}) == len(found.repairs)
    if found.output is not None:
        assert (found.problems, found.repairs) == ((), ())
    else:
        assert found.problems


@st.composite
def illegal(draw: st.DrawFn) -> Neighbour:
    """A layer with one of its numbers moved beyond what is legal; some are legal after all."""
    case = draw(draw(st.sampled_from([convs, transposed]))(draw(RANKS)))
    found = list(neighbours(case.layer, case.x))
    return draw(st.sampled_from(found))


@settings(max_examples=90)
@given(illegal())
def test_everything_that_is_proposed_is_legal(asked: Neighbour) -> None:
    """And something is proposed for every layer one step beyond the legal ones."""
    fields = {"type": asked.type, **asked.fields}
    assume(0 not in asked.shapes["x"])
    found = repairs(spelling(fields), asked.shapes["x"])
    check(found)
    assert found.exit_code == 0, asked.moved


@pytest.mark.torch
@settings(max_examples=50)
@given(illegal())
def test_torch_takes_what_is_proposed(asked: Neighbour) -> None:
    assume(0 not in asked.shapes["x"])
    for repair in repairs(spelling({"type": asked.type, **asked.fields}), asked.shapes["x"]).repairs:
        assert in_torch(repair.layer, repair.input) in {None, repair.output}, asked.moved


def first(layer: str, shape: tuple[int, ...] | None = None) -> list[str]:
    """The repaired layers in order; of those whose input changes, with the input."""
    found = repairs(layer, shape)
    check(found)
    start = found.input
    return [
        one.layer if one.input == start else f"{one.layer} on {'x'.join(map(str, one.input))}" for one in found.repairs
    ]


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (
            "Conv2d(6, 8, 3, groups=4)",
            (1, 6, 32, 32),
            [
                "Conv2d(6, 8, 3, groups=2)",
                "Conv2d(6, 8, 3)",
                "Conv2d(8, 8, 3, groups=4) on 1x8x32x32",
                "Conv2d(4, 8, 3, groups=4) on 1x4x32x32",
            ],
        ),
        ("Conv2d(3, 8, 7)", (1, 3, 5, 5), ["Conv2d(3, 8, 7, padding=1)", "Conv2d(3, 8, 5)"]),
        (
            "Conv2d(3, 8, 3, dilation=4)",
            (3, 5, 5),
            ["Conv2d(3, 8, 3, dilation=4, padding=2)", "Conv2d(3, 8, 2, dilation=4)"],
        ),
        ("Conv2d(3, 8, 3, padding='same', stride=2)", (1, 3, 9, 9), ["Conv2d(3, 8, 3, padding=1, stride=2)"]),
        (
            "ConvTranspose2d(3, 8, 3, stride=2, output_padding=2)",
            (1, 3, 5, 5),
            [
                "ConvTranspose2d(3, 8, 3, stride=2, output_padding=1)",
                "ConvTranspose2d(3, 8, 3, stride=3, output_padding=2)",
            ],
        ),
        ("ConvTranspose2d(3, 8, 3, padding=5)", (1, 3, 5, 5), ["ConvTranspose2d(3, 8, 3, padding=3)"]),
        (
            "ConvTranspose2d(3, 8, 3, stride=2, padding='same')",
            (1, 3, 5, 5),
            ["ConvTranspose2d(3, 8, 3, stride=2, padding=1, output_padding=1)"],
        ),
        ("Conv2d(3, 8, 3)", (1, 32, 32, 3), ["Conv2d(3, 8, 3) on 1x3x32x32", "Conv2d(32, 8, 3)"]),
        ("Conv2d(3, 8, 3)", (1, 1, 32, 32), ["Conv2d(1, 8, 3)", "Conv2d(3, 8, 3) on 1x3x32x32"]),
        ("Conv1d(3, 8, 3)", (1, 3, 32, 32), ["Conv2d(3, 8, 3)"]),
        ("Conv2d(1, 8, 3)", (28, 28), ["Conv2d(1, 8, 3) on 1x1x28x28"]),
        (
            "Conv2d(3, 8, 9, padding=5, padding_mode='reflect')",
            (1, 3, 5, 5),
            [
                "Conv2d(3, 8, 9, padding=4, padding_mode='reflect')",
                "Conv2d(3, 8, 9, padding=5, padding_mode='replicate')",
            ],
        ),
        ("Conv2d(3, 8, 3, strid=2)", (1, 3, 9, 9), ["Conv2d(3, 8, 3, stride=2)"]),
        ("Conv2d(3, 8, 3, output_padding=1)", (1, 3, 9, 9), ["Conv2d(3, 8, 3)"]),
        ("Conv2d(3, 8, 3, stride=0)", (1, 3, 9, 9), ["Conv2d(3, 8, 3)"]),
        ("DeformConv2d(6, 8, 3, offset_groups=4)", (1, 6, 9, 9), ["DeformConv2d(6, 8, 3, offset_groups=3)"]),
        ("Conv2d(3, 10, 7, groups=4)", (1, 6, 5, 5), ["Conv2d(6, 10, 7, groups=2, padding=1)"]),
        ("Conv2d(3, 7, 40, groups=2)", None, ["Conv2d(3, 7, 40)"]),
        ("Linear(512, 10)", (4, 25088), ["Linear(25088, 10)", "Linear(512, 10) on 4x512"]),
        ("Linear(25088, 10)", (4, 512, 7, 7), ["Linear(25088, 10) on 4x25088"]),
        ("Linear(512, 10)", (4, 512, 7, 7), ["Linear(512, 10) on 4x512"]),
        ("BatchNorm2d(64)", (2, 32, 5, 5), ["BatchNorm2d(32)", "BatchNorm2d(64) on 2x64x5x5"]),
        ("BatchNorm2d(64)", (2, 5, 5, 64), ["BatchNorm2d(64) on 2x64x5x5"]),
        ("MaxPool2d(3, padding=2)", (1, 3, 8, 8), ["MaxPool2d(3, padding=1)", "MaxPool2d(4, padding=2)"]),
        ("MaxPool2d(5)", (1, 3, 3, 3), ["MaxPool2d(5, padding=1)", "MaxPool2d(3)"]),
        ("GroupNorm(5, 64)", (1, 64, 3, 3), ["GroupNorm(4, 64)"]),
        ("LayerNorm(64)", (1, 64, 3), ["LayerNorm(64) on 1x3x64", "LayerNorm(3)"]),
        ("MultiheadAttention(10, 3)", (4, 5, 10), ["MultiheadAttention(10, 2)"]),
        ("PixelShuffle(2)", (1, 6, 3, 3), ["PixelShuffle(2) on 1x8x3x3", "PixelShuffle(2) on 1x4x3x3"]),
    ],
)
def test_the_right_repairs_come_first(layer: str, shape: tuple[int, ...] | None, expected: list[str]) -> None:
    assert first(layer, shape)[: len(expected)] == expected


def test_a_legal_layer_is_legal() -> None:
    found = repairs("Conv2d(3, 8, 3, stride=2)", (1, 3, 9, 9))
    check(found)
    assert found.output == (1, 8, 4, 4)


def test_what_nothing_mends_is_told() -> None:
    found = repairs("Conv2d(3, 8, 'a')", (1, 3, 9, 9))
    check(found)
    assert (found.repairs, found.exit_code) == ((), 1)


@pytest.mark.parametrize(
    ("layer", "said"),
    [("Foo(3)", "the type 'Foo'"), ("Conv2d(8, 3", "no shape error"), ("depthwise(kernel_size=3)", "what it takes")],
)
def test_what_is_no_layer_is_refused(layer: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        repairs(layer)


VALUES = st.one_of(
    st.integers(-3, 12),
    st.sampled_from(
        [None, True, 0.5, "same", "valid", "x", "reflect", 2**62, (), (1, 2), (0, 0), ((0, 1), (1, 0)), (1, 2, 3, 4)]
    ),
)
NAMES = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"]
NAMES += ["padding_mode", "output_padding", "offset_groups", "depth_multiplier", "nonsense"]
NAMES += ["in_features", "out_features", "num_features", "num_groups", "num_channels", "normalized_shape", "shape"]
TYPES = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "conv",
    "depthwise",
    "ConvTranspose2d",
    "SeparableConv2d",
    "DeformConv2d",
    "DCNv2",
]
TYPES += ["MaxPool2d", "AvgPool1d", "Linear", "BatchNorm2d", "GroupNorm", "LayerNorm", "Reshape", "Add", "ReLU"]


@settings(max_examples=120)
@given(
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=7),
    st.one_of(st.none(), st.lists(st.integers(0, 12), min_size=1, max_size=6).map(tuple)),
)
def test_any_fields_are_judged_in_bounded_time(
    type_: str, fields: dict[str, object], shape: tuple[int, ...] | None
) -> None:
    with refused_at_most():
        check(repairs(spelling({"type": type_, **fields}), shape))
