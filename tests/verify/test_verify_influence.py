"""What nothing checked depends on is found; the structural data leave nothing out that the geometry lets in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawn import Case as Drawn
from drawn import convolutions
from hypothesis import given, settings

from convcli.axis import axes
from convcli.backends import numpy as ours
from convcli.layers import Conv, ConvTranspose, DeformConv, Layer, Separable
from convcli.verifier import tasks
from convcli.verifier.alternating import long_fills
from convcli.verifier.bounds import BITS
from convcli.verifier.case import Case, Fill
from convcli.verifier.exchange import save, store
from convcli.verifier.fills import structural
from convcli.verifier.formats import cut
from convcli.verifier.full_mantissa import input_precision
from convcli.verifier.influence import unseen

X = (4, 6, 6)


def values(fill: Fill) -> dict[str, Any]:
    """The numbers that a fill stands for."""
    return {name: a / np.float64(fill.scales.get(name, 1)) for name, a in fill.arrays.items()}


@settings(max_examples=100)
@given(convolutions())  # a pool has neither taps nor weights to leave out
def test_structural_data_leave_nothing_out(drawn: Drawn) -> None:
    assert unseen(drawn.layer, values(structural(Case(drawn.layer, drawn.x, drawn.lead), 24))) == ""


@pytest.mark.parametrize(
    ("layer", "name", "place", "words"),
    [
        (Conv(axes=axes((3, 2)), out_channels=3), "weight", (..., 1, 0), "tap (1, 0)"),
        (Conv(axes=axes((3, 2)), out_channels=3), "weight", (..., 0), "taps (0, 0), (1, 0), (2, 0)"),
        (Conv(axes=axes((3, 2)), out_channels=3), "weight", (slice(None), 2), "input channel 2"),
        (Conv(axes=axes((3, 2)), out_channels=3), "x", (0, 3), "input channel 3"),
        (Conv(axes=axes((3, 2)), out_channels=3), "weight", (1,), "output channel 1"),
        (Conv(axes=axes((3, 2)), out_channels=4, groups=2), "weight", (slice(2, 4), 1), "input channel 3"),
        (ConvTranspose(axes=axes((3, 2)), out_channels=4, groups=2), "weight", (3,), "input channel 3"),
        (ConvTranspose(axes=axes((3, 2)), out_channels=4, groups=2), "weight", (slice(2, 4), 0), "output channel 2"),
        (
            Separable(axes=axes((3, 2)), out_channels=3),
            "pointwise.weight",
            (slice(None), 1),
            "input channel 1 of point",
        ),
        (DeformConv(axes=axes((3, 2)), out_channels=3), "offset", (0, 5), "sampled tap 2"),
        (DeformConv(axes=axes((3, 2)), out_channels=3, modulated=True), "mask", (0, 4), "sampled tap 4"),
    ],
)
def test_what_is_left_out_is_named(layer: Layer, name: str, place: Any, words: str) -> None:
    layer = layer.settled(X)
    arrays = values(structural(Case(layer, X, (1,)), 24))
    arrays[name][place] = 100 if name == "offset" else 0
    assert unseen(layer, arrays).startswith(words)


def test_even_a_tap_that_the_data_would_miss_is_sampled() -> None:
    """One position, one tap: an offset far away or a mask of 0 would leave the layer without any signal."""
    layer = DeformConv(axes=axes((1, 1)), out_channels=1, modulated=True).settled((1, 1, 1))
    for seed in range(100):
        assert unseen(layer, values(structural(Case(layer, (1, 1, 1), (), seed), 24))) == ""


def test_thinned_weights_come_to_every_channel_and_tap() -> None:
    for outs, x in ((1, (512, 3, 3)), (2, (3, 40, 40))):
        layer = Conv(axes=axes((x[1], x[2])), out_channels=outs).settled(x)
        fill = structural(Case(layer, x, (1,)), BITS["float16"])
        assert "thinned" in fill.note
        assert unseen(layer, values(fill)) == ""


@pytest.mark.parametrize("bits", [10, 7, 6])
def test_lengths_that_no_format_has_are_found_too(bits: int, tmp_path: Any) -> None:
    layer = Conv(axes=axes((3, 2)), out_channels=3, bias=False).settled(X)
    (fill,) = long_fills(Case(layer, X, (1,)), 24).values()
    sample = store(str(tmp_path), "a", fill)
    arrays = sample.load("float32")
    assert input_precision(layer, arrays, ours.forward(layer, arrays)) in {"", "x and weight cut to float32"}
    wrong = ours.forward(layer, {name: cut(array, bits) for name, array in arrays.items()})
    found = tasks.input_precision(layer, sample, "float32", save(str(tmp_path), "y", wrong))
    assert found == f"x and weight cut to {bits - 1} bits after the point, rounded"
