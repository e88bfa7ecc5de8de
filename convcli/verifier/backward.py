"""The true gradients of a layer by our own kernels, and exact data to check others with.

Gradients are sums of products of dy, x, weight, mask and bilinear shares: on small multiples of a quantum no order of
summation can round them.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from convcli.backends import numpy as ours
from convcli.layers import DeformConv, Layer
from convcli.verifier.fills import QUARTERS, Case, Fill, Unfillable, structural

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

    Gradients = dict[str, Array]

KINDS = ("conv", "conv_transpose", "deform_conv")
FORWARD_BITS = 16  # of 24: what a gradient sums over beyond an output's products needs the rest
LARGEST_DY = (31, 7, 3, 1)


def gradients(layer: Layer, arrays: Arrays) -> Gradients:
    """By name, the gradient in each array of the layer, for the output's gradient `dy`; for layers without parts."""
    return ours.backward(layer, {name: array for name, array in arrays.items() if name != "dy"}, arrays["dy"])


def gradient_fill(case: Case, bits: int) -> Fill:
    """Structural data and dy: exact where `bits` bits of mantissa are kept. Offsets stay off the kinks.

    Raises Unfillable.
    """
    fill = structural(case, min(bits, FORWARD_BITS))
    shape = (*case.batch, *case.layer.output(case.x))
    arrays = dict(fill.arrays)
    if "offset" in arrays:  # 1/4, 1/2 or 3/4 past a cell
        fraction = case.draw("fraction").integers(1, QUARTERS, arrays["offset"].shape, dtype=np.int32)
        arrays["offset"] = arrays["offset"] // QUARTERS * QUARTERS + fraction
    for most in LARGEST_DY:
        dy = case.draw("dy").integers(-most, most, shape, dtype=np.int8)
        found = Fill({**arrays, "dy": (dy + (dy >= 0)).astype(np.int8)}, fill.scales, fill.quanta, fill.note)
        if largest_sum(case, found) <= 2.0**bits:
            return found
    raise Unfillable("no data without rounding: the gradients' sums need more bits")


def largest_sum(case: Case, fill: Fill) -> float:
    """What no sum of absolute values in any gradient exceeds, in quanta: its most terms, each as large as can be."""
    layer, images = case.layer, prod(case.batch)
    x, w, dy = (int(np.max(np.abs(fill.arrays[name]), initial=0)) for name in ("x", "weight", "dy"))
    groups = getattr(layer, "groups", 1) or 1
    positions = max(prod(case.x[1:]), prod(layer.output(case.x)[1:]))
    outs, taps = layer.output(case.x)[0] // groups, prod(axis.kernel for axis in layer.axes)
    copied = getattr(layer, "padding_mode", "zeros") != "zeros" or isinstance(layer, DeformConv)
    dx = outs * taps * w * dy * (positions if copied else 1)  # elsewhere each tap reaches a cell once
    sums = [dx, images * positions * x * dy]
    mask = 1.0
    if isinstance(layer, DeformConv):  # a mask sums over its group's channels; an offset, over twice as many corners
        sums.append(2 * case.x[0] // layer.offset_groups * outs * x * w * dy)
        mask = max(1.0, np.max(fill.arrays["mask"], initial=0) / QUARTERS) if "mask" in fill.arrays else 1.0
    return float(max(sums) * mask / fill.quanta[""])
