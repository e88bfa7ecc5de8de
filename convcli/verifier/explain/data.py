"""The smallest data on which two sides still differ: values become 0 as long as they do, then 1."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from convcli.verifier.compare import difference

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

LISTED = 8
MOST = 4000  # values: more are not sifted


def sifted(arrays: Arrays, differ: Callable[[Arrays], bool], *, seconds: float) -> dict[str, Array]:
    """The arrays with as many zeros as the time allows: whole arrays first, then halves of what is left, quarters ...

    Single values that remain become 1 where that keeps the difference. Deterministic unless `seconds` end it.
    """
    end = perf_counter() + seconds
    found = {name: array.copy() for name, array in arrays.items()}

    def kept(places: list[tuple[str, int]], value: float) -> bool:
        changed = {name: array.copy() for name, array in found.items()}
        for name, index in places:
            changed[name].flat[index] = value
        if perf_counter() > end or not differ(changed):
            return False
        found.update(changed)
        return True

    for name, array in arrays.items():
        kept(nonzero({name: array}), 0)
    size = len(nonzero(found))
    while 1 < size <= MOST:
        size = -(-size // 2)
        places = nonzero(found)
        for first in range(0, len(places), size):
            kept(places[first : first + size], 0)
    for place in nonzero(found)[: 4 * LISTED]:
        if found[place[0]].flat[place[1]] != 1:
            kept([place], 1)
    return found


def nonzero(arrays: Arrays) -> list[tuple[str, int]]:
    """(name, flat index) of every value that is not 0."""
    return [(name, int(index)) for name, array in arrays.items() for index in np.flatnonzero(array)]


def words(arrays: Arrays, name: str, y: Array, z: Array | None) -> str:
    """x[0, 0, 1, 1] = 1, weight[0, 0, 0, 1] = 1, the rest 0: y[0, 0, 0, 0] expected 1, found 0"""
    places = nonzero(arrays)
    told = [f"{key}{_place(arrays[key], index)} = {arrays[key].flat[index]:.9g}" for key, index in places[:LISTED]]
    if len(places) > LISTED:
        told.append(f"{len(places) - LISTED:,} more values")
    given = ", ".join([*told, "the rest 0"]) if told else "all 0"
    return f"{given}: {apart(name, y, z)}"


def apart(name: str, y: Array, z: Array | None) -> str:
    """y[0, 0, 0, 0] expected 1, found 0; or what sets the results apart as a whole."""
    if z is None:
        return f"no {name} found"
    if z.shape != y.shape:
        return f"{name} expected of shape {y.shape}, found {z.shape}"
    if z.dtype != y.dtype:
        return f"{name} expected in {y.dtype}, found {z.dtype}"
    worst = difference(y, z).worst
    return f"{name}{list(worst)} expected {y[worst]:.9g}, found {z[worst]:.9g}" if worst else f"{name} as expected"


def _place(array: Array, index: int) -> list[int]:
    return [int(i) for i in np.unravel_index(index, array.shape)]
