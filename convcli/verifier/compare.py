"""Two results, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from convcli.backends import Array


class Difference(msgspec.Struct, frozen=True):
    """How two results of one shape differ. worst: where most; ratio: the largest error in units of its bound."""

    wrong: int
    share: float
    max_abs_error: float
    worst: tuple[int, ...] | None
    ratio: float | None = None


def difference(y: Array, z: Array) -> Difference:
    """Bit for bit, but -0.0 equals 0.0; NaN equals nothing and is infinitely far away."""
    wrong = np.not_equal(y, z)
    count = int(np.count_nonzero(wrong))
    if not count:
        return Difference(0, 0.0, 0.0, None)
    error = _error(y, z)
    error[~wrong] = -1.0
    worst = _largest(error)
    return Difference(count, count / wrong.size, float(error[worst]), worst)


def within(y: Array, z: Array, bound: Array) -> Difference:
    """Against a bound for each element; where the bound is 0 they must be equal."""
    error = _error(y, z)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error == 0, 0.0, error / bound)
    ratio[np.isnan(ratio)] = np.inf
    worst = _largest(ratio)
    wrong = int(np.count_nonzero(ratio > 1))
    return Difference(wrong, wrong / ratio.size, float(error.max()), worst, float(ratio[worst]))


def _error(y: Array, z: Array) -> Array:
    """|y - z| in float64, infinite where it is not a number."""
    with np.errstate(invalid="ignore"):
        error: Array = np.abs(np.subtract(y, z, dtype=np.float64))
    error[np.isnan(error)] = np.inf
    return error


def _largest(values: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape))
