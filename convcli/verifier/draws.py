"""What exact fills are made of: small whole numbers, weights that are thinned where sums would be too large, biases."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from convcli.layers import Conv, ConvTranspose, Layer, Shape
from convcli.verifier.case import Case, Unfillable

if TYPE_CHECKING:
    from convcli.backends import Array

LARGEST = 127  # one byte holds it
QUARTERS = 4  # exact offsets and masks are multiples of 1/4
LOGIT = 1024  # the sigmoid of a multiple of it is 0, 1/2 or 1 in every precision


def terms(layer: Layer, x: Shape) -> int:
    """The largest number of products that one output element adds up; for layers without parts."""
    taps = prod(axis.kernel for axis in layer.axes)
    if not isinstance(layer, Conv | ConvTranspose):
        raise TypeError(f"{layer.kind} is not one sum")
    return x[0] // (layer.groups or 1) * taps


def amplitude(products: int, each: Callable[[int], float], bias: int, room: float) -> tuple[int, int]:
    """(a, keep): the largest a with products * each(a) + bias <= room, and `products` to keep.

    When not even a = 1 fits, it is 1, and as many products are kept as fit. Raises Unfillable when none does.
    """
    for a in range(LARGEST, 0, -1):
        if products * each(a) + bias <= room:
            return a, products
    keep = int((room - bias) // each(1))
    if keep < 1:
        raise Unfillable("no data without rounding: not even one product of ones fits")
    return 1, keep


def check_coordinates(x: Shape, bits: int, *, logits: bool = False) -> None:
    """Raise Unfillable where sampling points in quarters of a cell do not fit, nor mask `logits` of some thousand."""
    if max(x[1:]) * 2 * QUARTERS > 2**bits or bits < (16 if logits else 11):
        raise Unfillable("no data without rounding: sampling points need more bits")


def integers(case: Case, name: str, shape: Shape, a: int) -> Array:
    """Whole numbers from -a to a without 0."""
    values = case.draw(name).integers(-a, a, shape, dtype=np.int8)
    values += values >= 0
    return values


def weights(case: Case, a: int, keep: int) -> Array:
    """The layer's weight, non-zero but for the products beyond `keep` of each output, which are 0."""
    shape = case.shape("weight")
    if isinstance(case.layer, ConvTranspose):
        groups = case.layer.groups
        per_group, outs, kernel = shape[0] // groups, shape[1], shape[2:]
        rows = _rows(case, groups * outs, per_group * prod(kernel), a, keep)
        return np.ascontiguousarray(rows.reshape(groups, outs, per_group, *kernel).swapaxes(1, 2)).reshape(shape)
    return _rows(case, shape[0], prod(shape[1:]), a, keep).reshape(shape)


def _rows(case: Case, outs: int, products: int, a: int, keep: int) -> Array:
    """(outs, products): one row for each output channel."""
    rows = integers(case, "weight", (outs, products), a)
    if keep < products:
        order = _spread(case, products)
        for number, row in enumerate(rows):
            row[np.roll(order, -number * keep)[keep:]] = 0
    return rows


def _spread(case: Case, products: int) -> Array:
    """Every product once, in an order that comes to all channels and all taps as soon as it can."""
    taps = prod(axis.kernel for axis in case.layer.axes)
    channels, rng = products // taps, case.draw("kept")
    many, few = max(channels, taps), min(channels, taps)
    turn, first = np.divmod(np.arange(products), many)
    first, second = rng.permutation(many)[first], rng.permutation(few)[(first + turn) % few]
    channel, tap = (first, second) if channels >= taps else (second, first)
    return np.asarray(channel * taps + tap)


def largest_bias(count: int, room: float) -> int:
    """+-1 to +-count/2 are distinct; where there is no room for all, they repeat."""
    return max(1, min((count + 1) // 2, int(room) // 8))


def biases(case: Case, name: str, count: int, most: int) -> Array:
    """(count,): +-1 to +-most in some order, every one as often as another."""
    i = case.draw(name).permutation(count)
    return ((i // 2 % most + 1) * np.where(i % 2, -1, 1)).astype(np.int32)


def thinned(products: int, keep: int) -> str:
    """What a thinned fill says of itself."""
    return "" if keep == products else f"weights thinned to {keep} of {products} products"
