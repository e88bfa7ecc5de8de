"""The bounds hold for what is right, and are as narrow as the theory has them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from drawn import Case as Drawn
from drawn import cases
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.axis import axes
from convcli.backends import numpy as ours
from convcli.layers import Conv, DeformConv
from convcli.verifier.bounds import BITS, coarse, gamma, roundings
from convcli.verifier.case import Case
from convcli.verifier.compare import difference, within
from convcli.verifier.fills import ordinary
from convcli.verifier.formats import stored


@given(st.integers(1, 10**6), st.sampled_from(sorted(BITS)))
def test_gamma_is_the_textbooks(n: int, dtype: str) -> None:
    u = Fraction(1, 2 ** BITS[dtype])
    found = gamma(n, dtype)
    if n * u >= 1:
        assert found is None
    else:
        assert found == pytest.approx(float(n * u / (1 - n * u)), rel=1e-15)
        if stored(dtype) == dtype:
            assert 2.0 ** -BITS[dtype] == np.finfo(dtype).eps / 2


@settings(max_examples=40)
@given(cases(), st.sampled_from(["float32", "float16"]), st.sampled_from(["auto", "loops"]))
def test_right_results_hold_the_bound(drawn: Drawn, dtype: str, method: str) -> None:
    """Against exact sums: the loops in float64 are good to 29 bits more than single precision needs."""
    parts: list[Any] = list(drawn.layer.parts(drawn.x))
    layer, x = (parts[0].layer, parts[0].x) if parts else (drawn.layer, drawn.x)
    if dtype == "float16" and layer.kind == "deform_conv":
        return  # half precision has no exact coordinates
    fill = ordinary(Case(layer, x, drawn.input[:1]))
    arrays = {name: (a / fill.scales.get(name, 1)).astype(dtype) for name, a in fill.arrays.items()}
    wide = {name: a.astype(np.float64) for name, a in arrays.items()}
    n = roundings(layer, x)
    (magnitude,) = ours.magnitudes(layer, {name: a.astype(coarse(n)[0]) for name, a in wide.items()}).values()
    (true,) = ours.magnitudes(layer, wide).values()
    assert np.all(true <= magnitude * coarse(n)[1] * (1 + 1e-12))
    bound = ((gamma(n, dtype) or 0.0) + (gamma(n, "float64") or 0.0)) * coarse(n)[1] * magnitude
    found = within(ours.forward(layer, wide, "loops"), ours.forward(layer, arrays, method), bound)
    assert found.wrong == 0
    assert found.ratio is not None
    assert found.ratio <= 1


def test_roundings_count_every_product_the_bias_and_the_sampling() -> None:
    assert roundings(Conv(axes=axes((3, 3)), out_channels=4, groups=2, bias=False).settled((4, 9, 9)), (4, 9, 9)) == 18
    assert roundings(Conv(axes=axes((3, 3)), out_channels=4).settled((4, 9, 9)), (4, 9, 9)) == 37
    deform = DeformConv(axes=axes((3, 3)), out_channels=4, bias=False, modulated=True)
    assert roundings(deform.settled((4, 9, 9)), (4, 9, 9)) == 36 + 5


def test_difference_is_bit_for_bit_but_for_the_sign_of_zero() -> None:
    y = np.array([0.0, 1.0, 2.0], np.float32)
    assert difference(y, np.array([-0.0, 1.0, 2.0], np.float32)).wrong == 0
    off = difference(y, np.nextafter(y, np.float32(9)))
    assert (off.wrong, off.share, off.worst) == (3, 1.0, (2,))
    lost = difference(y, np.array([0.0, np.nan, 9.0], np.float32))
    assert (lost.wrong, lost.worst, lost.max_abs_error) == (2, (1,), np.inf)


def test_within_where_the_bound_is_zero() -> None:
    y, bound = np.zeros(2), np.array([0.0, 1.0])
    assert within(y, y, bound).ratio == 0
    assert within(y, np.array([1e-300, 0.0]), bound).ratio == np.inf
    assert within(y, np.array([0.0, np.nan]), bound).wrong == 1
