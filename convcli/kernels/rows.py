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
from convcli.kernels.windows import copied, last, padded, runs, windows

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array, Call

COLUMN_BYTES = 2**20  # what the columns at work may take
FEW_CHANNELS, WIDTH = 8, 16  # of a group at most, and positions in a row at least: there the copies decide
Piece = tuple[int, slice, slice]  # a sample, some groups, some rows of the output


def sharing(call: Call) -> bool:
    """Whether sharing columns saves more than adding up products costs."""
    return call.groups > 1 and call.weight.shape[1] <= FEW_CHANNELS and prod(call.out[1:]) >= WIDTH


def by_rows(call: Call) -> Array:
    """y = sum over the kernel's rows of weight (groups, O/groups, C/groups * other taps) @ their columns."""
    rows, g, (channels, first) = Rows.of(call), call.groups, call.weight.shape[1:3]
    outs = len(call.weight) // g
    weight = np.moveaxis(call.weight.reshape(g, outs, channels, first, prod(call.kernel[1:])), 3, 0)
    weight = weight.reshape(first, g, outs, rows.inner)
    y = np.empty((len(call.x), g, outs, prod(call.out)), call.x.dtype)

    buffer, room = rows.buffer(), np.empty(rows.groups * outs * rows.most * rows.width, y.dtype)
    for sample, group, run in itertools.product(range(len(y)), runs(g, rows.groups), runs(call.out[0], rows.most)):
        into = y[sample, group, :, run.start * rows.width : run.stop * rows.width]
        for row, columns in enumerate(rows.columns((sample, group, run), buffer)):
            if row:
                into += np.matmul(weight[row, group], columns, out=room[: into.size].reshape(into.shape))
            else:
                np.matmul(weight[row, group], columns, out=into)
    return y.reshape(len(y), g * outs, *call.out)


def weight_by_rows(call: Call, dy: Array) -> Array:
    """dw (O, C/groups, *kernel): that of a row of the kernel is its columns @ dy^T, or dy @ columns^T."""
    rows, g, (channels, first) = Rows.of(call), call.groups, call.weight.shape[1:3]
    outs = len(call.weight) // g
    by_group = dy.reshape(len(dy), g, outs, prod(call.out))
    turned = outs <= rows.inner  # the matrix with more rows first
    dw = np.zeros((first, g, rows.inner, outs) if turned else (first, g, outs, rows.inner), dy.dtype)

    buffer = rows.buffer()
    for group, sample, run in itertools.product(runs(g, rows.groups), range(len(dy)), runs(call.out[0], rows.most)):
        there = by_group[sample, group, :, run.start * rows.width : run.stop * rows.width]
        for row, columns in enumerate(rows.columns((sample, group, run), buffer)):
            dw[row, group] += columns @ there.swapaxes(1, 2) if turned else there @ columns.swapaxes(1, 2)
    dw = dw.swapaxes(2, 3) if turned else dw
    return np.moveaxis(dw.reshape(first, g * outs, channels, *call.kernel[1:]), 0, 2)


class Rows(NamedTuple):
    """A layer's windows along all axes but the first, and how much of them is copied at a time."""

    windows: Array  # (N, groups, C/groups, *other taps, rows of cells, *other positions)
    taps: list[tuple[int, int]]  # how many rows later a row of the kernel reads, and the phase of the stride
    stride: int
    inner: int  # rows of a group's columns
    width: int  # positions in a row
    groups: int  # at a time
    most: int  # rows of the output at a time

    @classmethod
    def of(cls, call: Call) -> Rows:
        """As many groups, then rows, as COLUMN_BYTES hold the columns of."""
        axis, g, (out, *others), cells = call.axes[0], call.groups, call.out, padded(call)
        every = windows(cells, (Axis(1), *call.axes[1:]), (cells.shape[2], *others))[:, :, 0]
        every = every.reshape(len(cells), g, cells.shape[1] // g, *every.shape[2:])
        inner, width = cells.shape[1] // g * prod(call.kernel[1:]), prod(others)
        taps = [divmod(tap * axis.dilation, axis.stride) for tap in range(axis.kernel)]
        rows = COLUMN_BYTES // max(1, len({phase for _, phase in taps}) * inner * width * cells.itemsize)  # of a group
        groups = max(1, min(g, rows // (out + taps[-1][0])))
        blocks = -(-out // max(1, rows // groups - taps[-1][0]))
        return cls(every, taps, axis.stride, inner, width, groups, max(1, -(-out // max(1, blocks))))

    def buffer(self) -> Array:
        """Room for the columns at work."""
        return np.empty(
            (self.stride, self.groups * self.inner * (self.most + self.taps[-1][0]) * self.width), self.windows.dtype
        )

    def columns(self, piece: Piece, buffer: Array) -> list[Array]:
        """For each row of the kernel (groups, C/groups * other taps, positions); each phase is copied once."""
        sample, group, run = piece
        later, others = self.taps[-1][0], len(self.windows.shape) // 2 - 2
        by_phase = {}
        for phase in sorted({phase for _, phase in self.taps}):
            steps = slice(run.start * self.stride + phase, (run.stop + later) * self.stride, self.stride)
            source = self.windows[sample, group][last(steps, *[slice(None)] * others)]
            here = buffer[phase, : source.size].reshape(source.shape)
            copied(source, here)
            by_phase[phase] = here.reshape(len(source), self.inner, source.shape[-1 - others] * self.width)
        count = (run.stop - run.start) * self.width
        return [by_phase[phase][..., q * self.width : q * self.width + count] for q, phase in self.taps]
