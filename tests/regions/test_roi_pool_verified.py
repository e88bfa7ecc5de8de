"""RoI pooling through the whole verifier: nothing right is accused, what is wrong is found and named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples

import convcli
from convcli import kernels
from convcli.layers import DeformRoIPool
from convcli.verifier.case import Case, Unfillable
from convcli.verifier.fuzz.draws import drawn
from convcli.verifier.fuzz.run import fuzz
from convcli.verifier.region_boxes import HALF_WAY, OFF_KINKS, QUARTER, boxes, dyadic, offsets
from convcli.verifier.verdict import Explanation

KINDS = ("deform_roi_pool", "deform_roi_pool_pack")


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
@examples(12, 600)
def test_random_layers_pass_with_their_gradients(kind: str, count: int) -> None:
    """Both kinds together: over a thousand configurations when `-m long` asks for them, and not one alarm."""
    record = fuzz(kinds=[kind], cases=count, grad=True, seed=3)
    assert record.exit_code == 0, record
    (found,) = record.kinds
    assert found.statuses == {"passed": count}


@settings(max_examples=60)
@given(st.integers(0, 400), st.sampled_from([QUARTER, OFF_KINKS, HALF_WAY]), st.integers(0, 3))
def test_every_coordinate_lies_on_the_lattice(index: int, lattice: object, seed: int) -> None:
    """So that no share of any cell rounds; and the kernel finds them there."""
    step = drawn("deform_roi_pool", seed, index).step
    layer = dyadic(step.layer)
    assert isinstance(layer, DeformRoIPool)
    assert isinstance(lattice, type(QUARTER))
    case = Case(layer, step.x, ())
    try:
        found = boxes(case, lattice, 24)
    except Unfillable:
        return
    moved = offsets(case, found) if layer.offset else np.zeros((layer.rois, 2, *layer.output_size))
    for region in range(layer.rois):
        for axis, bins in enumerate(layer.output_size):
            start = found.rois[region, 2 - axis] * layer.spatial_scale - 0.5
            size = (found.rois[region, 4 - axis] - found.rois[region, 2 - axis]) * layer.spatial_scale
            grid = found.grid[region, axis]
            assert grid == (layer.sampling_ratio or max(0, np.ceil(size / bins)))
            along = start + layer.gamma * size * moved[region, 1 - axis]
            samples = np.add.outer(along, (np.arange(bins * grid) + 0.5) * size / bins / max(grid, 1))
            places = (samples - lattice.phase) / lattice.unit
            assert size <= 0 or (places == np.rint(places)).all()


def test_the_powers_of_two_that_stand_for_gamma_and_the_scale() -> None:
    layer = dyadic(convcli.parse("DeformRoIPool(7, 0.3, 2, -0.7)"))
    assert isinstance(layer, DeformRoIPool)
    assert (layer.spatial_scale, layer.gamma) == (0.25, -0.5)
    kept = dyadic(convcli.parse("DeformRoIPool(7, 0.0625, 2, 0)"))
    assert isinstance(kept, DeformRoIPool)
    assert (kept.spatial_scale, kept.gamma) == (0.0625, 0)
    assert dyadic(convcli.parse("Conv2d(3, 4, 3)")) == convcli.parse("Conv2d(3, 4, 3)")


POOL = "DeformRoIPool(2, 0.25, 2, num_rois=3, modulated=True)"


@pytest.mark.parametrize("layer", [POOL, "DeformRoIPoolPack((2, 1), deform_fc_channels=5, num_rois=3)"])
def test_a_kernel_of_ones_own_passes(layer: str) -> None:
    outcome = convcli.verify_kernel("region_kernels:right", layer, (2, 3, 6, 7))
    assert outcome.exit_code == 0, outcome.layers[0].checks


def test_a_wrong_kernel_of_ones_own_is_named() -> None:
    outcome = convcli.verify_kernel("region_kernels:flipped", POOL, (2, 3, 6, 7))
    (layer,) = outcome.layers
    assert str(layer.status) == "failed"
    assert isinstance(layer.explanation, Explanation)
    assert "offsets read as (y, x)" in layer.explanation.looks_like


def test_a_backward_of_ones_own_passes() -> None:
    outcome = convcli.verify_kernel(None, POOL, (2, 3, 6, 7), backward="region_kernels:backward")
    assert outcome.exit_code == 0, outcome.layers[0].checks


def test_the_fast_form_is_a_hundred_times_the_loops() -> None:
    """Loosely: benchmarks/regions.py measures it on a quiet machine."""
    from time import perf_counter

    rng = np.random.default_rng(0)
    x, corner = rng.standard_normal((1, 64, 20, 20)), rng.uniform(0, 8, (6, 2))
    rois = np.column_stack((np.zeros(6), corner, corner + 9))
    offset = rng.standard_normal((6, 2, 7, 7))
    times = {}
    for method in ("gather", "loops"):
        start = perf_counter()
        kernels.deform_roi_pool(x, rois, offset, output_size=7, sampling_ratio=2, method=method)
        times[method] = perf_counter() - start
    assert times["loops"] > 30 * times["gather"]
