"""Holes, the layers that make them, and rates without: worked examples, and laws over stacks drawn at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

import convcli
from convcli.plan import Network
from convcli.reach import members
from convcli.receptive import gridding
from convcli.receptive.record import CellRecord
from convcli.spec.build import network

WORKED = Path(__file__).resolve().parents[2] / "sample_configs" / "worked"


def stack(*layers: dict[str, Any], size: int = 101) -> Network:
    """A network of 1-D convolutions."""
    made = [{"type": "Conv1d", "out_channels": 1, "name": f"l{n}", **layer} for n, layer in enumerate(layers)]
    return network({"input": [1, 1, size], "layers": made}, "stack.yaml")


def same(*rates: int, kernel: int = 3) -> Network:
    """Dilated convolutions that keep the size."""
    return stack(*({"kernel_size": kernel, "dilation": rate, "padding": "same"} for rate in rates), size=201)


def seen(net: Network, **asked: Any) -> CellRecord:
    """What one cell of it sees."""
    return convcli.receptive_field(net, **asked).reports[0]


def test_the_worked_examples() -> None:
    bad, good = (seen(convcli.load(WORKED / f"{name}.yaml")) for name in ("gridding", "no-gridding"))
    assert (bad.cells, bad.holes, bad.untouched, bad.gridding) == (49, 120, 0.7101, True)
    for axis in bad.axes:
        assert (axis.field, axis.touched, axis.holes) == ((9, 21), ((9, 7, 2),), 6)
        assert [(cause.layer, cause.reason) for cause in axis.causes] == [
            (name, "dilation 2") for name in ("first", "second", "third")
        ]
        assert axis.cure
        assert (axis.cure.dilation, axis.cure.size) == ({"first": 1, "second": 2, "third": 3}, 13)
    assert (good.cells, good.holes, good.gridding) == (17 * 17, 0, False)
    assert [(axis.causes, axis.cure) for axis in good.axes] == [((), UNSET)] * 2


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(2, 3))
def test_a_cure_has_no_holes_and_a_field_about_as_large(rates: list[int], kernel: int) -> None:
    """Holes are exactly the cells that no sum of taps reaches; with the cure's rates in the spec none is left."""
    found = seen(same(*rates, kernel=kernel))
    (axis,) = found.axes
    sums = {0}
    for rate in rates:
        sums = {cell + rate * tap for cell in sums for tap in range(kernel)}
    assert axis.cells == len(sums)
    assert axis.holes == max(sums) + 1 - len(sums)
    assert bool(axis.causes) == bool(axis.holes)
    if axis.cure:
        cured = [axis.cure.dilation.get(f"l{place}", rate) for place, rate in enumerate(rates)]
        (after,) = seen(same(*cured, kernel=kernel)).axes
        assert (after.holes, after.cells) == (0, axis.cure.size)
        assert 2 * after.cells >= max(sums) + 1


@pytest.mark.parametrize(
    ("rates", "cured"),
    [
        ((2, 2), (1, 3)),
        ((2, 2, 2), (1, 2, 3)),
        ((2, 2, 2, 2, 2, 2), (1, 2, 3, 1, 2, 3)),
        ((2, 2, 4), (1, 3, 4)),
        ((1, 4), (1, 3)),
    ],
)
def test_cures(rates: tuple[int, ...], cured: tuple[int, ...]) -> None:
    (axis,) = seen(same(*rates)).axes
    assert axis.cure
    assert tuple(axis.cure.dilation.get(f"l{n}", rate) for n, rate in enumerate(rates)) == cured


def test_one_dilated_layer_by_itself_has_no_cure() -> None:
    (axis,) = seen(same(4)).axes
    assert (axis.holes, len(axis.causes)) == (6, 1)
    assert not axis.cure


def test_a_border_cell_gets_the_same_cure() -> None:
    assert seen(same(2, 2, 2), at=[0]).axes[0].cure == seen(same(2, 2, 2)).axes[0].cure


def test_strides_wider_than_the_kernel_leave_cells_out() -> None:
    found = seen(stack({"kernel_size": 1, "stride": 2}, {"kernel_size": 3}))
    (axis,) = found.axes
    assert axis.touched == ((48, 3, 2),)
    assert [(cause.layer, cause.reason) for cause in axis.causes] == [("l0", "stride 2 > kernel_size 1")]
    assert not axis.cure


def test_a_branch_that_fills_the_holes_leaves_no_gridding() -> None:
    """The residual of a 1x1 stride-2 shortcut is no gap: the other branch reads what it skips."""
    layers = [
        {"type": "Conv1d", "name": "stem", "out_channels": 1, "kernel_size": 1},
        {"type": "Conv1d", "name": "main", "out_channels": 1, "kernel_size": 3, "stride": 2, "padding": 1},
        {"type": "Conv1d", "name": "short", "out_channels": 1, "kernel_size": 1, "stride": 2, "from": "stem"},
        {"type": "Add", "name": "sum", "from": ["main", "short"]},
        {"type": "Conv1d", "name": "next", "out_channels": 1, "kernel_size": 3},
    ]
    net = network({"input": [1, 1, 40], "layers": layers}, "net.yaml")
    assert not seen(net).gridding
    assert seen(net, layer="short").cells == 1


def test_transposed_layers_are_told_when_uneven() -> None:
    def up(kernel: int) -> CellRecord:
        return seen(stack({"type": "ConvTranspose1d", "kernel_size": kernel, "stride": 2}, {"kernel_size": 2}))

    assert up(3).uneven == ("l0",)
    assert up(4).uneven == ()


def test_crossed_branches_are_no_box() -> None:
    """1x3 and 3x1 side by side touch a plus: five of nine cells."""
    conv = {"type": "Conv2d", "out_channels": 1}
    layers = [
        {**conv, "name": "wide", "kernel_size": [1, 3], "padding": [0, 1]},
        {**conv, "name": "high", "kernel_size": [3, 1], "padding": [1, 0], "from": "input"},
        {"type": "Add", "from": ["wide", "high"]},
    ]  # fmt: skip
    found = seen(network({"input": [1, 1, 9, 9], "layers": layers}, "net.yaml"))
    assert (found.cells, found.holes, found.gridding) == (5, 4, False)


@given(st.sets(st.integers(0, 60)))
def test_runs_are_the_cells(cells: set[int]) -> None:
    found = gridding.runs(sorted(cells))
    assert [first + nth * step for first, count, step in found for nth in range(count)] == sorted(cells)
    bits = sum(1 << cell for cell in cells)
    assert set(members(bits)) == cells
    if cells:
        assert gridding.span(bits) == max(cells) - min(cells) + 1
        assert gridding.holes(bits) == gridding.span(bits) - len(cells)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"layer": "l9"}, "no layer of stack.yaml is named 'l9'"),
        ({"at": [1, 2]}, "does not fit 1 axis"),
        ({"at": [500]}, "500 is no cell of 'l1'"),
        ({"at": [-1]}, "-1 is no cell"),
    ],
)
def test_wrong_questions_are_refused(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(convcli.SpecError, match=told.replace("[", r"\[")):
        seen(same(2, 2), **asked)


def test_an_axis_that_is_too_long_to_follow_is_refused() -> None:
    with pytest.raises(convcli.SpecError, match="too long to follow"):
        seen(stack({"kernel_size": 3}, size=10**12))
