"""Every layer kind against counting by hand: what it multiplies, adds and owns."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

import msgspec
import pytest
from drawn import CASES, Case, cases, convs, deform, ints, layer_of, separable, transposed
from hypothesis import given
from hypothesis import strategies as st

from convcli import SpecError, parse
from convcli.axis import Axis, axes
from convcli.layers import KINDS, Conv, ConvTranspose, DeformConv, DeformConvPack, Layer, OnRoIs, Separable
from convcli.reach import Reach

Shape = tuple[int, ...]


def test_every_kind_is_drawn() -> None:
    missing = [kind.__name__ for kind in KINDS if kind not in CASES]
    assert not missing, f"tests/drawn.py has no strategy in CASES for {', '.join(missing)}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.kind))
def test_a_kind_states_its_facts(kind: type[Layer]) -> None:
    """The contract of a kind: settled layers answer with plain integers, and settling twice changes nothing."""

    @given(CASES[kind]())
    def stated(case: Case) -> None:
        layer = case.layer
        assert type(layer) is kind
        assert layer.settled(case.x) == layer
        out = layer.output(case.x)
        assert len(out) == (4 if case.on_regions else case.rank + 1)
        assert all(type(size) is int and size >= 1 for size in out)
        assert all(type(size) is int for shape in layer.tensors(case.x).values() for size in shape)
        assert layer.output_shape(case.input) == (out if case.on_regions else (case.batch, *out))
        assert layer.output_shape(case.x) == out
        assert layer.params(case.input) == layer.params(case.x) == parameters(case)
        assert layer.macs(case.input) == layer.counts(case.x, case.batch).macs
        assert case.on_regions or len(layer.reach(case.x, (Reach(),) * case.rank) or ()) == case.rank

    stated()


def parameters(case: Case) -> int:
    """The textbooks' closed forms, from the fields a spec holds."""
    if case.on_regions:
        return parameters_of_regions(case)
    f, channels = case.fields, case.x[0]
    taps, bias, groups = prod(f["kernel_size"]), f["bias"], f.get("groups", 1)
    multiplier = f.get("depth_multiplier", 1)
    outs = f.get("out_channels", channels * multiplier)
    if f["type"].startswith("Depthwise"):
        return int(channels * multiplier * taps + bias * outs)
    if f["type"].startswith("Separable"):
        mixing_bias = bias if f["pointwise_bias"] is None else f["pointwise_bias"]
        depthwise = channels * multiplier * taps + bias * channels * multiplier
        return int(depthwise + channels * multiplier * outs + mixing_bias * outs)
    total = outs * (channels // groups) * taps + bias * outs
    if f["type"].endswith("Pack"):
        predicted = (3 if f["modulated"] else 2) * f["offset_groups"] * taps
        total += predicted * channels * taps + predicted
    return int(total)


def parameters_of_regions(case: Case) -> int:
    """mmcv's offset_fc, three linear layers, and mask_fc, two."""
    f, bins = case.fields, prod(case.fields["output_size"])
    if "deform_fc_channels" not in f:
        return 0
    features, hidden = case.input[1] * bins, f["deform_fc_channels"]
    first = features * hidden + hidden
    offsets = first + hidden * hidden + hidden + hidden * 2 * bins + 2 * bins
    return int(offsets + (first + hidden * bins + bins if f["modulated"] else 0))


def products(layer: Layer, space: Shape, out: Shape) -> tuple[int, int]:
    """(all, real): how often a tap meets a position, and how often there is an input cell, one by one."""
    real = every = 0
    for position in product(*map(range, out)):
        for taps in product(*(range(axis.kernel) for axis in layer.axes)):
            cells = [
                p * a.stride + t * a.dilation - a.before for p, t, a in zip(position, taps, layer.axes, strict=True)
            ]
            every += 1
            real += all(0 <= cell < size for cell, size in zip(cells, space, strict=True))
    return every, real


@given(convs())
def test_a_convolution_multiplies_what_its_loops_multiply(case: Case) -> None:
    layer = case.layer
    assert isinstance(layer, Conv)
    outs, *out = layer.output(case.x)
    every, real = products(layer, case.x[1:], tuple(out))
    channel_pairs = case.batch * outs * (case.x[0] // (layer.groups or 1))
    counts = layer.counts(case.x, case.batch)
    assert counts.macs == channel_pairs * every
    assert counts.macs_nonpad == channel_pairs * (real if layer.padding_mode == "zeros" else every)
    assert counts.bias_adds == layer.bias * case.batch * outs * prod(out)
    assert counts.flops() == 2 * counts.macs
    terms = case.x[0] // (layer.groups or 1) * prod(axis.kernel for axis in layer.axes)
    assert counts.flops("strict") == case.batch * outs * prod(out) * (2 * terms - 1 + layer.bias)


@given(transposed())
def test_a_transposed_convolution_has_three_counts(case: Case) -> None:
    """Scatter: every product. Kept: those that land in the output. Zero-insert: those of the equivalent convolution."""
    layer = case.layer
    assert isinstance(layer, ConvTranspose)
    outs, *out = layer.output(case.x)
    hits: dict[Shape, int] = {}
    scattered = 0
    for p in product(*map(range, case.x[1:])):
        for taps in product(*(range(axis.kernel) for axis in layer.axes)):
            cell = tuple(i * a.stride + t * a.dilation - a.before for i, t, a in zip(p, taps, layer.axes, strict=True))
            scattered += 1
            if all(0 <= c < size for c, size in zip(cell, out, strict=True)):
                hits[cell] = hits.get(cell, 0) + 1
    per_position = case.batch * case.x[0] * (outs // layer.groups)
    counts = layer.counts(case.x, case.batch)
    assert counts.macs == per_position * scattered
    assert counts.macs_kept == counts.macs_nonpad == per_position * sum(hits.values())
    assert counts.macs_zero_insert == zero_inserted(layer, case).macs((case.batch, *stuffed(layer, case.x)))
    per_cell = case.x[0] // layer.groups
    sums = sum(2 * per_cell * terms - 1 for terms in hits.values())
    assert counts.flops("strict") == case.batch * outs * (sums + layer.bias * prod(out))


def stuffed(layer: Layer, x: Shape) -> Shape:
    """x with stride - 1 zeros between its cells."""
    return (x[0], *((size - 1) * axis.stride + 1 for size, axis in zip(x[1:], layer.axes, strict=True)))


def zero_inserted(layer: ConvTranspose, case: Case) -> Conv:
    """The ordinary convolution over the zero-inserted input that gives the same output."""
    pads = [(a.span - 1 - a.before, a.span - 1 - a.after + a.output_padding) for a in layer.axes]
    slides = axes(
        [a.kernel for a in layer.axes],
        padding=pads,
        dilation=[a.dilation for a in layer.axes],
        negative_padding=True,
    )
    conv = Conv(axes=slides, out_channels=layer.out_channels, groups=layer.groups).settled(stuffed(layer, case.x))
    assert conv.output(stuffed(layer, case.x)) == layer.output(case.x)
    return conv


@given(transposed())
def test_a_transposed_convolution_is_the_adjoint_of_a_convolution(case: Case) -> None:
    """The convolution with the same axes takes its output back to its input, with as many real products."""
    layer = case.layer
    assert isinstance(layer, ConvTranspose)
    y = layer.output(case.x)
    if any(size + a.before + a.after < a.span for size, a in zip(y[1:], layer.axes, strict=True)):
        return
    back = Conv(axes=layer.axes, out_channels=case.x[0], groups=layer.groups).settled(y)
    if back.output(y) == case.x:
        assert back.counts(y, case.batch).macs_nonpad == layer.counts(case.x, case.batch).macs_kept
        assert back.counts(y, case.batch).macs == layer.counts(case.x, case.batch).macs
        assert back.tensors(y)["weight"] == layer.tensors(case.x)["weight"]


@given(deform())
def test_a_deformable_convolution_is_a_convolution_and_its_samples(case: Case) -> None:
    layer = case.layer
    assert isinstance(layer, DeformConv)
    plain = Conv(axes=layer.axes, out_channels=layer.out_channels, groups=layer.groups, bias=layer.bias).settled(case.x)
    counts, same = layer.counts(case.x, case.batch), plain.counts(case.x, case.batch)
    assert (counts.macs, counts.macs_nonpad, counts.bias_adds) == (same.macs, same.macs_nonpad, same.bias_adds)
    _, *out = layer.output(case.x)
    samples = case.batch * case.x[0] * prod(out) * prod(axis.kernel for axis in layer.axes)
    assert counts.interpolation_macs == 4 * samples
    assert counts.modulation_macs == (samples if layer.modulated else 0)
    assert counts.coordinate_flops == 10 * samples // case.x[0] * layer.offset_groups
    inputs = layer.side_inputs(case.x)
    points = layer.offset_groups * prod(axis.kernel for axis in layer.axes)
    assert inputs["offset"] == (2 * points, *out)
    assert inputs.get("mask") == ((points, *out) if layer.modulated else None)


@given(st.one_of(separable(), deform("DeformConv2dPack")))
def test_a_composite_is_the_sum_of_its_parts(case: Case) -> None:
    layer = case.layer
    parts = layer.parts(case.x)
    assert len(parts) == 2
    totals = layer.counts(case.x, case.batch)
    for name in totals.__struct_fields__:
        given_numbers = [getattr(part.layer.counts(part.x, case.batch), name) for part in parts]
        known = [number for number in given_numbers if number is not None]
        assert getattr(totals, name) == (sum(known) if known else None)
    owned = {f"{part.name}.{name}": shape for part in parts for name, shape in part.layer.tensors(part.x).items()}
    assert layer.tensors(case.x) == owned
    if isinstance(layer, Separable):
        assert parts[1].x == parts[0].layer.output(case.x)
    else:  # the predictor's channels are the deformable part's offsets, and its masks
        predicted = parts[0].layer.output(case.x)
        assert predicted[0] == sum(shape[0] for shape in parts[1].layer.side_inputs(case.x).values())
        assert predicted[1:] == layer.output(case.x)[1:]


@given(cases(), ints(0, 7))
def test_the_batch_is_a_factor(case: Case, batch: int) -> None:
    """Of a layer on regions, how many there are."""
    layer = case.layer
    many, one = layer.counts(case.x, batch), layer.counts(case.x, 1)
    if isinstance(layer, OnRoIs):
        several, single = (msgspec.structs.replace(layer, num_rois=count) for count in (batch, 1))
        many, one = several.counts(case.x, 1), single.counts(case.x, 1)
    for name in one.__struct_fields__:
        single = getattr(one, name)
        assert getattr(many, name) == (None if single is None else batch * single)


@given(ints(1, 4), ints(1, 4), ints(1, 4), ints(1, 5), ints(1, 3))
def test_weights_and_products_fall_as_one_by_g(groups: int, ins: int, outs: int, kernel: int, rank: int) -> None:
    shape = (1, groups * ins, *(kernel + 2,) * rank)
    whole, split = (
        Conv(axes=axes((kernel,) * rank), out_channels=groups * outs, groups=g, bias=False) for g in (1, groups)
    )
    assert Fraction(split.params(shape), whole.params(shape)) == Fraction(1, groups)
    assert Fraction(split.macs(shape), whole.macs(shape)) == Fraction(1, groups)
    assert split.output_shape(shape) == whole.output_shape(shape)


@given(ints(1, 9), ints(1, 9), ints(1, 5), ints(1, 3), ints(0, 3))
def test_separable_costs_one_by_n_plus_one_by_taps(ins: int, outs: int, kernel: int, rank: int, pad: int) -> None:
    shape = (2, ins, *range(kernel, kernel + rank))
    slides = axes((kernel,) * rank, padding=pad)
    standard = Conv(axes=slides, out_channels=outs, bias=False)
    split = Separable(axes=slides, out_channels=outs, bias=False)
    ratio = Fraction(1, outs) + Fraction(1, kernel**rank)
    assert Fraction(split.macs(shape), standard.macs(shape)) == ratio
    assert Fraction(split.params(shape), standard.params(shape)) == ratio


def huge(kind: type[Layer], rank: int) -> Layer:
    """Each kind with 10**9 channels."""
    slides = axes((10**6 + 1,) * rank, stride=10**5, padding=10**5, dilation=10**6)
    channels: dict[str, Any] = {"out_channels": 10**9}
    if kind in {Conv, ConvTranspose, DeformConv, DeformConvPack}:
        channels["groups"] = 10**8
    return kind(axes=slides, **channels)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.kind))
def test_huge_numbers_are_answered_at_once(kind: type[Layer]) -> None:
    if issubclass(kind, OnRoIs):
        pytest.skip("its MACs hang on the regions, not on the input")
    rank = 2 if kind in {DeformConv, DeformConvPack} else 3
    shape = (10**6, 10**9, *(10**18,) * rank)
    layer = huge(kind, rank)
    started = time.process_time()
    out, params, macs, real = (
        layer.output_shape(shape),
        layer.params(shape),
        layer.macs(shape),
        layer.macs_nonpad(shape),
    )
    assert time.process_time() - started < 0.05
    assert all(size > 10**12 for size in out[2:])
    assert params > 10**12
    assert macs > real > 10**40


# What cannot be, and the field that is wrong.


@pytest.mark.parametrize(
    ("field", "layer", "shape"),
    [
        ("groups", "Conv2d(6, 4, 3, groups=3)", (1, 6, 8, 8)),
        ("groups", "Conv2d(4, 6, 3, groups=3)", (1, 4, 8, 8)),
        ("in_channels", "Conv2d(3, 4, 3)", (1, 6, 8, 8)),
        ("kernel_size", "Conv2d(3, 4, 9)", (1, 3, 8, 8)),
        ("input", "Conv2d(3, 4, 3)", (3, 8)),
        ("input", "Conv2d(3, 4, 3)", (1, 1, 3, 8, 8)),
        ("padding", "Conv2d(3, 4, 3, padding=8, padding_mode='reflect')", (1, 3, 8, 9)),
        ("padding", "Conv2d(3, 4, 3, padding=9, padding_mode='circular')", (1, 3, 8, 9)),
        ("output_padding", "ConvTranspose2d(3, 4, 3, stride=2, output_padding=2)", (1, 3, 8, 8)),
        ("padding", "ConvTranspose2d(3, 4, 3, padding=9)", (1, 3, 8, 8)),
        ("groups", "ConvTranspose2d(3, 4, 3, groups=2)", (1, 3, 8, 8)),
        ("in_channels", "ConvTranspose2d(3, 4, 3)", (1, 4, 8, 8)),
        ("offset_groups", "DeformConv2d(3, 4, 3, offset_groups=2)", (1, 3, 8, 8)),
        ("offset_groups", "DeformConv2dPack(3, 4, 3, offset_groups=2)", (1, 3, 8, 8)),
        ("in_channels", "SeparableConv2d(3, 4, 3)", (1, 4, 8, 8)),
        ("kernel_size", "SeparableConv2d(3, 4, 9)", (1, 3, 8, 8)),
        ("kernel_size", "DeformConv2dPack(3, 4, 9)", (1, 3, 8, 8)),
        ("input", "DeformRoIPool(7)", (3, 8, 8)),
        ("input", "DeformRoIPoolPack(7)", (1, 3, 0, 8)),
        ("in_channels", "DeformRoIPool(7, in_channels=4)", (1, 3, 8, 8)),
        ("output_channels", "DeformRoIPoolPack(7, 4)", (1, 3, 8, 8)),
        ("in_channels", "DeformRoIPoolPack(7)", (1, 0, 8, 8)),
    ],
)
def test_what_cannot_be_names_the_field(field: str, layer: str, shape: Shape) -> None:
    for question in ("output_shape", "params", "macs", "macs_nonpad"):
        if question == "params" and field in {"kernel_size", "padding"} and "mode" not in layer:
            continue  # how many parameters a layer has does not depend on whether its kernel fits
        with pytest.raises(SpecError) as caught:
            getattr(parse(layer), question)(shape)
        assert caught.value.problems[0].field == field
        assert caught.value.problems[0].allowed


# Textbook numbers, worked out by hand.


def numbers(layer: str, shape: Shape) -> dict[str, Any]:
    """Everything a layer says of itself for an input."""
    made = parse(layer)
    settled = made.settled(shape[1:])
    return {
        "output": made.output_shape(shape),
        "params": made.params(shape),
        "macs": made.macs(shape),
        "nonpad": made.macs_nonpad(shape),
        "kept": settled.counts(shape[1:], shape[0]).macs_kept,
        "zero_insert": settled.counts(shape[1:], shape[0]).macs_zero_insert,
        "tensors": settled.tensors(shape[1:]),
        "spans": tuple(axis.span for axis in made.axes),
    }


WORKED = [
    (
        "Conv1d(256, 128, 3)",
        (32, 256, 15),
        {"output": (32, 128, 13), "params": 98_432, "tensors": {"weight": (128, 256, 3), "bias": (128,)}},
    ),
    (
        "Conv2d(6, 6, 3, padding=1)",
        (1, 6, 8, 8),
        {"output": (1, 6, 8, 8), "params": 330, "tensors": {"weight": (6, 6, 3, 3), "bias": (6,)}},
    ),
    (
        "Conv2d(6, 6, 3, padding=1, groups=3)",
        (1, 6, 8, 8),
        {"output": (1, 6, 8, 8), "params": 114, "tensors": {"weight": (6, 2, 3, 3), "bias": (6,)}},
    ),
    ("Conv2d(8, 16, 3, bias=False)", (1, 8, 10, 10), {"params": 1152}),
    ("Conv2d(8, 16, 3, groups=2, bias=False)", (1, 8, 10, 10), {"params": 576}),
    ("Conv2d(8, 16, 3, groups=4, bias=False)", (1, 8, 10, 10), {"params": 288}),
    ("Conv2d(3, 4, 3, bias=False)", (1, 3, 5, 5), {"params": 108}),
    (
        "SeparableConv2d(3, 4, 3, bias=False)",
        (1, 3, 5, 5),
        {"params": 39, "tensors": {"depthwise.weight": (3, 1, 3, 3), "pointwise.weight": (4, 3, 1, 1)}},
    ),
    (
        "Conv2d(3, 4, 3, padding=1, stride=2)",
        (16, 3, 4, 4),
        {"output": (16, 4, 2, 2), "tensors": {"weight": (4, 3, 3, 3), "bias": (4,)}},
    ),
    ("SeparableConv2d(2, 4, 3, padding=1)", (16, 2, 64, 64), {"output": (16, 4, 64, 64)}),
    ("Conv2d(3, 3, 3, padding=1, groups=3)", (1, 3, 5, 5), {"output": (1, 3, 5, 5)}),
    ("Conv2d(3, 6, 1)", (1, 3, 5, 5), {"output": (1, 6, 5, 5)}),
    ("ConvTranspose2d(1, 3, 2)", (1, 1, 3, 3), {"output": (1, 3, 4, 4)}),
    ("ConvTranspose2d(3, 3, 2, stride=2)", (1, 3, 3, 3), {"output": (1, 3, 6, 6)}),
    ("Conv2d(1, 1, 3, bias=False)", (1, 1, 5, 5), {"output": (1, 1, 3, 3), "params": 9, "spans": (3, 3)}),
    ("Conv2d(1, 1, 3, dilation=2, bias=False)", (1, 1, 5, 5), {"output": (1, 1, 1, 1), "params": 9, "spans": (5, 5)}),
    (
        "Conv2d(2, 4, 3, groups=2, dilation=2, stride=2, padding=1)",
        (2, 2, 5, 5),
        {"output": (2, 4, 2, 2), "macs": 288, "nonpad": 128},
    ),
    ("DeformConv2d(3, 5, 3, modulated=True)", (4, 3, 10, 10), {"output": (4, 5, 8, 8)}),
    ("Conv2d(3, 18, 3, padding=1)", (1, 3, 64, 64), {"output": (1, 18, 64, 64), "params": 504}),
    ("DeformConv2dPack(3, 64, 3, padding=1)", (1, 3, 64, 64), {"output": (1, 64, 64, 64), "params": 504 + 1792}),
    (
        "ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)",
        (1, 16, 10, 10),
        {"output": (1, 8, 20, 20), "macs": 115_200, "kept": 107_648, "zero_insert": 460_800},
    ),
    (
        "Conv2d(3, 64, 7, stride=2, padding=3, bias=False)",
        (1, 3, 224, 224),
        {"output": (1, 64, 112, 112), "params": 9408, "macs": 118_013_952, "nonpad": 116_214_528},
    ),
]


@pytest.mark.parametrize(("layer", "shape", "expected"), WORKED, ids=[layer for layer, _, _ in WORKED])
def test_worked_examples(layer: str, shape: Shape, expected: dict[str, Any]) -> None:
    found = numbers(layer, shape)
    assert {name: found[name] for name in expected} == expected


def test_the_matrix_example() -> None:
    """A 3x3 input and a 2x2 kernel: C of y = Cx is 4 x 9, and its transpose takes 4 numbers to 9."""
    assert prod(parse("Conv2d(1, 1, 2)").output_shape((1, 1, 3, 3))) == 4
    assert prod(parse("ConvTranspose2d(1, 1, 2)").output_shape((1, 1, 2, 2))) == 9
    entries = {
        parse(name).macs_nonpad(shape)
        for name, shape in (("Conv2d(1, 1, 2)", (1, 1, 3, 3)), ("ConvTranspose2d(1, 1, 2)", (1, 1, 2, 2)))
    }
    assert entries == {16}  # the entries of C that are not 0 are those of its transpose


def test_the_textbook_ratio_for_mobile_nets() -> None:
    """H*W*K*K*M*N against H*W*M*K*K + H*W*M*N."""
    shape = (1, 16, 32, 32)
    standard, split = parse("Conv2d(16, 32, 3, padding=1)"), parse("SeparableConv2d(16, 32, 3, padding=1)")
    assert standard.macs(shape) == 32 * 32 * 3 * 3 * 16 * 32
    assert split.macs(shape) == 32 * 32 * 16 * 3 * 3 + 32 * 32 * 16 * 32
    assert Fraction(split.macs(shape), standard.macs(shape)) == Fraction(1, 32) + Fraction(1, 9)


def test_no_channels_and_no_images_are_legal() -> None:
    """As in torch: an empty batch costs nothing, and without input channels only the bias is left."""
    assert parse("Conv2d(3, 4, 3)").output_shape((0, 3, 8, 8)) == (0, 4, 6, 6)
    assert parse("Conv2d(3, 4, 3)").macs((0, 3, 8, 8)) == 0
    assert parse("Conv2d(0, 4, 3)").params((1, 0, 8, 8)) == 4
    assert parse("Conv2d(0, 4, 3)").settled((0, 8, 8)).counts((0, 8, 8), 1).flops("strict") == 4 * 6 * 6


@given(convs())
def test_the_field_of_a_layer_is_its_span(case: Case) -> None:
    layer = case.layer
    field = layer.reach(case.x, (Reach(),) * case.rank)
    assert field is not None
    assert [reach.size for reach in field] == [axis.span for axis in layer.axes]
    assert [reach.jump for reach in field] == [axis.stride for axis in layer.axes]


def test_an_entry_makes_the_same_layer_every_time() -> None:
    """A type with a rank ignores what the input tells; a type without one follows it."""
    fixed = {"type": "Conv2d", "out_channels": 4, "kernel_size": 3}
    free = {**fixed, "type": "conv"}
    assert layer_of(fixed, 1) == layer_of(fixed, 3)
    assert [len(layer_of(free, rank).axes) for rank in (1, 2, 3)] == [1, 2, 3]
    assert layer_of(free, 2).axes == (Axis(3), Axis(3))
