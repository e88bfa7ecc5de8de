"""The size formulas against counting, one axis at a time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcli import SpecError
from convcli.axis import LARGEST, Axis, axes

TRILLIONS = 10**18
AXES = st.builds(
    Axis,
    kernel=st.integers(1, 6),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 4),
    before=st.integers(-3, 6),
    after=st.integers(-3, 6),
)
SIZES = st.integers(0, 25)


def windows(axis: Axis, size: int) -> list[int]:
    """The first cell of every window that fits the padded input, counted from the input's first cell."""
    room = size + axis.before + axis.after
    return [first - axis.before for first in range(0, room, axis.stride) if first + axis.span <= room]


@given(AXES, SIZES)
def test_out_counts_the_windows_that_fit(axis: Axis, size: int) -> None:
    fitting = windows(axis, size)
    if fitting:
        assert axis.out(size) == len(fitting)
    else:
        with pytest.raises(SpecError, match="kernel spans"):
            axis.out(size)


@given(AXES)
def test_span_is_the_distance_of_the_outer_taps(axis: Axis) -> None:
    taps = [tap * axis.dilation for tap in range(axis.kernel)]
    assert axis.span == taps[-1] - taps[0] + 1


@given(AXES, SIZES, st.integers(0, 25))
def test_pairs_counts_position_and_tap_that_meet_a_cell(axis: Axis, cells: int, positions: int) -> None:
    met = sum(
        0 <= p * axis.stride - axis.before + t * axis.dilation < cells
        for p in range(positions)
        for t in range(axis.kernel)
    )
    assert axis.pairs(cells, positions) == met


@given(AXES, SIZES)
def test_without_padding_every_tap_meets_a_cell(axis: Axis, extra: int) -> None:
    bare = Axis(axis.kernel, axis.stride, axis.dilation)
    size = bare.span + extra
    assert bare.pairs(size, bare.out(size)) == bare.kernel * bare.out(size)


@given(AXES, st.integers(1, 25))
def test_transposed_out_inverts_out(axis: Axis, size: int) -> None:
    """What the floor of the convolution drops is the output_padding that brings the size back."""
    if not windows(axis, size):
        return
    room = size + axis.before + axis.after
    dropped = (room - axis.span) % axis.stride
    back = Axis(axis.kernel, axis.stride, axis.dilation, axis.before, axis.after, output_padding=dropped)
    assert back.transposed_out(axis.out(size)) == size


@given(AXES, st.integers(1, 25), st.integers(0, 3))
def test_transposed_out_reaches_from_the_first_product_to_the_last(axis: Axis, size: int, extra: int) -> None:
    full = {p * axis.stride + t * axis.dilation for p in range(size) for t in range(axis.kernel)}
    expected = max(full) + 1 - axis.before - axis.after + extra
    whole = Axis(axis.kernel, axis.stride, axis.dilation, axis.before, axis.after, output_padding=extra)
    if expected >= 1:
        assert whole.transposed_out(size) == expected
    else:
        with pytest.raises(SpecError, match="transposed output would have"):
            whole.transposed_out(size)


