"""The second exact fill: data that need many bits, so that an implementation which cuts its inputs is found out.

Small integers survive a cut to TF32, float16 or bfloat16. Here one operand is an odd integer of 13 bits (28 in double
precision), and the other is 1 or -1; then the roles are swapped. Products are as long as the long operand, and sums
still fit the mantissa.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends import numpy as ours
from convcli.layers import Layer
from convcli.verifier.fills import (
    QUARTERS,
    Case,
    Fill,
    Unfillable,
    _coordinates_fit,
    _integers,
    _one_sample_each,
    _thinned,
    _weight,
    amplitude,
    terms,
)

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

ROLES = ("x", "weight")
WIDTHS = {53: 28, 24: 13, 11: 9}  # bits of the long operand: more than float32; TF32 and float16; bfloat16 keep
BELOW = 15  # the numbers are below 2**-15, where float16 has 9 bits left: fewer than TF32, more than bfloat16


def full_mantissa(case: Case, bits: int, role: str) -> Fill:
    """The operand `role` ("x" or "weight") long, the other of ones: exact where `bits` bits of mantissa are kept.

    bits: a key of WIDTHS. Biases are long in both. Offsets are whole and masks 0 or 1, so that every sample is a cell.
    For layers without parts. Raises Unfillable.
    """
    width = WIDTHS[bits]
    scale = 1 << (width + BELOW) if bits >= 24 else 1
    biased = "bias" in case.layer.tensors(case.x)
    longest = (1 << width) - 1
    products = terms(case.layer, case.x)
    _, keep = amplitude(products, lambda a: a * longest, longest if biased else 0, 2.0**bits)
    arrays: dict[str, Array] = {"x": _integers(case, "x", case.shape("x"), 1), "weight": _weight(case, 1, keep)}
    arrays[role] = arrays[role] * _odd(case, f"long {role}", case.shape(role), width)
    scales = {role: scale}
    if biased:
        signs = _integers(case, "bias", case.shape("bias"), 1)
        arrays["bias"], scales["bias"] = signs * _odd(case, "long bias", case.shape("bias"), width), scale
    side = case.layer.side_inputs(case.x)
    if side:
        moved = {name: _whole_side(case, name, (*case.batch, *shape), bits) for name, shape in side.items()}
        _one_sample_each(case, moved)
        arrays |= moved
        scales |= dict.fromkeys(side, QUARTERS)
    return Fill(arrays, scales, {"": 1 / scale}, _thinned(products, keep))


def _odd(case: Case, name: str, shape: tuple[int, ...], width: int) -> Array:
    """Odd numbers of exactly `width` bits."""
    top = 1 << (width - 1)
    return case.draw(name).integers(0, top // 2, shape, dtype=np.int64) * 2 + 1 + top


def _whole_side(case: Case, name: str, shape: tuple[int, ...], bits: int) -> Array:
    """Offsets of up to two cells, masks mostly 1; in quarters, as the structural fill has them."""
    rng = case.draw(f"whole {name}")
    if name == "offset":
        _coordinates_fit(case.x, bits)
        return rng.integers(-2, 3, shape, dtype=np.int32) * QUARTERS
    return (rng.random(shape) < 3 / 4).astype(np.int32) * QUARTERS


def cut(array: Array, bits: int, rounded: Callable[[Any], Any] = np.rint) -> Array:
    """The numbers with `bits` bits of mantissa, the hidden one included; the exponent keeps its range."""
    mantissa, exponent = np.frexp(array)
    return np.asarray(np.ldexp(rounded(np.ldexp(mantissa, bits)), exponent - bits), array.dtype)


def halved(array: Array) -> Array:
    """Through float16: 11 bits, fewer below 2**-14."""
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(array.dtype)


CUTS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "float32": lambda array: cut(array, 24),
        "TF32 (10 bits after the point)": lambda array: cut(array, 11),
        "TF32 (10 bits after the point), cut off": lambda array: cut(array, 11, np.trunc),
        "float16": halved,
        "bfloat16 (7 bits after the point)": lambda array: cut(array, 8),
        "bfloat16 (7 bits after the point), cut off": lambda array: cut(array, 8, np.trunc),
        "FP8 E4M3 (3 bits after the point)": lambda array: cut(array, 4),
    }
)


def input_precision(layer: Layer, arrays: Arrays, y: Array) -> str:
    """What explains y: the input precision, and which arrays were cut to it. "" when none of CUTS does."""
    names = [name for name in ("x", "weight", "bias") if name in arrays]
    for words, narrowed in CUTS.items():
        for chosen in (names[:2], names, names[2:]):
            changed = {name: narrowed(array) if name in chosen else array for name, array in arrays.items()}
            if chosen and np.array_equal(ours.forward(layer, changed), y):
                return f"{' and '.join(chosen)} cut to {words}"
    return ""


def both_roles(case: Case, bits: int) -> dict[str, Fill]:
    """The fill in either role, as far as there are exact data."""
    fills = {}
    for role in ROLES:
        try:
            fills[role] = full_mantissa(case, bits, role)
        except Unfillable:
            continue
    return fills
