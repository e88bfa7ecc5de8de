"""The gradients of the deformable convolution in its input, offsets, weight, bias and mask, as torchvision has them.

With v the bilinear value of x[n, i] at a sampling point, v = sum over its four corners of share * cell, and
dcolumn = weight[o, i, t] * dy[n, o, p] summed over o:
    dw[o, i, t] += dy * mask * v            dx[n, i, corner] += dcolumn * mask * share
    dmask += dcolumn * v                    doffset += dcolumn * mask * (dv/ddown, dv/dright)
v has a kink at every whole coordinate: its derivative there is the one to the right, in both directions. Outside
[-1, H) x [-1, W) every gradient is 0, also at NaN.
"""

from __future__ import annotations

from math import floor, prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from convcli.kernels.arguments import (
    Array,
    DeformCall,
    Numbers,
    deform_call,
    known,
    output_gradient,
    per_sample,
    quiet,
)
from convcli.kernels.conv_backward import bias_gradient, exact_sums, exact_zeros
from convcli.kernels.deform import CORNER_BYTES, surrounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from convcli.axis import Axis, Padding

    Gradients = tuple[Array, Array, Array, Array | None]
    Method = Callable[[DeformCall, Array], Gradients]

AROUND = 3  # the cells of zeros that `surrounded` adds to an axis


def deform_conv2d_backward(  # noqa: PLR0913 - torchvision's arguments
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    offset: npt.ArrayLike,
    weight: npt.ArrayLike,
    mask: npt.ArrayLike | None = None,
    *,
    stride: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    method: str = "auto",
) -> tuple[Array, Array, Array, Array, Array | None]:
    """(dx, doffset, dw, db, dmask) of `deform_conv2d`, for dy (N, O, *out) of the shape of its output.

    x, offset, weight, mask and the keywords are `deform_conv2d`'s; each gradient has its argument's shape, db (O,),
    and x's dtype; dmask is None without a mask. Where a sampling point has a whole coordinate, doffset is the right
    derivative, as in torchvision. method: a key of METHODS["deform_conv2d_backward"].
    Raises SpecError, naming the argument, for shapes, dtypes and values that do not fit.
    """
    run = METHODS[known("method", method, METHODS)]
    call = deform_call(x, offset, weight, None, mask, stride=stride, padding=padding, dilation=dilation)
    g = output_gradient(dy, call, len(call.weight))
    with quiet():
        dx, doffset, dw, dmask = run(call, g)
        return (
            per_sample(call, dx),
            per_sample(call, doffset),
            dw.astype(call.dtype, copy=False),
            bias_gradient(call, g),
            None if dmask is None else per_sample(call, dmask),
        )


