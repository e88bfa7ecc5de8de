"""Laws of the forms for few channels: they are the definition at any size, for any group that they take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import strategies as st
from kernel_cases import Case, conv_cases, integers, law

from convcli import kernels
from convcli.kernels import banded as bands
from convcli.kernels.arguments import Call, convolution_call
from convcli.kernels.depthwise import depthwise

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array

EXACT = [name for name in kernels.METHODS["conv"] if name not in kernels.ROUNDS]
SPARSE = [name for name in EXACT if name not in ("loops", "matrix")]  # the zeros of `matrix` meet every cell
FLOATS = (np.float32, np.float64)


def settled(case: Case, dtype: Any) -> tuple[Call, Array]:
    """The layer's call, and y by the loops."""
    x, w = integers(case.x_shape, dtype), integers((case.groups * case.outs, case.channels, *case.kernel), dtype, 1)
    sliding = {key: value for key, value in case.keywords.items() if key != "groups"}
    call = convolution_call(x, w, None, case.groups, "zeros", **sliding)
    return call, kernels.conv(x, w, **case.keywords, method="loops")


@law(conv_cases(), st.sampled_from(FLOATS))
def test_pixel_by_pixel_is_the_definition(case: Case, dtype: Any) -> None:
    call, expected = settled(replace(case, channels=1, outs=1), dtype)
    np.testing.assert_array_equal(depthwise(call), expected)


@law(
    conv_cases(ranks=(2, 3)),
    st.integers(1, 5),
    st.sampled_from(FLOATS),
    st.sampled_from((2**4, 2**8, 2**20)),
    st.integers(1, 3),
)
def test_bands_are_the_definition_in_pieces_of_any_size(
    case: Case, outs: int, dtype: Any, piece: int, rows: int
) -> None:
    call, expected = settled(replace(case, channels=max(1, case.channels), outs=outs), dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "COLUMN_BYTES", piece)
        patch.setattr(bands, "BAND_ROWS", rows)
        np.testing.assert_array_equal(bands.banded(call), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_large_layers_join_without_a_seam(dtype: Any) -> None:
    for x, w, groups, stride in (
        ((2, 40, 23, 31), (40, 1, 5, 3), 40, 1),
        ((1, 3, 300, 200), (3, 1, 7, 7), 3, 1),  # a channel's columns are cut, too
        ((1, 30, 33, 64), (30, 1, 3, 3), 30, 2),
        ((2, 6, 5, 20, 33), (6, 1, 2, 3, 3), 6, 1),
        ((2, 3, 60, 230), (8, 3, 5, 5), 1, 2),
        ((1, 8, 40, 120), (6, 4, 3, 3), 2, 1),
    ):
        cells, weight = integers(x, dtype), integers(w, dtype, 1)
        call = convolution_call(cells, weight, None, groups, "zeros", stride=stride, padding=1, dilation=1)
        expected = kernels.conv(cells, weight, stride=stride, padding=1, groups=groups, method="taps")
        np.testing.assert_array_equal(bands.banded(call), expected)
        np.testing.assert_array_equal(kernels.conv(cells, weight, stride=stride, padding=1, groups=groups), expected)


def test_integers_are_no_product_of_blas() -> None:
    call = settled(Case(1, 3, 1, 1, (9, 120), (9, 118), (1, 3), (1, 1), (1, 1), ((0, 0), (0, 0))), np.int64)[0]
    assert not bands.fitting(call)


@pytest.mark.parametrize("method", SPARSE)
@pytest.mark.parametrize("groups", [2, 8])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_reaches_the_outputs_that_read_it_and_no_others(
    method: str, groups: int, value: float
) -> None:
    for size, stride in (((40, 37), 1), ((5, 6), 1), ((41, 60), 2), ((3, 20, 30), 1), ((6, 120), 1)):
        x, w = integers((2, 8, *size), np.float32), np.ones((8, 8 // groups, *(3,) * len(size)), np.float32)
        spoiled, marks = x.copy(), np.zeros_like(x)
        spoiled[0, 3, ..., 2, 4], marks[0, 3, ..., 2, 4] = value, 1
        y, clean, reading = (
            kernels.conv(cells, w, padding=1, stride=stride, groups=groups, method=method)
            for cells in (spoiled, x, marks)
        )
        assert np.any(reading)
        np.testing.assert_array_equal(np.isfinite(y), reading == 0)
        np.testing.assert_array_equal(y[reading == 0], clean[reading == 0])
