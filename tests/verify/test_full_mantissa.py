"""The second exact fill: long numbers, sums that cannot round, and the input precision that it brings to light."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn import Case as Drawn
from drawn import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.backends import numpy as ours
from convcli.verifier.alternating import BOTH, long_fills
from convcli.verifier.bounds import BITS
from convcli.verifier.case import Case, Fill, Unfillable
from convcli.verifier.formats import CUTS, cut, in_format, stored
from convcli.verifier.full_mantissa import ROLES, WIDTHS, full_mantissa, input_precision
from convcli.verifier.job import primitives
from convcli.verifier.mutants import planned
from convcli.verifier.views import as_views, strided


def values(fill: Fill, dtype: str = "float64") -> dict[str, Any]:
    """The numbers that a fill stands for."""
    return {name: a.astype(dtype) / np.asarray(fill.scales.get(name, 1), dtype) for name, a in fill.arrays.items()}


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(sorted(BITS)), st.sampled_from(ROLES))
def test_no_sum_can_round(drawn: Drawn, dtype: str, role: str) -> None:
    """S is at most 2**bits quanta and a whole number of them; single and half agree with double bit for bit."""
    for _, layer, x in primitives(drawn.layer, drawn.x):
        case = Case(layer, x, drawn.input[:1])
        try:
            fill = full_mantissa(case, BITS[dtype], role)
        except Unfillable:
            assert dtype in {"float16", "bfloat16"}
            continue
        arrays = values(fill)
        (magnitude,) = ours.magnitudes(layer, arrays).values()
        quanta = magnitude / fill.quanta[""]
        assert quanta.max(initial=0) <= 2 ** BITS[dtype]
        assert np.array_equal(quanta, np.round(quanta))
        narrow = ours.forward(layer, values(fill, stored(dtype)))
        assert np.array_equal(in_format(narrow, dtype), narrow)
        assert np.array_equal(narrow.astype(np.float64), ours.forward(layer, arrays))
        long = np.abs(fill.arrays[role][fill.arrays[role] != 0])
        assert np.all(long % 2 == 1)
        assert np.all(long >> (WIDTHS[BITS[dtype]] - 1) == 1)
        other = fill.arrays[ROLES[role == ROLES[0]]]
        assert set(np.unique(other)) <= {-1, 0, 1}


def test_too_many_products_are_thinned() -> None:
    step = planned("Conv1d(3000, 2, 1)", (1, 3000, 2))
    fill = full_mantissa(Case(step.layer, step.x, step.batch), 24, "x")
    kept = np.count_nonzero(fill.arrays["weight"], axis=(1, 2))
    assert np.all(kept == (2**24 - 8191) // 8191)
    assert "thinned" in fill.note


@pytest.mark.parametrize("words", CUTS)
@pytest.mark.parametrize("role", ROLES)
def test_every_cut_is_named(words: str, role: str) -> None:
    """On a layer with enough numbers no other cut explains the result."""
    step = planned("Conv2d(3, 4, 3)", (2, 3, 6, 6))
    arrays = values(full_mantissa(Case(step.layer, step.x, step.batch), 53, role))
    narrowed = {name: CUTS[words](array) for name, array in arrays.items()}
    assert input_precision(step.layer, arrays, ours.forward(step.layer, narrowed)) == (
        f"x and weight and bias cut to {words}"
    )
    plain = {**narrowed, "bias": arrays["bias"]}
    assert input_precision(step.layer, arrays, ours.forward(step.layer, plain)) == f"x and weight cut to {words}"
    only = {**arrays, "bias": narrowed["bias"]}
    assert input_precision(step.layer, arrays, ours.forward(step.layer, only)).startswith("bias cut to")


def test_a_right_or_otherwise_wrong_result_is_no_cut() -> None:
    step = planned("Conv2d(3, 4, 3)", (2, 3, 6, 6))
    arrays = values(full_mantissa(Case(step.layer, step.x, step.batch), 24, "x"))
    y = ours.forward(step.layer, arrays)
    assert input_precision(step.layer, arrays, y + 1) == ""


def test_one_channel_takes_two_fills() -> None:
    """Otherwise one has both roles: x long in one channel, the weight in the other."""
    for channels, roles in ((1, list(ROLES)), (2, [BOTH])):
        step = planned(f"Conv1d({channels}, 1, 1)", (1, channels, 2))
        case = Case(step.layer, step.x, step.batch)
        assert list(long_fills(case, 24)) == roles
        first, again = (long_fills(case, 24)[roles[0]].arrays["x"] for _ in range(2))
        assert np.array_equal(first, again)


@given(st.floats(-(2.0**100), 2.0**100, width=32), st.integers(2, 24))
def test_cut_is_the_nearest_of_so_many_bits(number: float, bits: int) -> None:
    x = np.array([number])
    short = cut(x, bits)
    assert np.all(np.abs(short - x) <= np.abs(x) * 2.0**-bits)
    assert np.array_equal(cut(short, bits), short)
    assert np.all(np.abs(cut(x, bits, np.trunc)) <= np.abs(x))


def test_cuts_are_the_formats() -> None:
    """float16's and bfloat16's own neighbours of 1."""
    x = np.array([1 + 2.0**-10, 1 + 2.0**-11, 1 + 3 * 2.0**-11], np.float32)
    assert np.array_equal(cut(x, 11), x.astype(np.float16).astype(np.float32))
    assert np.array_equal(cut(np.array([1 + 2.0**-7, 1 + 2.0**-8]), 8), [1 + 2.0**-7, 1])


def test_views_are_equal_and_not_contiguous() -> None:
    for shape in ((2, 3), (2, 3, 4, 5), (6,)):
        array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        view = strided(array)
        assert np.array_equal(view, array)
        assert not view.flags.c_contiguous
        assert not np.shares_memory(view, array)
    assert as_views({"x": array})["x"].strides != array.strides