def loops(call: DeformCall, dy: Array) -> Gradients:
    """The definition, one product at a time in Python's own numbers."""
    dx, doffset, dw = exact_zeros(call.x), exact_zeros(call.offset), exact_zeros(call.weight)
    dmask = exact_zeros(call.offset[:, ::2])
    (rows, columns), (outs, per_group, _, width) = call.axes, call.weight.shape
    taps, per_offset = prod(call.kernel), call.x.shape[1] // call.offset_groups
    for (n, o, p, q), i, t in ((y, i, t) for y in np.ndindex(*dy.shape) for i in range(per_group) for t in range(taps)):
        channel = o // (outs // call.groups) * per_group + i
        k = channel // per_offset * taps + t
        down = coordinate(rows, p, t // width, call.offset[n, 2 * k, p, q])
        right = coordinate(columns, q, t % width, call.offset[n, 2 * k + 1, p, q])
        scale = 1 if call.mask is None else call.mask.item(n, k, p, q)
        gradient, w = dy.item(n, o, p, q), call.weight.item(o, i, t // width, t % width)
        for row, column, share, by_down, by_right in corners(call.space, down, right):
            cell = call.x.item(n, channel, row, column)
            dx[n, channel, row, column] += gradient * w * scale * share
            dw[o, i, t // width, t % width] += gradient * scale * share * cell
            dmask[n, k, p, q] += gradient * w * share * cell
            doffset[n, 2 * k, p, q] += gradient * w * scale * by_down * cell
            doffset[n, 2 * k + 1, p, q] += gradient * w * scale * by_right * cell
    given = None if call.mask is None else exact_sums(dmask, dy)
    return exact_sums(dx, dy), exact_sums(doffset, dy), exact_sums(dw, dy), given


def coordinate(axis: Axis, position: int, tap: int, moved: Any) -> float:
    """Where a tap samples, rounded to the offset's dtype: close to a whole number that decides on the side of it."""
    there: float = (moved + moved.dtype.type(position * axis.stride - axis.before + tap * axis.dilation)).item()
    return there


def corners(space: tuple[int, ...], down: float, right: float) -> Iterator[tuple[int, int, float, float, float]]:
    """(row, column, share, d share/d down, d share/d right) for each cell that a point between the cells reads."""
    height, width = space
    if not (-1 <= down < height and -1 <= right < width):
        return
    top, left = floor(down), floor(right)
    for row, part, up in ((top, top + 1 - down, -1), (top + 1, down - top, 1)):
        for column, other, over in ((left, left + 1 - right, -1), (left + 1, right - left, 1)):
            if 0 <= row < height and 0 <= column < width:
                yield row, column, part * other, up * other, part * over


def gather(call: DeformCall, dy: Array) -> Gradients:
    """Block by block of positions: dcolumns = weight^T @ dy, every sample's four corners, then dw += dy @ columns."""
    (n, channels), og, g = call.x.shape[:2], call.offset_groups, call.groups
    (outs, per_group), taps, positions = call.weight.shape[:2], prod(call.kernel), prod(call.out)
    by_tap = call.weight.reshape(g, outs // g, per_group, taps).transpose(0, 3, 1, 2)
    weight = np.ascontiguousarray(by_tap)  # (g, T, O/g, C/g)
    most = max(256, CORNER_BYTES // max(1, 4 * channels * call.x.itemsize))
    dx, dw, doffset = np.empty_like(call.x), np.zeros_like(weight), empty(call.offset)
    dmask = None if call.mask is None else empty(call.mask)
    for image in range(n):
        cells = surrounded(call.x[image], og)
        dcells = np.zeros_like(cells)
        for first in range(0, positions, most):
            block = slice(first, min(first + most, positions))
            points = sampling_points(call, image, block)
            gradient = dy[image].reshape(g, 1, outs // g, positions)[..., block]
            dcolumns = np.moveaxis(gradient.swapaxes(2, 3) @ weight, 0, 2).reshape(*points.first.shape, channels // og)
            columns, dots = visited(cells, dcells, points, dcolumns)
            by_group = np.moveaxis(columns.reshape(taps, columns.shape[1], g, per_group), 2, 0)
            dw += gradient @ by_group
            doffset[image].reshape(og, taps, 2, positions)[..., block] = np.moveaxis(points.slopes(dots), -1, 0)
            if dmask is not None:
                dmask[image].reshape(og, taps, positions)[..., block] = np.moveaxis(points.values(dots), -1, 0)
        dx[image] = inner(dcells, call)
    return dx, doffset, dw.transpose(0, 2, 3, 1).reshape(call.weight.shape), dmask


def empty(like: Array) -> Array:
    """An array of that shape in C's order, whatever the order of `like`: its reshaped views write into it."""
    return np.empty(like.shape, like.dtype)


class Points(NamedTuple):
    """The sampling points of a block: arrays (T, P, og), T taps, P positions, og groups of offsets.

    first: the row of `surrounded` with the corner above to the left; steps: how many rows further all four corners
    are; down, right: how far the point is from that corner; mask: as given, or 1.
    """

    first: npt.NDArray[np.intp]
    steps: tuple[int, int, int, int]
    down: Array
    right: Array
    mask: Array | int

    @property
    def shares(self) -> Array:
        """(4, T, P, og): what each corner counts in the value at the point."""
        down, right = np.stack((1 - self.down, self.down)), np.stack((1 - self.right, self.right))
        four: Array = (down[:, None] * right).reshape(4, *self.first.shape)
        return four

    def values(self, dots: Array) -> Array:
        """dmask (T, P, og), from each corner's cell times dcolumn, `dots` (4, T, P, og)."""
        total: Array = (self.shares * dots).sum(axis=0, dtype=dots.dtype)
        return total

    def slopes(self, dots: Array) -> Array:
        """doffset (T, 2, P, og), from each corner's cell times dcolumn, `dots` (4, T, P, og)."""
        by_down = (1 - self.right) * (dots[2] - dots[0]) + self.right * (dots[3] - dots[1])
        by_right = (1 - self.down) * (dots[1] - dots[0]) + self.down * (dots[3] - dots[2])
        return np.stack((by_down * self.mask, by_right * self.mask), axis=1)


def sampling_points(call: DeformCall, image: int, block: slice) -> Points:
    """The points of one image at the positions `block`.

    One outside [-1, size), or at NaN, is moved to `size`: there its corners are zeros, and so are its slopes.
    """
    og, taps, positions, width = call.offset_groups, prod(call.kernel), prod(call.out), call.space[1] + AROUND
    moves = np.moveaxis(call.offset[image].reshape(og, taps, 2, positions)[..., block], 0, -1)
    tap = np.indices(call.kernel).reshape(2, taps, 1, 1)
    position = np.unravel_index(np.arange(block.start, block.stop)[:, None], call.out)
    row: npt.NDArray[np.intp] = np.arange(og)
    parts = []
    for place, (axis, size) in enumerate(zip(call.axes, call.space, strict=True)):
        base = position[place] * axis.stride - axis.before + tap[place] * axis.dilation
        there = moves[:, place] + base.astype(moves.dtype)
        there = np.where((there >= -1) & (there < size), there, moves.dtype.type(size))
        low = np.floor(there).astype(np.intp)
        parts.append((there - low).astype(there.dtype))
        row = row * (size + AROUND) + low + 1
    mask: Array | int = 1
    if call.mask is not None:
        mask = np.moveaxis(call.mask[image].reshape(og, taps, positions)[..., block], 0, -1)
    return Points(row, (0, 1, width, width + 1), parts[0], parts[1], mask)


def visited(cells: Array, dcells: Array, points: Points, dcolumns: Array) -> tuple[Array, Array]:
    """Tap by tap: add dcolumn * mask * share to each corner of `dcells`; columns and each corner's cell * dcolumn.

    dcolumns and columns are (T, P, og, C/og), what is returned for the corners (4, T, P, og).
    """
    columns, shares = np.empty_like(dcolumns), points.shares * points.mask
    dots, channel = np.empty_like(shares), np.arange(cells.shape[1])
    corner = np.empty((4, *dcolumns.shape[1:]), cells.dtype)
    for tap, (rows, dcolumn) in enumerate(zip(points.first, dcolumns, strict=True)):
        for step, values in zip(points.steps, corner, strict=True):
            np.take(cells[step:], rows, axis=0, out=values, mode="clip")
        np.einsum("kpgc,kpg->pgc", corner, shares[:, tap], out=columns[tap])
        np.einsum("kpgc,pgc->kpg", corner, dcolumn, out=dots[:, tap])
        np.multiply(dcolumn, shares[:, tap, ..., None], out=corner)
        places = (rows[..., None] * len(channel) + channel).reshape(-1)
        for step, shared in zip(points.steps, corner, strict=True):  # flat: numpy adds along one axis far faster
            np.add.at(dcells[step:].reshape(-1), places, shared.reshape(-1))
    return columns, dots


def inner(dcells: Array, call: DeformCall) -> Array:
    """The adjoint of `surrounded`: (og * (H+3) * (W+3), C/og) -> (C, H, W)."""
    grid = dcells.reshape(call.offset_groups, *[size + AROUND for size in call.space], dcells.shape[1])
    image: Array = np.moveaxis(grid[:, 1:-2, 1:-2], -1, 1).reshape(call.x.shape[1:])
    return image


METHODS: Mapping[str, Method] = MappingProxyType({"auto": gather, "loops": loops, "gather": gather})
