"""The gradients of deformable RoI pooling in its input, offsets and masks: the derivatives of the forward pass.

With v = sum over the corners of share * cell the value at a sample, and g = dy / (samples of the bin):
    dx[image, c, corner] += g * mask * share            dmask += g * v, over channels and samples
    doffset[0] += gamma * width * g * mask * dv/dright  doffset[1] += gamma * height * g * mask * dv/ddown
Where v has a kink, at whole coordinates, dv is the derivative to the right; where a sample reads the edge alone, 0.
(mmcv's CUDA kernel goes on with the slope of the cells inside there: docs/roi-pooling.md.)
"""

from __future__ import annotations

from math import floor
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from convcli.kernels.arguments import Array, Numbers, known, quiet
from convcli.kernels.roi_call import RoICall, roi_call
from convcli.kernels.roi_pool import bin_samples, blocks, by_image, corners, parts, product, put, rows_of, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Gradients = tuple[Array, Array | None, Array | None]
    Method = Callable[[RoICall, Array], Gradients]


@overload
def deform_roi_pool_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    rois: npt.ArrayLike,
    offset: npt.ArrayLike | None = None,
    mask: None = None,
    *,
    output_size: Numbers,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    gamma: float = 0.1,
    method: str = "auto",
) -> tuple[Array, Array | None]: ...


@overload
def deform_roi_pool_backward(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    rois: npt.ArrayLike,
    offset: npt.ArrayLike | None,
    mask: npt.ArrayLike,
    *,
    output_size: Numbers,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    gamma: float = 0.1,
    method: str = "auto",
) -> tuple[Array, Array | None, Array]: ...


def deform_roi_pool_backward(  # noqa: PLR0913 - mmcv's arguments
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    rois: npt.ArrayLike,
    offset: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    *,
    output_size: Numbers,
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    gamma: float = 0.1,
    method: str = "auto",
) -> tuple[Array, Array | None] | tuple[Array, Array | None, Array]:
    """(dx, doffset), with a mask (dx, doffset, dmask), of `deform_roi_pool`, for dy of the shape of its output.

    x, rois, offset, mask and the keywords are `deform_roi_pool`'s; each gradient has its argument's shape and x's
    dtype; doffset is None without offsets. Boxes have no gradient. method: a key of METHODS.
    Raises SpecError, naming the argument, for shapes, dtypes and values that do not fit.
    """
    run = METHODS[known("method", method, METHODS)]
    call = roi_call(
        x,
        rois,
        offset,
        mask,
        output_size=output_size,
        spatial_scale=spatial_scale,
        sampling_ratio=sampling_ratio,
        gamma=gamma,
    )
    with quiet():
        dx, doffset, dmask = run(call, call.output_gradient(dy))
        moved = None if doffset is None else doffset.astype(call.dtype, copy=False)
        if dmask is None:
            return dx.astype(call.dtype, copy=False), moved
        return dx.astype(call.dtype, copy=False), moved, dmask.astype(call.dtype, copy=False)


def loops(call: RoICall, dy: Array) -> Gradients:
    """The definition, one product at a time in Python's own numbers."""
    dx, doffset, dmask = np.zeros(call.x.shape), np.zeros((len(dy), 2, *call.bins)), np.zeros((len(dy), 1, *call.bins))
    for r, c, p, q in np.ndindex(*dy.shape):
        image, samples = call.images[r], list(bin_samples(call, r, p, q))
        scale = 1 if call.mask is None else call.mask.item(r, 0, p, q)
        for down, right in samples:
            gradient = dy.item(r, c, p, q) / len(samples)
            for row, column, share, by_down, by_right in cells_at(call.x.shape[2:], down, right):
                cell = call.x.item(image, c, row, column)
                dx[image, c, row, column] += gradient * scale * share
                dmask[r, 0, p, q] += gradient * share * cell
                doffset[r, 0, p, q] += call.gamma * call.size.item(r, 1) * gradient * scale * by_right * cell
                doffset[r, 1, p, q] += call.gamma * call.size.item(r, 0) * gradient * scale * by_down * cell
    return dx, None if call.offset is None else doffset, None if call.mask is None else dmask


def cells_at(space: tuple[int, ...], down: float, right: float) -> Iterator[tuple[int, int, float, float, float]]:
    """(row, column, share, d share/d down, d share/d right) of each cell that a sample reads."""
    (height, width) = space
    if not (-1 <= down <= height and -1 <= right <= width):
        return
    for row, part, up in along(height, down):
        for column, other, over in along(width, right):
            yield row, column, part * other, up * other, part * over


def along(size: int, there: float) -> tuple[tuple[int, float, float], ...]:
    """(cell, its share, the share's derivative) along one axis."""
    if there < 0:
        return ((0, 1.0, 0.0),)
    if there >= size - 1:
        return ((size - 1, 1.0, 0.0),)
    low = floor(there)
    return ((low, low + 1 - there, -1.0), (low + 1, there - low, 1.0))


def gather(call: RoICall, dy: Array) -> Gradients:
    """Block by block of bins: each corner's cell times g, summed over channels, meets the shares and their slopes."""
    dx = np.zeros(call.x.shape, call.x.dtype)
    doffset, dmask = np.zeros((len(dy), 2, *call.bins), dx.dtype), np.zeros((len(dy), 1, *call.bins), dx.dtype)
    for image, regions in by_image(call):
        cells = rows_of(call, image)
        dcells, channel = np.zeros_like(cells), np.arange(cells.shape[1])
        for bins, down, right in blocks(call, regions):
            g = dy.reshape(*dy.shape[:2], -1)[bins[0], :, bins[1]] / samples_of(call, bins, dy.dtype)
            scaled = g if call.mask is None else g * call.mask.reshape(len(dy), -1)[bins][:, None]
            slopes, values = np.zeros((2, len(g)), g.dtype), np.zeros(len(g), g.dtype)
            for part in parts(down, right, cells):
                rows, shares = corners(call, part, right)
                for some in slices(rows, cells):
                    dots = np.einsum("mkc,mc->mk", cells[rows[some]], g[some])
                    values[some] += np.einsum("mk,mk->m", shares[some], dots)
                    for way, (vertical, across) in enumerate(
                        ((part.shares, right.slopes), (part.slopes, right.shares))
                    ):
                        slopes[way, some] += np.einsum("mk,mk->m", product(vertical[some], across[some]), dots)
                    places = (rows[some][..., None] * len(channel) + channel).reshape(-1)
                    np.add.at(dcells.reshape(-1), places, (shares[some][..., None] * scaled[some][:, None]).reshape(-1))
            put(dmask, bins, values[:, None])
            scale = 1 if call.mask is None else call.mask.reshape(len(dy), -1)[bins]
            put(doffset, bins, (slopes * scale).T * (call.gamma * call.widths[bins[0]]))
        dx[image] = dcells.T.reshape(dx.shape[1:])
    return dx, None if call.offset is None else doffset, None if call.mask is None else dmask


def slices(rows: Array, cells: Array) -> Iterator[slice]:
    """The bins in runs whose corners stay in the cache."""
    most = max(1, 2**19 // max(1, rows.shape[1] * cells.shape[1] * cells.itemsize))
    return (slice(first, first + most) for first in range(0, len(rows), most))


METHODS: Mapping[str, Method] = MappingProxyType({"auto": gather, "loops": loops, "gather": gather})
