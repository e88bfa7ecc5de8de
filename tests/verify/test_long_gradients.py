"""The second exact fill of the gradients: long operands, sums that cannot round, the precision that they bring out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn import Case as Drawn
from drawn import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.backends import numpy as ours
from convcli.layers import DeformConv
from convcli.verifier.bounds import BITS
from convcli.verifier.case import Case, Fill, Unfillable
from convcli.verifier.draws import QUARTERS
from convcli.verifier.formats import CUTS, cut, stored
from convcli.verifier.full_mantissa import WIDTHS, gradient_precision
from convcli.verifier.job import primitives
from convcli.verifier.long_gradients import OPERANDS, long_gradients
from convcli.verifier.mutants import planned


def values(fill: Fill, dtype: str = "float64") -> dict[str, Any]:
    """The numbers that a fill stands for, dy among them."""
    return {name: a.astype(dtype) / np.asarray(fill.scales.get(name, 1), dtype) for name, a in fill.arrays.items()}


def gradients(layer: Any, arrays: dict[str, Any]) -> dict[str, Any]:
    return ours.backward(layer, {name: a for name, a in arrays.items() if name != "dy"}, arrays["dy"])


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(sorted(BITS)))
def test_no_sum_can_round(drawn: Drawn, dtype: str) -> None:
    """Every S is at most 2**bits quanta, every gradient a whole number of them, and double agrees with the dtype."""
    for _, layer, x in primitives(drawn.layer, drawn.x):
        case = Case(layer, x, drawn.input[:1])
        try:
            fills = long_gradients(case, BITS[dtype])
        except Unfillable:
            assert dtype in {"float16", "bfloat16"}
            continue
        for role, fill in fills.items():
            arrays = values(fill)
            found, narrow = gradients(layer, arrays), gradients(layer, values(fill, stored(dtype)))
            dy = arrays.pop("dy")
            for name, s in ours.gradient_magnitudes(layer, arrays, dy).items():
                assert np.max(s, initial=0) <= 2 ** BITS[dtype] * fill.quanta[name], (role, name)
                quanta = found[name] / fill.quanta[name]
                assert np.array_equal(quanta, np.round(quanta)), (role, name)
                assert np.array_equal(narrow[name].astype(np.float64), found[name]), (role, name)
            for name in role:
                long = np.abs(fill.arrays[name][fill.arrays[name] != 0])
                assert np.all(long % 2 == 1)
                assert np.all(long >> (WIDTHS[BITS[dtype]] - 1) == 1)
            for name in {"x", "weight", "dy"} - set(role):
                assert set(np.unique(fill.arrays[name])) <= {-1, 0, 1}


@settings(max_examples=30)
@given(convolutions())
def test_every_operand_is_long_in_turn_and_offsets_stay_off_the_kinks(drawn: Drawn) -> None:
    for _, layer, x in primitives(drawn.layer, drawn.x):
        fills = long_gradients(Case(layer, x, drawn.input[:1]), 24)
        assert sorted(name for role in fills for name in role) == ["dy", "weight", "x"]
        for role, fill in fills.items():
            assert all(
                len(set(role) & set(operands)) <= 1 for name, operands in OPERANDS.items() if name in fill.arrays
            )
            if isinstance(layer, DeformConv):
                assert np.all(fill.arrays["offset"] % QUARTERS == QUARTERS // 2)


@pytest.mark.parametrize(
    "spelling", ["Conv2d(3, 4, 3)", "ConvTranspose2d(3, 4, 3)", "DeformConv2d(3, 4, 3, modulated=True)"]
)
@pytest.mark.parametrize("words", CUTS)
def test_every_cut_is_named(words: str, spelling: str) -> None:
    """In double precision's 28 bits every format shows, in each operand's turn."""
    step = planned(spelling, (2, 3, 6, 6))
    for role, fill in long_gradients(Case(step.layer, step.x, step.batch), 53).items():
        arrays = values(fill)
        wrong = gradients(step.layer, {n: CUTS[words](a) if n in role else a for n, a in arrays.items()})
        right = gradients(step.layer, arrays)
        wrong = {name: gradient for name, gradient in wrong.items() if not np.array_equal(gradient, right[name])}
        assert set(wrong) == {name for name, of in OPERANDS.items() if name in right and set(of) & set(role)}
        told = gradient_precision(step.layer, arrays, role, wrong)
        assert told == f"{' and '.join(role)} cut to {words} in the gradient of {', '.join(wrong)}"


def test_lengths_without_a_name_are_told_and_what_is_no_cut_is_not() -> None:
    step = planned("Conv2d(3, 4, 3)", (2, 3, 6, 6))
    fill = long_gradients(Case(step.layer, step.x, step.batch), 24)["dy",]
    arrays = values(fill)
    wrong = gradients(step.layer, {**arrays, "dy": cut(arrays["dy"], 6)})
    told = gradient_precision(step.layer, arrays, ("dy",), {**wrong, "weight": wrong["weight"] + 1})
    assert told == "dy cut to 5 bits after the point, rounded in the gradient of x, bias"


def test_large_sums_thin_dy() -> None:
    step = planned("Conv2d(1, 600, 3)", (4, 1, 40, 40))
    for fill in long_gradients(Case(step.layer, step.x, step.batch), 24).values():
        assert fill.note == "dy thinned to 150 of 600 channels at 1444 of 5776 positions"
