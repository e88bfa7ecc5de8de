"""The matrix, the phases, zero insertion, taps, groups and samples that `explain` shows, against the numpy kernels."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from drawn import CASES, Case, ints
from explained import net_of, network, sectioned, worked_out
from hypothesis import given
from hypothesis import strategies as st
from laws import holds

import convcli
from convcli import kernels
from convcli.explaining.matrix import Unrolled
from convcli.explaining.record import explain
from convcli.layers import Conv, ConvTranspose, DeformConv
from convcli.reach import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convcli.layers import Layer


def ramp(*shape: int) -> NDArray[np.int64]:
    """1, 2, 3, ... with one image and one channel before."""
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.int64).reshape(1, 1, *shape)


@st.composite
def one_channel(draw: st.DrawFn, kind: type[Layer]) -> Case:
    """A layer of one input and one output channel."""
    case = draw(CASES[kind]())
    fields = {**case.fields, "out_channels": 1, "in_channels": 1, "groups": 1, "bias": False}
    fields.pop("depth_multiplier", None)
    if kind is DeformConv:
        fields["offset_groups"] = 1
    fields["type"] = str(fields["type"]).replace("Depthwise", "")
    return Case(fields, (1, 1, *case.x[1:]))


def convolved(layer: Layer, x: NDArray[np.int64], w: NDArray[np.int64]) -> NDArray[np.int64]:
    names = {"stride": [a.stride for a in layer.axes], "dilation": [a.dilation for a in layer.axes]}
    padding = [(a.before, a.after) for a in layer.axes]
    if isinstance(layer, ConvTranspose):
        extra = [axis.output_padding for axis in layer.axes]
        return kernels.conv_transpose(x, w, padding=padding, output_padding=extra, **names)  # type: ignore[arg-type]
    mode = getattr(layer, "padding_mode", "zeros")
    return kernels.conv(x, w, padding=padding, padding_mode=mode, **names)  # type: ignore[arg-type]


def ones_and_up(layer: Layer) -> NDArray[np.int64]:
    return ramp(*[axis.kernel for axis in layer.axes])


def matrix_of(unrolled: Unrolled) -> NDArray[np.int64]:
    c = np.zeros((int(np.prod(unrolled.positions)), int(np.prod(unrolled.cells))), np.int64)
    for row, entries in enumerate(unrolled.rows):
        for column, taps in entries.items():
            c[row, column] = sum(unrolled.weights[f"w{''.join(map(str, tap))}"] for tap in taps)
    return c


@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
def test_the_matrix_is_the_convolution_and_its_transpose_the_transposed_one(kind: type[Layer]) -> None:
    def law(case: Case) -> None:
        layer, y = case.layer, case.layer.output(case.x)
        if isinstance(layer, ConvTranspose):
            c = matrix_of(Unrolled(layer.axes, y[1:], case.x[1:])).T
        else:
            c = matrix_of(Unrolled(layer.axes, case.x[1:], y[1:], layer.padding_mode))  # type: ignore[attr-defined]
        product = c @ ramp(*case.x[1:]).ravel()
        assert product.tolist() == convolved(layer, ramp(*case.x[1:]), ones_and_up(layer)).ravel().tolist()

    holds(law, one_channel(kind), 60)


def test_the_worked_example_of_the_matrix() -> None:
    """A 3x3 input and a 2x2 kernel: C is 4 x 9, its first row w00 w01 0 w10 w11 0 0 0 0."""
    (told,) = explain(network({"input": [1, 1, 3, 3], "layers": ["Conv2d(1, 1, 2, bias=False)"]})).reports[0].layers
    section = sectioned(told, "the layer as a matrix")
    assert section is not None
    assert "C is 4 x 9" in section.text[0]
    assert section.tables[0].rows[0] == ("y00", "w00", "w01", ".", "w10", "w11", ".", ".", ".", ".")
    y = [step.result for step in section.steps if step.of.startswith("y")]
    back = [step.result for step in section.steps if step.of.startswith("(C^T")]
    w = ramp(2, 2)
    assert y == kernels.conv(ramp(3, 3), w).ravel().tolist()
    assert back == kernels.conv_transpose(ramp(2, 2), w).ravel().tolist()


def test_a_large_layers_matrix_is_that_of_a_smaller_one_and_says_so() -> None:
    (told,) = explain(network({"input": [1, 3, 64, 64], "layers": ["Conv2d(3, 8, 7, stride=2)"]})).reports[0].layers
    section = sectioned(told, "the layer as a matrix")
    assert section is not None
    assert "this layer's own C is 841 x 4096" in section.text[1]
    assert "on 9 cells along H alone" in section.text[1]
    (told,) = explain(network({"input": [1, 1, 9**6], "layers": ["Conv1d(1, 1, 500)"]})).reports[0].layers
    assert sectioned(told, "the layer as a matrix") is None


@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
def test_the_taps_of_a_cell_are_its_sum(kind: type[Layer]) -> None:
    def law(drawn: tuple[Case, int]) -> None:
        case, seed = drawn
        layer, out = case.layer, case.layer.output(case.x)[1:]
        cell = tuple(np.random.default_rng(seed).integers(0, out).tolist())
        (told,) = explain(net_of(case), cell=cell).reports[0].layers
        section = sectioned(told, "taps")
        assert section is not None
        x, w = ramp(*case.x[1:])[0, 0], ones_and_up(layer)[0, 0]
        total = 0
        for tap, reads, *note in section.tables[0].rows:
            place = (note and re.search(r"x\[(.*)\]", str(note[0]))) or re.search(r"x\[(.*)\]", str(reads))
            assert place
            if not note or note[0] != "outside: 0":
                total += w[index(str(tap)[2:-1])] * x[index(place[1])]
        assert total == convolved(layer, x[None, None], w[None, None])[(0, 0, *cell)]

    holds(law, st.tuples(one_channel(kind), ints(0, 9999)), 60)


def index(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def test_the_phases_make_the_output() -> None:
    """Every cell stride*p + phase from the terms of its phase, in one dimension; cells outside are 0."""

    def law(case: Case) -> None:
        layer, x = case.layer, ramp(*case.x[1:])
        (told,) = explain(net_of(case)).reports[0].layers
        section = sectioned(told, "phases")
        assert section is not None
        stride, y = layer.axes[0].stride, convolved(layer, x, ones_and_up(layer))[0, 0]
        for place, found in enumerate(y.tolist()):
            p, phase = divmod(place, stride)
            _, terms, text = section.tables[0].rows[phase]
            taps = re.findall(r"w(\d+)\*x\[p(?: ([+-]) (\d+))?\]", str(text))
            assert len(taps) == terms
            cells = [(int(tap) + 1, p + int(f"{sign or '+'}{by or 0}")) for tap, sign, by in taps]
            assert found == sum(w * x[0, 0, cell] for w, cell in cells if 0 <= cell < x.shape[-1])

    holds(law, one_channel(ConvTranspose).filter(lambda case: case.rank == 1), 60)


def test_zero_insertion_makes_the_output() -> None:
    """The numbers it tells: inserted, the padding at both ends; a convolution with the kernel turned round."""

    def law(case: Case) -> None:
        layer, x = case.layer, ramp(*case.x[1:])
        (told,) = explain(net_of(case)).reports[0].layers
        section = sectioned(told, "zero insertion")
        assert section is not None
        number = {step.of: int(step.result) for step in section.steps}
        axis = layer.axes[0]
        wide = np.zeros((1, 1, number["inserted (L)"]), np.int64)
        wide[..., :: axis.stride] = x
        pads = [(number["pad_before (L)"], number["pad_after (L)"])]
        turned = ones_and_up(layer)[..., ::-1]
        y = kernels.conv(wide, turned, padding=pads, dilation=axis.dilation)
        assert y.tolist() == convolved(layer, x, ones_and_up(layer)).tolist()

    holds(law, one_channel(ConvTranspose).filter(lambda case: case.rank == 1), 60)


@given(ints(1, 12), ints(1, 12), ints(1, 4), ints(1, 5))
def test_the_separable_ratio(channels: int, outs: int, kernel: int, multiplier: int) -> None:
    fields = {"type": "SeparableConv2d", "out_channels": outs, "kernel_size": kernel, "depth_multiplier": multiplier}
    (told,) = explain(network({"input": [2, channels, 9, 9], "layers": [fields]})).reports[0].layers
    section = sectioned(told, "against the standard layer")
    assert section is not None
    found = {step.of: step for step in section.steps}
    ratio = multiplier * (Fraction(1, outs) + Fraction(1, kernel**2))
    for name in ("macs_ratio", "ratio"):
        assert worked_out(found[name].numbers[-1]) == ratio
    standard = convcli.parse(f"Conv2d({channels}, {outs}, {kernel}, bias=False)")
    shape = (2, channels, 9, 9)
    assert found["standard_macs"].result == standard.macs(shape)
    assert found["standard_weights"].result == standard.params(shape)


@given(ints(1, 3), ints(1, 3), ints(1, 4), ints(1, 4), st.booleans())
def test_the_offset_layout(offset_groups: int, per_group: int, rows: int, columns: int, modulated: bool) -> None:
    """Every channel of the offset is listed once, dy before dx, as semantics has it; past 27 points the list stops."""
    fields = {"type": "DeformConv2d", "out_channels": 2, "kernel_size": [rows, columns], "modulated": modulated}
    shape = [1, offset_groups * per_group, 7, 7]
    net = network({"input": shape, "layers": [{**fields, "offset_groups": offset_groups}]})
    (told,) = explain(net).reports[0].layers
    section = sectioned(told, "offsets")
    assert section is not None
    listed = section.tables[0].rows
    assert len(listed) == min(27, offset_groups * rows * columns)
    for group, row, col, dy, dx, *mask in listed:
        point = int(group) * rows * columns + int(row) * columns + int(col)
        assert (dy, dx) == (2 * point, 2 * point + 1)
        assert mask == ([point] if modulated else [])


@pytest.mark.parametrize("kind", [Conv, ConvTranspose, DeformConv])
def test_the_equation_has_the_places_of_the_taps(kind: type[Layer]) -> None:
    """x[i, 2*p + 3*a - 1] for a convolution, y[o, ...] for a transposed one: the cells that the layer's axes name."""

    def law(drawn: tuple[Case, int]) -> None:
        case, seed = drawn
        (told,) = explain(net_of(case)).reports[0].layers
        found = re.search(r"\* x\[(.*?)\]$" if kind is not ConvTranspose else r"^y\[(.*?)\]", told.equation)
        assert found
        rng = np.random.default_rng(seed)
        names = {"i": 0, "o": 0, "dy": 0, "dx": 0}
        for place, axis, p, tap in zip(found[1].split(", ")[-case.rank :], case.layer.axes, "pqr", "abc", strict=False):
            at, which = int(rng.integers(0, 9)), int(rng.integers(0, axis.kernel))
            first, distance, _ = Window(axis).run(at)
            text = re.sub(r"[a-z]+", lambda name: str({**names, p: at, tap: which}[name[0]]), place)  # noqa: B023
            assert worked_out(text) == first + which * distance

    holds(law, st.tuples(CASES[kind](), ints(0, 9999)), 60)


