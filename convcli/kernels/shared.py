"""im2col with columns that the rows of a kernel share: for grouped layers, whose columns cost as much as products.

What row k of a kernel sees at row p of the output, row k - 1 sees at row p + 1. So the columns hold the kernel's other
axes alone, for every row of the input, and those of row k are the same numbers from a later row on: 3 copies for a 3x3
kernel where im2col has 9. The price is a product per row of the kernel, and adding them up. A row is a step on the
first axis here, in any number of dimensions; with a stride the rows are told apart by their phase.
"""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convcli.axis import Axis
from convcli.kernels.windows import copied, even, last, padded, runs, windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.kernels.arguments import Array, Call

COLUMN_BYTES = 2**20  # what the columns at work may take
FEW_CHANNELS, WIDTH = 8, 16  # of a group at most, and positions in a row at least: there the copies decide


class Shared(NamedTuple):
    """The columns of one sample, some groups and a run of positions."""

    sample: int
    groups: slice
    positions: slice  # in the output, all of its axes as one
    by_row: list[Array]  # for each row of the kernel (groups, C/groups * other taps, positions)


def sharing(call: Call) -> bool:
    """Whether sharing columns saves more than adding up products costs."""
    return call.groups > 1 and call.weight.shape[1] <= FEW_CHANNELS and prod(call.out[1:]) >= WIDTH


def by_rows(call: Call) -> Array:
    """y = sum over the kernel's rows of weight (groups, O/groups, C/groups * other taps) @ their columns."""
    g, outs, (channels, rows) = call.groups, len(call.weight) // call.groups, call.weight.shape[1:3]
    first = np.moveaxis(call.weight.reshape(g, outs, channels, rows, prod(call.kernel[1:])), 3, 0)
    weight = first.reshape(rows, g, outs, channels * prod(call.kernel[1:]))
    y = np.empty((len(call.x), g, outs, prod(call.out)), call.x.dtype)
    room = np.empty(0, y.dtype)
    for part in shared(call):
        into = y[part.sample, part.groups, :, part.positions]
        room = room if room.size >= into.size else np.empty(into.size, y.dtype)
        np.matmul(weight[0, part.groups], part.by_row[0], out=into)
        for some, columns in zip(weight[1:, part.groups], part.by_row[1:], strict=True):
            into += np.matmul(some, columns, out=room[: into.size].reshape(into.shape))
    return y.reshape(len(y), g * outs, *call.out)


def weight_by_rows(call: Call, dy: Array) -> Array:
    """dw (O, C/groups, *kernel): that of a row of the kernel is its columns @ dy^T, or dy @ columns^T."""
    g, outs, (channels, rows) = call.groups, len(call.weight) // call.groups, call.weight.shape[1:3]
    inner, by_group = channels * prod(call.kernel[1:]), dy.reshape(len(dy), g, outs, prod(call.out))
    turned = outs <= inner  # the matrix with more rows first
    dw = np.zeros((rows, g, inner, outs) if turned else (rows, g, outs, inner), dy.dtype)
    for part in shared(call):
        some = by_group[part.sample, part.groups, :, part.positions]
        for row, columns in enumerate(part.by_row):
            dw[row, part.groups] += columns @ some.swapaxes(1, 2) if turned else some @ columns.swapaxes(1, 2)
    dw = dw.swapaxes(2, 3) if turned else dw
    return np.moveaxis(dw.reshape(rows, g * outs, channels, *call.kernel[1:]), 0, 2)


def shared(call: Call) -> Iterator[Shared]:
    """Block by block of groups and rows, in one buffer of COLUMN_BYTES; each phase of the stride has its part of it."""
    axis, g, (out, *others), cells = call.axes[0], call.groups, call.out, padded(call)
    every = windows(cells, (Axis(1), *call.axes[1:]), (cells.shape[2], *others))[:, :, 0]  # one for each row of cells
    every = every.reshape(len(cells), g, cells.shape[1] // g, *every.shape[2:])
    inner, width = cells.shape[1] // g * prod(call.kernel[1:]), prod(others)
    taps = [divmod(tap * axis.dilation, axis.stride) for tap in range(axis.kernel)]  # (rows later, phase)
    phases, extra = sorted({phase for _, phase in taps}), taps[-1][0]
    rows = COLUMN_BYTES // max(1, len(phases) * inner * width * cells.itemsize)  # of one group
    some = max(1, min(g, rows // (out + extra)))
    most = even(out, max(1, rows // some - extra))
    buffer = np.empty((axis.stride, some * inner * (most + extra) * width), cells.dtype)
    for sample, group, run in itertools.product(range(len(cells)), runs(g, some), runs(out, most)):
        by_phase = {}
        for phase in phases:
            steps = slice(run.start * axis.stride + phase, (run.stop + extra) * axis.stride, axis.stride)
            source = every[sample, group][last(steps, *[slice(None)] * len(others))]
            here = buffer[phase, : source.size].reshape(source.shape)
            copied(source, here)
            by_phase[phase] = here.reshape(len(source), inner, source.shape[-len(call.axes)] * width)
        count, first = (run.stop - run.start) * width, run.start * width
        by_row = [by_phase[phase][..., later * width : later * width + count] for later, phase in taps]
        yield Shared(sample, group, slice(first, first + count), by_row)
