"""Deformable convolution, DCNv1 and DCNv2, forward, with torchvision's meaning of offsets and masks.

y[n, o, p] = bias[o] + sum over i, t of weight[o, i, t] * mask[n, t, p] * x[n, i] at (stride*p + dilation*t - before +
offset[n, t, p]). Channel 2*t of an offset group moves tap t down, 2*t + 1 to the right. Between the cells x is
bilinear, around them zero: a sample fades to 0 over the last cell and is 0 outside (-1, H) x (-1, W), also at NaN.
Papers: Dai et al. 2017, "Deformable Convolutional Networks"; Zhu et al. 2019, "Deformable ConvNets v2".
"""

from __future__ import annotations

from math import floor, prod
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.kernels.arguments import Array, DeformCall, Numbers, deform_call, known, result
from convcli.kernels.conv import wrapped
from convcli.kernels.products import product
from convcli.kernels.windows import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convcli.axis import Padding

COLUMN_BYTES = 2**21  # what the columns of one product may take
CORNER_BYTES = 2**19  # what the four corners of the samples at work may take
BLAS_SIZE = 128  # numbers from which on rows are added up faster by a product of matrices than by einsum


def deform_conv2d(  # noqa: PLR0913 - torchvision's arguments
    x: npt.ArrayLike,
    offset: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    *,
    stride: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    method: str = "auto",
) -> Array:
    """y[n, o, p] = bias[o] + sum of weight[o, i, t] * mask[n, t, p] * x[n, i, stride*p + dilation*t - before + offset]

    x (N, C, H, W), offset (N, 2*og*T, *out), weight (O, C/groups, kh, kw), mask (N, og*T, *out) -> y (N, O, *out).
    T = kh*kw taps; groups and the offset groups og follow from the shapes; the mask is used as given. Offsets are in
    cells. x, offset and mask may all come without N. padding as for `conv`, never negative. method: a key of METHODS.
    Raises SpecError, naming the argument, for shapes, dtypes and values that do not fit.
    """
    run = known("method", method, METHODS)
    return result(
        METHODS, run, deform_call(x, offset, weight, bias, mask, stride=stride, padding=padding, dilation=dilation)
    )


