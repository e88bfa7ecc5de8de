"""The same numbers in another order in memory: an implementation must read them through their strides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays


def strided(array: Array) -> Array:
    """An equal array whose last axis varies slowest in memory, with a gap after every number."""
    wide = np.zeros((*array.shape[:0:-1], 2 * array.shape[0]), array.dtype)
    view = wide[..., ::2].T
    view[...] = array
    return view


def as_views(arrays: Arrays) -> dict[str, Array]:
    """Every array as a view of another layout."""
    return {name: strided(array) for name, array in arrays.items()}
