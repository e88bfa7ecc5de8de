"""Depthwise layers, one channel in and out per group: nothing to sum over but the taps."""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convcli.kernels.windows import padded, windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.kernels.arguments import Array, Call

INNER = 1536  # numbers in the innermost loop: those of three arrays are in the first-level cache
SUMS_BYTES = 2**17  # what is held of the output, channels last


def depthwise(call: Call) -> Array:
    """One channel in and out per group: nothing to sum over, so the channels, side by side, are the innermost loop.

    With stride 1 along the last axis neighbouring pixels join them: for every tap their cells lie side by side too.
    """
    n, channels = call.x.shape[:2]
    taps = list(range(len(call.axes)))  # einsum's names: the taps 0.., the positions 3.., the innermost loop 6
    out = [3 + i for i in taps]
    weight = np.ascontiguousarray(np.moveaxis(call.weight[:, 0], 0, -1))  # (*kernel, C)
    y = np.empty((n, channels, *call.out), call.x.dtype)
    some = max(1, SUMS_BYTES // max(1, y.itemsize * channels * prod(call.out[1:]))) if len(out) > 1 else call.out[0]
    sums = np.empty((min(some, call.out[0]), *call.out[1:], channels), y.dtype)  # still in the cache when it is turned
    pieces = [(cells, np.tile(weight, run), sums[..., place, :]) for cells, run, place in _runs(call)]
    for sample, first in itertools.product(range(n), range(0, call.out[0], some)):
        rows = slice(first, min(first + some, call.out[0]))
        for cells, tiled, part in pieces:
            there = part.reshape(*sums.shape[:-2], cells.shape[len(out)], tiled.shape[-1])[: rows.stop - first]
            np.einsum(cells[sample, rows], [*out, *taps, 6], tiled, [*taps, 6], [*out, 6], out=there)
        y[sample, :, rows] = np.moveaxis(sums[: rows.stop - first], -1, 0)
    return y


def _runs(call: Call) -> Iterator[tuple[Array, int, slice]]:
    """(cells (N, *out, *kernel, run*C), run, the positions on the last axis) per piece: `run` pixels as one row."""
    view = windows(padded(call, channels_last=True), call.axes, call.out)  # (N, C, *kernel, *out)
    (n, channels), rank, length = view.shape[:2], len(call.axes), call.out[-1]
    run = min(length, max(1, INNER // max(1, channels))) if call.axes[-1].stride == 1 else 1
    by_sample, _, *steps = view.strides
    for first, stop, width in ((0, length - length % run, run), (length - length % run, length, length % run)):
        if first < stop:
            shape = (n, *call.out[:-1], (stop - first) // width, *call.kernel, width * channels)
            strides = (by_sample, *steps[rank:-1], width * steps[-1], *steps[:rank], view.itemsize)
            yield as_strided(view[..., first:], shape, strides, writeable=False), width, slice(first, stop)
