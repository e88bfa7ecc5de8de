"""Where a deformable layer samples its input: which taps see anything, and how often a cell is seen."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from convcli.layers import Layer, Shape

if TYPE_CHECKING:
    from convcli.backends import Array


def points(layer: Layer, offset: Array) -> list[Array]:
    """For each direction (N, og, T, *out): where the taps of every group of offsets sample. offset in cells."""
    kernel, out = tuple(axis.kernel for axis in layer.axes), offset.shape[-2:]
    moves = offset.reshape(-1, offset.shape[-3] // (2 * prod(kernel)), prod(kernel), 2, *out)
    tap, position = np.indices(kernel).reshape(2, -1, 1, 1), np.indices(out)
    return [
        moves[:, :, :, place] + (position[place] * axis.stride - axis.before + tap[place] * axis.dilation)
        for place, axis in enumerate(layer.axes)
    ]


def inside(layer: Layer, offset: Array, x: Shape) -> Array:
    """(N, og, T, *out): whether the sample has a share in any cell, for it lies in (-1, size)."""
    found = [np.abs(2 * at - (size - 1)) < size + 1 for at, size in zip(points(layer, offset), x[1:], strict=True)]
    return np.asarray(found[0] & found[1])


def seen_taps(layer: Layer, offset: Array, mask: Array | None, x: Shape) -> Array:
    """(og * T,): whether a tap of a group of offsets samples the input anywhere, with a mask that is not 0.

    offset (N, 2*og*T, *out) in cells, or without N.
    """
    seen = inside(layer, offset, x)
    if mask is not None:
        seen &= mask.reshape(seen.shape) != 0
    return np.asarray(seen.any(axis=(0, 3, 4)).reshape(-1))


def visits(layer: Layer, offset: Array, x: Shape) -> Array:
    """(N, og, *x): how many samples have a share in each cell. offset in cells."""
    rows, columns = (size + 5 for size in x[1:])
    low = [np.clip(np.floor(at), -2, n + 1).astype(int) + 2 for at, n in zip(points(layer, offset), x[1:], strict=True)]
    images, groups = low[0].shape[:2]
    start = np.arange(images * groups).reshape(images, groups, 1, 1, 1) * (rows * columns)
    corner = (start + low[0] * columns + low[1]).ravel()
    counts = np.bincount(corner, minlength=images * groups * rows * columns)
    found = sum(np.roll(counts, step) for step in (0, 1, columns, columns + 1))
    return np.asarray(found).reshape(images, groups, rows, columns)[:, :, 2:-3, 2:-3]