@given(AXES, st.integers(1, 40), st.sampled_from(["same_upper", "same_lower"]))
def test_same_upper_and_lower_give_ceil_of_size_by_stride(axis: Axis, size: int, auto: str) -> None:
    settled = Axis(axis.kernel, axis.stride, axis.dilation, auto=auto).settled(size)
    out = -(-size // axis.stride)
    assert settled.out(size) == out
    assert settled.auto == ""
    longer, shorter = (settled.after, settled.before) if auto == "same_upper" else (settled.before, settled.after)
    assert 0 <= longer - shorter <= 1
    if longer:  # no zero too many: with one less the last window no longer fits
        assert (out - 1) * axis.stride + axis.span > size + settled.before + settled.after - 1


@given(AXES, st.integers(1, 40), st.sampled_from(["same_upper", "same_lower"]), st.integers(0, 3))
def test_transposed_same_gives_size_times_stride(axis: Axis, size: int, auto: str, extra: int) -> None:
    waiting = Axis(axis.kernel, axis.stride, axis.dilation, output_padding=extra, auto=auto)
    settled = waiting.transposed_settled(size)
    assert settled.transposed_out(size) == size * axis.stride
    longer, shorter = (settled.after, settled.before) if auto == "same_upper" else (settled.before, settled.after)
    assert 0 <= longer - shorter <= 1


@given(AXES, st.integers(1, 40))
def test_torch_same_keeps_the_size_with_the_odd_cell_on_the_right(axis: Axis, size: int) -> None:
    (same,) = axes((axis.kernel,), padding="same", dilation=axis.dilation)
    assert same.out(size) == size
    assert 0 <= same.after - same.before <= 1
    assert same.is_same


# Receptive fields: the set of input cells, padding included, that one output cell depends on.


# Numbers without a limit, in a time without one either.


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.integers(0, TRILLIONS),
    st.integers(1, TRILLIONS),
)
def test_pairs_of_huge_numbers_are_quick_and_bounded(
    kernel: int, stride: int, dilation: int, pad: int, size: int
) -> None:
    axis = Axis(kernel, stride, dilation, pad, pad)
    room = size + 2 * pad
    if room < axis.span:
        return
    started = time.process_time()
    positions = axis.out(size)
    pairs = axis.pairs(size, positions)
    assert time.process_time() - started < 0.05
    assert 0 <= pairs <= kernel * positions


def test_pairs_split_by_cells_add_up_at_any_size() -> None:
    """What meets the first half of a huge axis and what meets the second are all that meets it."""
    axis = Axis(10**6 + 3, 7919, 104_729, before=10**11)
    positions, half = 10**14, 5 * 10**17 + 1
    second = Axis(axis.kernel, axis.stride, axis.dilation, before=axis.before + half)
    assert axis.pairs(half, positions) + second.pairs(half, positions) == axis.pairs(2 * half, positions)


# PyTorch's arguments.


def test_numbers_spread_over_the_axes() -> None:
    assert axes((3, 5), stride=2, padding=(1, 2), dilation=(1, 3), output_padding=1) == (
        Axis(3, 2, 1, 1, 1, 1),
        Axis(5, 2, 3, 2, 2, 1),
    )
    assert axes((3, 5), padding=((1, 2), 4)) == (Axis(3, before=1, after=2), Axis(5, before=4, after=4))
    assert axes((3, 5), padding="valid") == (Axis(3), Axis(5))
    assert axes((3,), padding="SAME_LOWER") == (Axis(3, auto="same_lower"),)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("stride", {"stride": 0}),
        ("stride", {"stride": (1, 2, 3)}),
        ("stride", {"stride": True}),
        ("stride", {"stride": 2**63}),
        ("dilation", {"dilation": 0}),
        ("dilation", {"dilation": (1,)}),
        ("output_padding", {"output_padding": -1}),
        ("padding", {"padding": -1}),
        ("padding", {"padding": (1, 2, 3)}),
        ("padding", {"padding": ((0, 1), (1, -1))}),
        ("padding", {"padding": ((0, 1, 2), (1, 1))}),
        ("padding", {"padding": ((0, 1),)}),
        ("padding", {"padding": "smae"}),
        ("padding", {"padding": ("same", "same")}),
        ("padding", {"padding": "same", "stride": 2}),
        ("padding", {"padding": (1.5, 1)}),
        ("padding", {"padding": ((1.5, 1), (1, 1))}),
    ],
)
def test_a_wrong_argument_is_named(field: str, arguments: dict[str, object]) -> None:
    with pytest.raises(SpecError) as caught:
        axes((3, 3), **arguments)  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert problem.field == field
    assert problem.allowed


def test_kernels_are_at_least_one() -> None:
    with pytest.raises(SpecError, match="kernel_size=0 is too small"):
        axes((0, 3))
    assert axes((LARGEST,))[0].span == LARGEST


def test_one_pair_on_one_axis_is_explained() -> None:
    with pytest.raises(SpecError, match=r"try: \[\[0, 1\]\]"):
        axes((3,), padding=(0, 1))
