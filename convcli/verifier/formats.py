"""Number formats that numpy has no type for, and what arrays hold their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from convcli.backends import Array

WIDE = frozenset({"float64", "bfloat16"})  # where our only result is in float64: numpy has no bfloat16 to work in
STORED: Mapping[str, str] = MappingProxyType({"bfloat16": "float32"})


def stored(dtype: str) -> str:
    """The dtype of the arrays that hold such numbers; a format's own, where numpy has it."""
    return STORED.get(dtype, dtype)


def in_format(array: Array, dtype: str) -> Array:
    """The numbers as `dtype` rounds them, in an array of stored(dtype)."""
    array = array.astype(stored(dtype), copy=False)
    return cut(array, 8) if dtype == "bfloat16" else array


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