@given(ints(1, 4), ints(1, 3), ints(1, 3), st.booleans())
def test_groups_feed_what_they_say(groups: int, ins: int, outs: int, turned: bool) -> None:
    """An input channel that is 1 reaches the output channels of its group, and no others."""
    type_ = "ConvTranspose1d" if turned else "Conv1d"
    fields = {"type": type_, "out_channels": groups * outs, "kernel_size": 1, "groups": groups, "bias": False}
    (told,) = explain(network({"input": [1, groups * ins, 1], "layers": [fields]})).reports[0].layers
    section = sectioned(told, "groups")
    if groups == 1:
        assert section is None
        return
    assert section is not None
    convolve = kernels.conv_transpose if turned else kernels.conv
    weight = np.ones((groups * ins, outs, 1) if turned else (groups * outs, ins, 1), np.int64)
    for _, fed, feeds, rows in section.tables[0].rows:
        for channel in between(str(fed)):
            x = np.zeros((1, groups * ins, 1), np.int64)
            x[0, channel] = 1
            assert np.flatnonzero(convolve(x, weight, groups=groups)).tolist() == between(str(feeds))
        assert between(str(rows)) == between(str(fed if turned else feeds))


def between(text: str) -> list[int]:
    first, _, last = text.partition(" to ")
    return list(range(int(first), int(last or first) + 1))