def loops(call: DeformCall) -> Array:
    """The definition, one sample at a time in Python's own numbers."""
    weight, (rows, columns) = call.weight, call.axes
    (n_images, channels), (outs, per_group, _, width) = call.x.shape[:2], weight.shape
    taps, per_offset = prod(call.kernel), channels // call.offset_groups
    y = np.empty((n_images, outs, *call.out), np.int64 if call.x.dtype.kind == "i" else np.float64)
    for n, o, p, q in np.ndindex(*y.shape):
        first = o // (outs // call.groups) * per_group
        total = 0
        for i in range(per_group):
            for t in range(taps):
                k = (first + i) // per_offset * taps + t
                down = p * rows.stride - rows.before + t // width * rows.dilation + call.offset.item(n, 2 * k, p, q)
                right = (
                    q * columns.stride
                    - columns.before
                    + t % width * columns.dilation
                    + call.offset.item(n, 2 * k + 1, p, q)
                )
                scale = 1 if call.mask is None else call.mask.item(n, k, p, q)
                total += weight.item(o, i, t // width, t % width) * scale * sample(call.x[n, first + i], down, right)
        y[n, o, p, q] = wrapped(total)
    return y


def sample(image: Array, down: float, right: float) -> float:
    """The value of image (H, W) at a point between its cells; 0 outside the open square (-1, H) x (-1, W)."""
    height, width = image.shape
    if not (-1 < down < height and -1 < right < width):
        return 0
    top, left = floor(down), floor(right)
    value = 0
    for row, part in ((top, top + 1 - down), (top + 1, down - top)):
        for column, share in ((left, left + 1 - right), (left + 1, right - left)):
            if 0 <= row < height and 0 <= column < width:
                value += part * share * image.item(row, column)
    return value


def gather(call: DeformCall) -> Array:
    """Every sample as a row of channels, the rows of a position as one of a matrix, then one product per block.

    weight (O, C*T) and the columns (P, T*C) disagree on the order: one of the two is turned, a number of the columns
    in three times the time of one of the weight.
    """
    (n, channels), outs, og, g = call.x.shape[:2], len(call.weight), call.offset_groups, call.groups
    taps, positions, per_group = prod(call.kernel), prod(call.out), channels // call.groups
    turned = 3 * positions < outs  # the columns; the weight otherwise
    by_tap = call.weight.reshape(g, outs // g, per_group, taps)
    weight = (by_tap if turned else by_tap.swapaxes(2, 3)).reshape(g, outs // g, taps * per_group)
    most = min(positions, max(256, COLUMN_BYTES // max(1, channels * taps * call.x.itemsize)))
    columns = np.empty((most, taps, channels), call.x.dtype)
    y = np.empty((n, g, outs // g, positions), call.x.dtype)
    for image in range(n):
        cells = surrounded(call.x[image], og)
        for block in runs(positions, most):
            rows, shares = samples(call, image, block)
            here = columns[: len(rows)]
            added_up(cells, rows.reshape(-1, 4), shares.reshape(-1, 4), here.reshape(rows[..., 0].size, channels // og))
            by_group = here.reshape(len(rows), taps, g, per_group)
            by_group = by_group.transpose(2, 3, 1, 0) if turned else by_group.transpose(2, 1, 3, 0)
            product(weight, by_group.reshape(g, taps * per_group, len(rows)), y[image, ..., block])
    return y.reshape(n, outs, *call.out)


def added_up(cells: Array, rows: npt.NDArray[np.intp], shares: Array, out: Array) -> None:
    """out[m] = sum over k of shares[m, k] * cells[rows[m, k]], for out (M, width), rows and shares (M, K).

    The rows are copied to one buffer that stays in the cache: new arrays, or all rows at once, take twice as long.
    """
    width, count = cells.shape[1], rows.shape[1]
    most = max(16, CORNER_BYTES // max(1, count * width * cells.itemsize))
    buffer = np.empty((min(most, len(rows)), count, width), cells.dtype)
    for part in runs(len(rows), most):
        values = np.take(cells, rows[part], axis=0, out=buffer[: part.stop - part.start], mode="clip")  # no copy of out
        if count * width < BLAS_SIZE:
            np.einsum("mkc,mk->mc", values, shares[part], out=out[part])
        else:
            np.matmul(shares[part, None], values, out=out[part, None])


def surrounded(image: Array, og: int) -> Array:
    """(C, H, W) -> (og * (H+3) * (W+3), C/og): a row per cell, one cell of zeros before and two after on both axes."""
    channels, height, width = image.shape
    cells = np.zeros((og, height + 3, width + 3, channels // og), image.dtype)
    cells[:, 1:-2, 1:-2] = np.moveaxis(image.reshape(og, channels // og, height, width), 1, -1)
    return cells.reshape(og * (height + 3) * (width + 3), channels // og)


def samples(call: DeformCall, image: int, block: slice) -> tuple[npt.NDArray[np.intp], Array]:
    """(the rows of `surrounded`, their shares), both (P, T, og, 4), for the positions `block` of one image.

    A coordinate is cut to [-1, size]: there, as further out, its corners are zeros. fmax turns NaN into -1.
    """
    og, (height, width) = call.offset_groups, call.space
    moves = call.offset[image].reshape(og, prod(call.kernel), 2, prod(call.out))[..., block]
    taps = np.indices(call.kernel).reshape(2, -1, 1)
    positions = np.unravel_index(np.arange(block.start, block.stop), call.out)
    lows, parts = [], []
    for place, (axis, size) in enumerate(zip(call.axes, call.space, strict=True)):
        base = positions[place] * axis.stride - axis.before + taps[place] * axis.dilation
        there = moves[:, :, place] + base.astype(moves.dtype)
        np.fmax(there, -1, out=there)
        np.fmin(there, size, out=there)
        low = np.floor(there)
        parts.append(there - low)
        lows.append(low.astype(np.intp))
    first = (np.arange(og)[:, None, None] * (height + 3) + lows[0] + 1) * (width + 3) + lows[1] + 1
    (down, right), up, left = parts, 1 - parts[0], 1 - parts[1]
    if call.mask is not None:
        scale = call.mask[image].reshape(og, prod(call.kernel), prod(call.out))[..., block]
        up, down = up * scale, down * scale
    rows, shares = np.empty((*first.T.shape, 4), np.intp), np.empty((*first.T.shape, 4), call.x.dtype)
    corners = ((0, up, left), (1, up, right), (width + 3, down, left), (width + 4, down, right))
    for corner, (step, by_row, by_column) in enumerate(corners):  # broadcasting over the four takes five times as long
        np.add(first, step, out=rows[..., corner].T)
        np.multiply(by_row, by_column, out=shares[..., corner].T)
    return rows, shares


METHODS: Mapping[str, Callable[[DeformCall], Array]] = MappingProxyType(
    {"auto": gather, "loops": loops, "gather": gather}
)
