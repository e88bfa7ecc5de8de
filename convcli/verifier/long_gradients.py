"""Data that need many bits of dy, or of what it is multiplied by: gradients of operands that were cut are found out.

As in `full_mantissa` one operand of every product is an odd integer of 13 bits (28 in double precision), the others are
1 or -1; dy is thinned where sums would be too large. A plain layer's products have two operands, dy and one more, and
so x and weight may be long at a time; in the gradient of an offset both of them meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.layers import DeformConv, DeformRoIPool
from convcli.verifier import region_gradients
from convcli.verifier.case import Case, Fill
from convcli.verifier.draws import QUARTERS, biases, check_coordinates, integers
from convcli.verifier.fills import NEAR
from convcli.verifier.full_mantissa import BELOW, WIDTHS, odd
from convcli.verifier.gradient_fills import all_weights, with_dy
from convcli.verifier.gradient_sizes import (
    HALVES,
    Size,
    Units,
    conv_units,
    deform_steps,
    deform_units,
    dense,
    thinned_size,
)

if TYPE_CHECKING:
    from convcli.backends import Array

OPERANDS = {
    "x": ("weight", "dy"),
    "weight": ("x", "dy"),
    "bias": ("dy",),
    "offset": ("x", "weight", "dy"),
    "mask": ("x", "weight", "dy"),
}


def long_gradients(case: Case, bits: int) -> dict[tuple[str, ...], Fill]:
    """By what is long in it, exact data where `bits` bits of mantissa are kept. For layers without parts.

    bits: a key of WIDTHS. Raises Unfillable.
    """
    if isinstance(case.layer, DeformRoIPool):
        width, shapes = WIDTHS[bits], {"x": case.shape("x"), "dy": case.layer.output(case.x)}
        scale = 1 << (width + BELOW) if bits >= 24 else 1
        long = {role: odd(case, f"long {role}", shape, width) for role, shape in shapes.items()}
        return {(role,): region_gradients.long_pool(case, bits, role, array, scale) for role, array in long.items()}
    if isinstance(case.layer, DeformConv):
        side = _half_way(case, bits)
        units, steps = deform_units(case, side["offset"], HALVES), deform_steps(HALVES)
        return {role: _long(case, bits, role, (units, steps), side) for role in (("dy",), ("x",), ("weight",))}
    return {role: _long(case, bits, role, (conv_units(case), {}), {}) for role in (("dy",), ("x", "weight"))}


def _long(
    case: Case, bits: int, role: tuple[str, ...], sums: tuple[Units, dict[str, int]], side: dict[str, Array]
) -> Fill:
    width = WIDTHS[bits]
    longest, scale = (1 << width) - 1, 1 << (width + BELOW) if bits >= 24 else 1
    units, steps = sums
    most = {name: longest if name in role else 1 for name in ("x", "weight", "dy")}
    size = thinned_size(units, Size(most["x"], most["weight"], most["dy"], *dense(case)), 2.0**bits)
    arrays = {"x": integers(case, "x", case.shape("x"), 1), "weight": all_weights(case, 1), **side}
    if "bias" in case.layer.tensors(case.x):
        arrays["bias"] = biases(case, "bias", case.shape("bias")[0], 1)
    scales = {**dict.fromkeys(side, QUARTERS), **dict.fromkeys(role, scale)}
    quanta = {name: 1 / (steps.get(name, 1) * (scale if set(role) & set(OPERANDS[name]) else 1)) for name in arrays}
    fill = with_dy(case, arrays, scales, quanta, size._replace(dy=1))
    for name in role:
        fill.arrays[name] = fill.arrays[name] * odd(case, f"long {name}", fill.arrays[name].shape, width)
    return fill


def _half_way(case: Case, bits: int) -> dict[str, Array]:
    """Offsets half past a cell, of up to two cells; masks mostly 1. In quarters, as other fills have them."""
    check_coordinates(case.x, bits)
    near, shape = NEAR // QUARTERS, case.shape("offset")
    cells = case.draw("half way").integers(-near, near, shape, dtype=np.int32)
    side = {"offset": cells * QUARTERS + QUARTERS // 2}
    if "mask" in case.layer.side_inputs(case.x):
        ones = case.draw("whole mask").random(case.shape("mask")) < 3 / 4
        side["mask"] = ones.astype(np.int32) * QUARTERS
    return side