def test_the_example_of_a_sample_is_what_the_layer_reads() -> None:
    """One weight of 1 at the tap that is told, the offset that is told everywhere: the output is the sample."""

    def law(case: Case) -> None:
        (told,) = explain(net_of(case)).reports[0].layers
        section = sectioned(told, "sampling")
        assert section is not None
        cell, tap = (index(found) for found in re.findall(r"\[([\d, ]+)\]", section.text[0]))
        moved = [float(number) for number in re.findall(r"d[yx] = (-?[\d.]+)", section.text[0])]
        layer, out = case.layer, case.layer.output(case.x)[1:]
        x, w = ramp(*case.x[1:]).astype(float), np.zeros((1, 1, *[axis.kernel for axis in layer.axes]))
        w[(0, 0, *tap)] = 1
        points = w.size
        offset = np.broadcast_to(np.tile(moved, points)[None, :, None, None], (1, 2 * points, *out))
        names = {"stride": [a.stride for a in layer.axes], "dilation": [a.dilation for a in layer.axes]}
        padding = [(a.before, a.after) for a in layer.axes]
        y = kernels.deform_conv2d(x, offset, w, padding=padding, **names)  # type: ignore[arg-type]
        inside = [
            (index(str(at)[2:-1]), float(str(share))) for at, share, *note in section.tables[0].rows if not any(note)
        ]
        assert y[(0, 0, *cell)] == sum(share * x[(0, 0, *at)] for at, share in inside)

    holds(law, one_channel(DeformConv), 60)
