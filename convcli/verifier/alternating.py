"""Both roles of the full-mantissa fill in one: x is long in the even channels, the weight in the odd ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.layers import Conv, ConvTranspose, DeformRoIPool
from convcli.verifier.case import Case, Fill
from convcli.verifier.full_mantissa import ROLES, full_mantissa, long_pool

if TYPE_CHECKING:
    from convcli.backends import Array

BOTH = "x and weight"


def long_fills(case: Case, bits: int) -> dict[str, Fill]:
    """By what is long in it: one fill for both operands, or one for each where there is but one channel.

    Raises Unfillable.
    """
    if isinstance(case.layer, DeformRoIPool):
        return {"x": long_pool(case, bits)}
    if case.x[0] < 2:
        return {role: full_mantissa(case, bits, role) for role in ROLES}
    first, second = (full_mantissa(case, bits, role) for role in ROLES)
    scale, whole = first.scales["x"], np.int32 if first.scales["x"] < 1 << 31 else np.int64
    even = np.arange(case.x[0]) % 2 == 0
    spread = even.reshape(-1, *(1,) * len(case.layer.axes))
    x = np.where(spread, first.arrays["x"], np.multiply(second.arrays["x"], scale, dtype=whole))
    of_weight = even[_channels(case)]
    weight = np.where(of_weight, np.multiply(first.arrays["weight"], scale, dtype=whole), second.arrays["weight"])
    scales = {**first.scales, **dict.fromkeys(ROLES, scale)}
    return {
        BOTH: Fill(
            {**first.arrays, "x": x.astype(whole), "weight": weight.astype(whole)}, scales, first.quanta, first.note
        )
    }


def _channels(case: Case) -> Array:
    """The input channel of each weight, in a shape that the weight's broadcasts with."""
    shape, ones = case.shape("weight"), (1,) * len(case.layer.axes)
    if isinstance(case.layer, ConvTranspose):
        return np.arange(shape[0]).reshape(-1, 1, *ones)
    groups = case.layer.groups or 1 if isinstance(case.layer, Conv) else 1
    group = np.arange(shape[0]) // (shape[0] // groups)
    return (group[:, None] * shape[1] + np.arange(shape[1])).reshape(*shape[:2], *ones)
