"""What a layer gives, and how far another implementation may be from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from convcli.backends import Array

FUNCTION = 8  # roundings that a function of one element may make: a few ulp


class Values(NamedTuple):
    """y, and where it rounds: the scale of its errors and how many roundings they come from.

    |z - y| <= gamma_n * scale, see verifier/bounds.py. Without a scale, z equals y.
    """

    y: Array
    scale: Array | None = None
    roundings: int = 0
