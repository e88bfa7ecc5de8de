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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from convcli.axis import Padding

COLUMN_BYTES = 2**22  # what the columns of one product may take
CORNER_BYTES = 2**20  # what the four corners of the samples at work may take


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
    """Every sample as a row of channels, the rows of a position as one of a matrix, then one product per block."""
    (n, channels), outs, og, g = call.x.shape[:2], len(call.weight), call.offset_groups, call.groups
    taps, positions, per_group = prod(call.kernel), prod(call.out), channels // call.groups
    by_tap = call.weight.reshape(g, outs // g, per_group, taps).transpose(0, 3, 2, 1)
    weight = by_tap.reshape(g, taps * per_group, outs // g)
    most = min(positions, max(256, COLUMN_BYTES // max(1, channels * taps * call.x.itemsize)))
    buffer = np.empty((most, taps, og, channels // og), call.x.dtype)
    y = np.empty((n, g, outs // g, positions), call.x.dtype)
    for image in range(n):
        cells = surrounded(call.x[image], og)
        for first in range(0, positions, most):
            block = slice(first, min(first + most, positions))
            columns = buffer[: block.stop - first]
            fill(columns, cells, *samples(call, image, block))
            by_group = np.moveaxis(columns.reshape(len(columns), taps, g, per_group), 2, 0)
            product = by_group.reshape(g, len(columns), taps * per_group) @ weight
            y[image, ..., block] = product.swapaxes(1, 2)
    return y.reshape(n, outs, *call.out)


def fill(columns: Array, cells: Array, rows: npt.NDArray[np.intp], shares: Array) -> None:
    """Write columns (P, T, og, C/og): the four `rows` of `cells` for each sample, added up by their `shares`."""
    width = cells.shape[1]
    run = max(16, CORNER_BYTES // max(1, rows[..., 0].size * width * cells.itemsize))
    for first in range(0, len(columns), run):
        part = slice(first, first + run)
        values = np.take(cells, rows[..., part], axis=0)
        np.einsum("kgtpc,kgtp->ptgc", values, shares[..., part], out=columns[part])


def surrounded(image: Array, og: int) -> Array:
    """(C, H, W) -> (og * (H+3) * (W+3), C/og): a row per cell, one cell of zeros before and two after on both axes."""
    channels, height, width = image.shape
    cells = np.zeros((og, height + 3, width + 3, channels // og), image.dtype)
    cells[:, 1:-2, 1:-2] = np.moveaxis(image.reshape(og, channels // og, height, width), 1, -1)
    return cells.reshape(og * (height + 3) * (width + 3), channels // og)


def samples(call: DeformCall, image: int, block: slice) -> tuple[npt.NDArray[np.intp], Array]:
    """(the rows of `surrounded`, their shares), both (4, og, T, P), for the positions `block` of one image.

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
        low = np.floor(there).astype(np.intp)
        parts.append((there - low).astype(there.dtype))
        lows.append(low)
    rows = np.empty((4, *lows[0].shape), np.intp)
    first = (np.arange(og)[:, None, None] * (height + 3) + lows[0] + 1) * (width + 3) + lows[1] + 1
    for corner, step in enumerate((0, 1, width + 3, width + 4)):
        np.add(first, step, out=rows[corner])
    (down, right), shares = parts, np.empty(rows.shape, call.x.dtype)
    np.multiply(
        np.stack((1 - down, down))[:, None], np.stack((1 - right, right)), out=shares.reshape(2, 2, *down.shape)
    )
    if call.mask is not None:
        shares *= call.mask[image].reshape(og, prod(call.kernel), prod(call.out))[..., block]
    return rows, shares


METHODS: Mapping[str, Callable[[DeformCall], Array]] = MappingProxyType(
    {"auto": gather, "loops": loops, "gather": gather}
)
