"""Sums of tens of thousands of products: a right implementation passes, one element a little off does not."""

from __future__ import annotations

from math import prod

import pytest
from verify_layers import check, planned

from convcli.axis import axes
from convcli.layers import Conv, ConvTranspose
from convcli.verifier.run import verify
from convcli.verifier.verdict import Status

LONG = [
    (Conv(axes=axes((3, 3), padding=1), out_channels=2), (1, 7200, 4, 3), 64_800),
    (Conv(axes=axes((61_000,)), out_channels=3, bias=False), (1, 1, 61_003), 61_000),
    (ConvTranspose(axes=axes((3, 2), stride=1), out_channels=2), (1, 11_000, 3, 4), 66_000),
]


@pytest.mark.torch
@pytest.mark.parametrize(("layer", "shape", "terms"), LONG, ids=["conv2d", "conv1d", "transposed"])
def test_a_right_one_passes_at_any_length(layer: Conv | ConvTranspose, shape: tuple[int, ...], terms: int) -> None:
    assert shape[1] * prod(axis.kernel for axis in layer.axes) == terms >= 60_000
    (verdict,) = verify(planned((layer, shape))).layers
    assert verdict.status is Status.PASSED, verdict
    exact = check(verdict, "forward", "exact", "float32")
    assert exact.detail.startswith("exact: proven")
    bound = check(verdict, "forward", "bound", "float32")
    assert bound.bound_ratio is not None
    assert 0 < bound.bound_ratio < 1


@pytest.mark.parametrize(("layer", "shape", "terms"), LONG[:2], ids=["conv2d", "conv1d"])
def test_one_element_off_by_a_ten_thousandth_is_found(layer: Conv, shape: tuple[int, ...], terms: int) -> None:
    against = "convcli.verifier.mutants:one_element_off"
    (verdict,) = verify(planned((layer, shape)), against=against, explain=False).layers
    assert verdict.status is Status.FAILED
    found = check(verdict, "forward", "exact", "float32")
    assert found.status is Status.FAILED
    assert "1 elements differ" in found.detail
