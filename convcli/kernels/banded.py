"""Products of band matrices, for layers of few channels per group: a product per group and a few rows of the output.

Every row of the padded input is copied once per tap of the other axes, moved to where that tap reads it: 3 copies for
a 3x3 kernel where im2col has 9. What neighbouring rows of the output see then lies together. A band matrix, with the
kernel in its place for each of them, makes a product of what would be one row of numbers in a depthwise layer.
"""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convcli.axis import Axis
from convcli.kernels.windows import copied, padded, runs, windows

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array, Call

BAND_ROWS = 6  # rows of the output in one product: as many as OpenBLAS' kernels take at a time
FEW_OUTS = 4  # outputs of a group from which on they fill a product without more rows than one
OUTS = 24  # outputs in a product then: a few more, and OpenBLAS packs what it multiplies
COLUMN_BYTES = 2**20  # what the columns of the groups at work may take
DEPTHWISE_WIDTH = 14  # outputs side by side from which on bands win; in 3-D, and with a stride, as many times more
WIDTH, FEW_CHANNELS = 112, 16  # the same with several channels in a group, as long as they are few


def fitting(call: Call) -> bool:
    """Wide rows of floats, few channels in a group, and at least a quarter of the band is kernel."""
    rank, (outs, channels) = len(call.axes), call.weight.shape[:2]
    if call.x.dtype.kind != "f" or rank == 1 or channels > FEW_CHANNELS:
        return False
    narrow = DEPTHWISE_WIDTH * (rank - 1) * call.axes[-1].stride if outs == call.groups and channels == 1 else WIDTH
    return call.out[-1] >= narrow and seen(call.axes[-2], band_rows(call)) <= 4 * call.kernel[-2]


def banded(call: Call) -> Array:
    """y (b, width) = band (b, K) @ columns (K, width) for every output of a group and b rows; with b = 1 for several.

    Zeros of the band meet cells that an output does not read: exact, but an infinity or NaN there makes NaN of it.
    """
    cells, b, g = padded(call), band_rows(call), call.groups
    (n, channels), (*others, rows, width), axis = cells.shape[:2], call.out, call.axes[-2]
    every = (*call.axes[:-2], Axis(1), call.axes[-1])  # a window per row of the input
    by_row = np.moveaxis(windows(cells, every, (*others, cells.shape[-2], width)), (1, -2), (2, 1))
    by_row = by_row.reshape(n, cells.shape[-2], g, channels // g, *by_row.shape[3:]).swapaxes(1, 2)
    band, taps = bands(call, b), prod(call.weight.shape[1:]) // axis.kernel
    most = COLUMN_BYTES // (taps * width * cells.itemsize)  # rows of columns
    some = max(1, min(g, most // seen(axis, rows)))
    most = max(1, min(-(-rows // b), (most - axis.span) // (b * axis.stride))) * b
    columns = np.empty((some, seen(axis, most), taps, width), cells.dtype)
    y = np.empty((n, g, len(call.weight) // g, *call.out), cells.dtype)
    for sample, *place in np.ndindex(n, *others):
        for group, run in itertools.product(runs(g, some), runs(rows, most)):
            out = y[(sample, group, slice(None), *place, run)]
            first, count = run.start * axis.stride, seen(axis, out.shape[2])
            source = by_row[(sample, group, slice(first, first + count), ..., *place, slice(None))]
            here = columns[: len(source), :count]
            copied(source, here.reshape(source.shape))
            multiplied(band[group], here, axis.stride, out)
    return y.reshape(n, len(call.weight), *call.out)


def band_rows(call: Call) -> int:
    """Rows of the output in one product."""
    if len(call.weight) >= FEW_OUTS * call.groups:
        return 1
    return min(call.out[-2], BAND_ROWS if call.axes[-2].stride == 1 else 4)


def seen(axis: Axis, outs: int) -> int:
    """Cells of the padded input from the first to the last that `outs` neighbouring outputs read."""
    return (outs - 1) * axis.stride + axis.span


def bands(call: Call, b: int) -> Array:
    """(groups, O/groups, b, K): in row r the kernel begins at the first cell that the r-th of b rows sees."""
    axis, (outs, channels, *kernel) = call.axes[-2], call.weight.shape
    taps = channels * prod(kernel) // axis.kernel
    band = np.zeros((outs, b, seen(axis, b), taps), call.weight.dtype)
    steps = (band.strides[0], band.strides[1] + axis.stride * band.strides[2], axis.dilation * band.strides[2])
    kernels = np.moveaxis(call.weight, -2, 1)[:, None]  # (O, 1, kh, C/groups, *lead, kw)
    inner = np.empty(kernels.shape[3:], band.dtype).strides
    copied(kernels, as_strided(band, (outs, b, *kernels.shape[2:]), (*steps, *inner)))
    return band.reshape(call.groups, outs // call.groups, b, seen(axis, b) * taps)


def multiplied(band: Array, columns: Array, stride: int, y: Array) -> None:
    """y (g, O, rows, width) = band (g, O, b, K) @ columns (g, cells, taps, width): b rows at a time, then the rest."""
    (groups, outs, rows, width), (b, k), (group, row, tap, one) = y.shape, band.shape[2:], columns.strides
    whole = rows // b * b
    for first, stop, some in ((0, whole, b), (whole, rows, rows - whole)):
        if first < stop:
            count, size = (stop - first) // some, k - (b - some) * stride * columns.shape[2]
            steps = (group, 0, some * stride * row, tap, one)
            tiles = as_strided(columns[:, first * stride :], (groups, 1, count, size, width), steps, writeable=False)
            left, out = band[:, :, None, :some, :size], y[:, :, first:stop].reshape(groups, outs, count, some, width)
            if b == 1:  # the outputs in the place of the rows
                left, out = left.swapaxes(1, 3), out.swapaxes(1, 3)
            for part in runs(left.shape[3], OUTS):
                np.matmul(left[..., part, :], tiles, out=out[..., part, :])
