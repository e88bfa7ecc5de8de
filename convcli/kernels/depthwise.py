"""Depthwise layers: one channel in and out per group, so there is nothing to sum over but the taps."""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convcli.axis import Axis
from convcli.kernels.windows import padded, runs, windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.kernels.arguments import Array, Call

BAND_ROWS = 6  # rows of the output in one banded product: as many as OpenBLAS' kernels take at a time
COLUMN_BYTES = 2**20  # what the columns of the channels at work may take
WIDE = 14  # outputs side by side from which on `banded` wins; in 3-D, and with a stride, as many times more
INNER = 1536  # numbers in the innermost loop of `pixels`: those of three arrays are in the first-level cache
SUMS_BYTES = 2**17  # what `pixels` holds of the output, channels last


def depthwise(call: Call) -> Array:
    """Bands for wide rows of floats, as long as at least a quarter of a band is kernel; else pixel by pixel."""
    rank = len(call.axes)
    if call.x.dtype.kind != "f" or rank == 1 or call.out[-1] < WIDE * (rank - 1) * call.axes[-1].stride:
        return pixels(call)
    axis = call.axes[-2]
    return banded(call) if seen(axis, band_rows(call)) <= 4 * axis.kernel else pixels(call)


def banded(call: Call) -> Array:
    """y (b, width) = band (b, K) @ columns (K, width), a product for every channel and b rows of the output.

    Every row of the padded input is copied once per tap of the other axes, moved to where that tap reads it. What b
    rows of the output see then lies together, and the band is the kernel once for each of them, where it reads. Its
    zeros meet cells that an output does not read: exact, but for infinities and NaNs, which show in y.
    """
    cells, b = padded(call), band_rows(call)
    (n, channels), (*others, rows, width), axis = cells.shape[:2], call.out, call.axes[-2]
    every = (*call.axes[:-2], Axis(1), call.axes[-1])  # a window per row of the input
    by_row = np.moveaxis(windows(cells, every, (*others, cells.shape[-2], width)), -2, 2)
    band, taps = bands(call, b), prod(call.kernel) // axis.kernel
    most = COLUMN_BYTES // (taps * width * cells.itemsize)  # rows of columns
    some = max(1, min(channels, most // seen(axis, rows)))
    most = max(1, min(-(-rows // b), (most - axis.span) // (b * axis.stride))) * b
    columns = np.empty((some, seen(axis, most), taps, width), cells.dtype)
    y = np.empty((n, channels, *others, rows, width), cells.dtype)
    for sample, *place in np.ndindex(n, *others):
        for channel, run in itertools.product(runs(channels, some), runs(rows, most)):
            out = y[(sample, channel, *place, run)]
            first, count = run.start * axis.stride, seen(axis, out.shape[1])
            source = by_row[(sample, channel, slice(first, first + count), ..., *place, slice(None))]
            here = columns[: len(source), :count]
            copied(source, here.reshape(source.shape))
            multiplied(band[channel], here, axis.stride, out)
    return y if np.isfinite(np.vdot(y, y)) else pixels(call)


def band_rows(call: Call) -> int:
    """Rows of the output in one product."""
    return min(call.out[-2], BAND_ROWS if call.axes[-2].stride == 1 else 4)


def seen(axis: Axis, outs: int) -> int:
    """Cells of the padded input from the first to the last that `outs` neighbouring outputs read."""
    return (outs - 1) * axis.stride + axis.span


def bands(call: Call, b: int) -> Array:
    """(C, b, K): in row r the kernel begins at the first cell that the r-th of b rows of the output sees."""
    axis, (channels, _, *kernel) = call.axes[-2], call.weight.shape
    taps = prod(kernel) // axis.kernel
    band = np.zeros((channels, b, seen(axis, b), taps), call.weight.dtype)
    steps = (band.strides[0], band.strides[1] + axis.stride * band.strides[2], axis.dilation * band.strides[2])
    places = as_strided(band, (channels, b, axis.kernel, taps), (*steps, band.itemsize))
    places[...] = np.moveaxis(call.weight[:, 0], -2, 1).reshape(channels, 1, axis.kernel, taps)
    return band.reshape(channels, b, seen(axis, b) * taps)


def copied(source: Array, into: Array) -> None:
    """into[...] = source; whole rows as one item each where their cells lie side by side, in half the time."""
    if source.strides[-1] == source.itemsize:
        row = f"V{source.shape[-1] * source.itemsize}"
        source, into = source.view(row), into.view(row)
    into[...] = source


def multiplied(band: Array, columns: Array, stride: int, y: Array) -> None:
    """y (C, rows, width) = band (C, b, K) @ columns (C, cells, taps, width), b rows at a time, then those left over."""
    (channels, rows, width), (b, k), (channel, row, tap, one) = y.shape, band.shape[1:], columns.strides
    whole = rows // b * b
    for first, stop, some in ((0, whole, b), (whole, rows, rows - whole)):
        if first < stop:
            count, size = (stop - first) // some, k - (b - some) * stride * columns.shape[2]
            steps = (channel, some * stride * row, tap, one)
            tiles = as_strided(columns[:, first * stride :], (channels, count, size, width), steps, writeable=False)
            out = y[:, first:stop].reshape(channels, count, some, width)
            np.matmul(band[:, None, :some, :size], tiles, out=out)


def pixels(call: Call) -> Array:
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
