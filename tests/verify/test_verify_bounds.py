"""The bounds hold for what is right, and are as narrow as the theory has them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from drawn import Case as Drawn
from drawn import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.axis import axes
from convcli.backends import numpy as ours
from convcli.layers import Conv, DeformConv
from convcli.verifier.bound import BoundJob
from convcli.verifier.bounds import BITS, coarse, gamma, gammas, gradient_roundings, roundings
from convcli.verifier.case import Case
from convcli.verifier.compare import difference, within
from convcli.verifier.counts import gradient_counts, output_counts
from convcli.verifier.exact import ExactJob, MethodsJob
from convcli.verifier.fills import ordinary
from convcli.verifier.formats import stored
from convcli.verifier.job import primitives
from convcli.verifier.mantissa import MantissaJob
from convcli.verifier.mutants import planned
from convcli.verifier.rounding import CORRECT
from convcli.verifier.samples import inside, points, visits
from convcli.verifier.self_test import LAYERS, job_checks
from convcli.verifier.verdict import Status


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
@given(convolutions(), st.sampled_from(["float32", "float16"]), st.sampled_from(["auto", "loops"]))
def test_right_results_hold_the_bound(drawn: Drawn, dtype: str, method: str) -> None:
    """Against exact sums: the loops in float64 are good to 29 bits more than single precision needs."""
    parts: list[Any] = list(drawn.layer.parts(drawn.x))
    layer, x = (parts[0].layer, parts[0].x) if parts else (drawn.layer, drawn.x)
    if dtype == "float16" and layer.kind == "deform_conv":
        return  # half precision has no exact coordinates
    fill = ordinary(Case(layer, x, drawn.input[:1]))
    arrays = {name: (a / fill.scales.get(name, 1)).astype(dtype) for name, a in fill.arrays.items()}
    wide = {name: a.astype(np.float64) for name, a in arrays.items()}
    n, counts = roundings(layer, x), output_counts(layer, wide)
    assert np.max(counts) <= n
    (magnitude,) = ours.magnitudes(layer, {name: a.astype(coarse(n)[0]) for name, a in wide.items()}).values()
    (true,) = ours.magnitudes(layer, wide).values()
    assert np.all(true <= magnitude * coarse(n)[1] * (1 + 1e-12))
    bound = (gammas(counts, dtype) + gammas(counts, "float64")) * coarse(n)[1] * magnitude
    found = within(ours.forward(layer, wide, "loops"), ours.forward(layer, arrays, method), bound)
    assert found.wrong == 0
    assert found.ratio is not None
    assert found.ratio <= 1


@settings(max_examples=60)
@given(convolutions())
def test_counts_are_what_a_layer_of_ones_adds_up(drawn: Drawn) -> None:
    """Every product and the bias, position by position: padding's zeros add nothing, its copies do."""
    for _, layer, x in primitives(drawn.layer, drawn.x):
        case = Case(layer, x, drawn.input[:1])
        arrays = {name: np.ones(case.shape(name)) for name in ("x", *layer.side_inputs(x), *layer.tensors(x))}
        if "offset" in arrays:
            arrays["offset"][:] = 0
        taken = ("mask" in arrays) + 4 if "offset" in arrays else 0
        y = ours.forward(layer, arrays)
        assert np.array_equal(np.broadcast_to(output_counts(layer, arrays), y.shape), y + taken)
        assert np.max(output_counts(layer, arrays)) <= roundings(layer, x)
        found = ours.backward(layer, arrays, np.ones_like(y))
        most = gradient_roundings(layer, x, drawn.batch)
        for name, counts in gradient_counts(layer, arrays, drawn.batch).items():
            assert np.max(counts) <= most[name], name
            if name in found and not taken:
                assert np.array_equal(np.broadcast_to(counts, found[name].shape), found[name]), name


@settings(max_examples=40)
@given(convolutions(), st.integers(0, 9))
def test_samples_are_counted_where_they_lie(drawn: Drawn, seed: int) -> None:
    """Against one sample after the other: a cell is visited where the bilinear share is not 0."""
    layer, x = drawn.layer, drawn.x
    if not isinstance(layer, DeformConv):
        return
    offset = np.random.default_rng(seed).integers(-9, 10, (1, *layer.side_inputs(x)["offset"])) / 2 + 0.25
    down, right = points(layer, offset)
    hits = visits(layer, offset, x)
    rows, columns = np.indices(x[1:])
    for group in range(hits.shape[1]):
        samples = np.stack([down[0, group].ravel(), right[0, group].ravel()], axis=1)
        shares = sum((np.abs(rows - i) < 1) & (np.abs(columns - j) < 1) for i, j in samples)
        assert np.array_equal(hits[0, group], shares)
        seen = np.array([bool(np.any((np.abs(rows - i) < 1) & (np.abs(columns - j) < 1))) for i, j in samples])
        assert np.array_equal(inside(layer, offset, x)[0, group].ravel(), seen)


def test_the_level_warns_of_what_the_bound_lets_through() -> None:
    """4,096 products: gamma*S is 0.64*n*n*u, errors of inputs cut to TF32 are near 2**13 * sqrt(n) * u."""
    step = planned("Conv1d(4096, 4, 1)", (1, 4096, 8))
    for name in ("tf32_inputs", "float16_output", "bfloat16_inputs"):
        (check,) = job_checks(BoundJob(step, 0, f"convcli.verifier.mutants:{name}", "float32"))
        assert check.status is Status.PASSED
        assert check.warns
        assert f"{name} is beyond the statistical level by " in check.detail
    for right in ("sequential", "pairwise", "wide"):
        (check,) = job_checks(BoundJob(step, 0, f"convcli.verifier.rounding:{right}", "float32"))
        assert check.status is Status.PASSED
        assert not check.warns


@pytest.mark.parametrize("seeds", [pytest.param(11, id="quick"), pytest.param(1000, id="long", marks=pytest.mark.long)])
def test_the_level_does_not_warn_of_right_ones(seeds: int) -> None:
    for name, right in CORRECT.items():
        for seed in range(seeds):
            step = planned(*LAYERS[seed % len(LAYERS)])
            for dtype in ("float64", "float32"):
                for check in job_checks(BoundJob(step, seed, f"convcli.verifier.rounding:{name}", dtype)):
                    assert check.status is Status.PASSED, (right.name, check)
                    assert not check.warns, (right.name, check)


@pytest.mark.torch
@pytest.mark.parametrize("against", ["torch", "convcli.backends.numpy"])
def test_right_sums_of_sixty_thousand_products_pass(against: str) -> None:
    if against == "torch":
        pytest.importorskip("torch")
    step = planned("Conv2d(6700, 3, 3)", (1, 6700, 5, 4))
    assert roundings(step.layer, step.x) == 60_301
    for job in (ExactJob, MantissaJob, BoundJob):
        (check,) = job_checks(job(step, 0, against, "float32"))
        assert check.status is Status.PASSED, check
        assert not check.warns


def test_one_element_that_is_off_among_sixty_thousand_products_does_not() -> None:
    step = planned("Conv2d(6700, 3, 3)", (1, 6700, 5, 4))
    (check,) = job_checks(ExactJob(step, 0, "convcli.verifier.mutants:one_element_off", "float32"))
    assert check.status is Status.FAILED
    assert check.detail.endswith("1 elements differ, 5.6%")


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


@pytest.mark.torch
@pytest.mark.parametrize(
    ("spelling", "shape"),
    [
        ("SeparableConv2d(1, 1, 1, stride=(1, 2), padding=(0, 1), bias=False)", (2, 1, 1, 1)),
        ("Conv2d(3, 2, 3, stride=4, padding=5, bias=False)", (1, 3, 2, 2)),
        ("Conv2d(16, 4, 5, padding=2)", (1, 16, 9, 9)),
    ],
)
def test_methods_that_round_have_room_even_where_only_padding_is_read(spelling: str, shape: tuple[int, ...]) -> None:
    """There the sum of the |products| is 0, and what a transform leaves is not."""
    for dtype in ("float64", "float32"):
        (found,) = job_checks(MethodsJob(planned(spelling, shape), 0, "torch", dtype))
        assert "fft" in found.detail
        assert found.status is Status.PASSED, found
