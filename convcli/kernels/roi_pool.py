"""Deformable RoI pooling with mmcv's meaning of boxes, offsets and samples; without offsets RoIAlign (aligned).

y[r, c, p, q] = mask[r, p, q] * mean over j, l of x[image, c] at (top + p*h + (j + 1/2)*h/g, left + q*w + (l + 1/2)*w/k)
with top = y1*scale - 1/2 + gamma*height*offset[r, 1, p, q], h = height/rows; left and w likewise with x1 and channel 0.
Papers: Dai et al. 2017, "Deformable Convolutional Networks"; He et al. 2017, "Mask R-CNN" (RoIAlign).
"""

from __future__ import annotations

from math import floor
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convcli.kernels.arguments import Array, Numbers, known, quiet
from convcli.kernels.deform import CORNER_BYTES, added_up
from convcli.kernels.roi_call import Reads, RoICall, Whole, reads, roi_call
from convcli.kernels.windows import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def deform_roi_pool(  # noqa: PLR0913 - mmcv's arguments
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
) -> Array:
    """y[r, c, p, q] = mask[r, p, q] * the mean of x[image, c] at the samples of bin (p, q) of box r, which offsets move

    x (N, C, H, W), rois (R, 5) = (image, x1, y1, x2, y2), offset (R, 2, rows, columns) with channel 0 to the right and
    1 down in units of gamma * the box's size, mask (R, 1, rows, columns) -> y (R, C, rows, columns).
    sampling_ratio: samples of a bin along each axis; 0: as many as it has cells, rounded up. method: a key of METHODS.
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
        return run(call).astype(call.dtype, copy=False)


def loops(call: RoICall) -> Array:
    """The definition, one sample at a time in Python's own numbers."""
    y = np.empty(call.out, np.float64)
    for r, c, p, q in np.ndindex(*y.shape):
        image, samples = call.x[call.images[r], c], list(bin_samples(call, r, p, q))
        total = sum(sample(image, down, right) for down, right in samples)
        scale = 1 if call.mask is None else call.mask.item(r, 0, p, q)
        y[r, c, p, q] = total / max(len(samples), 1) * scale
    return y


def bin_samples(call: RoICall, r: int, p: int, q: int) -> Iterator[tuple[float, float]]:
    """(down, right) of each sample of one bin."""
    across = []
    for axis, place in enumerate((p, q)):
        start, size, grid = call.start.item(r, axis), call.size.item(r, axis), int(call.grid[r, axis])
        if call.offset is not None:
            start += call.gamma * size * call.offset.item(r, 1 - axis, p, q)
        step = size / call.bins[axis]
        across.append([start + place * step + (j + 0.5) * step / grid for j in range(grid)])
    return ((down, right) for down in across[0] for right in across[1])


def sample(image: Array, down: float, right: float) -> float:
    """The value of image (H, W) at a point: its edge goes on for a cell, and beyond that it is 0."""
    height, width = image.shape
    if not (-1 <= down <= height and -1 <= right <= width):
        return 0.0
    down, right = min(max(down, 0), height - 1), min(max(right, 0), width - 1)
    top, left = floor(down), floor(right)
    value = 0.0
    for row, part in ((top, top + 1 - down), (min(top + 1, height - 1), down - top)):
        for column, share in ((left, left + 1 - right), (min(left + 1, width - 1), right - left)):
            value += part * share * image.item(row, column)
    return value


def gather(call: RoICall) -> Array:
    """Image by image, cells as rows of channels: a bin is one sum of shares times rows, bins in blocks."""
    y = np.zeros(call.out, call.x.dtype)
    for image, regions in by_image(call):
        cells = rows_of(call, image)
        for bins, down, right in blocks(call, regions):
            total = np.zeros((len(down.cells), cells.shape[1]), cells.dtype)
            found = np.empty_like(total)
            for part in parts(down, right, cells):
                rows, shares = corners(call, part, right)
                added_up(cells, rows, shares, found)
                total += found
            put(y, bins, total / samples_of(call, bins, cells.dtype))
    return y if call.mask is None else y * call.mask


def by_image(call: RoICall) -> Iterator[tuple[int, Whole]]:
    """(image, its regions)"""
    for image in np.unique(call.images):
        yield int(image), np.flatnonzero(call.images == image)


def blocks(call: RoICall, regions: Whole) -> Iterator[tuple[tuple[Whole, Whole], Reads, Reads]]:
    """((region, bin of it), reads down, reads across), all bins of few regions at a time; none without samples.

    The regions of a block have equally many samples to a bin. The reads are (bins, 2 * samples), a row for each bin.
    """
    count = call.bins[0] * call.bins[1]
    different, which = np.unique(call.grid[regions], axis=0, return_inverse=True)
    for number, grid in enumerate(different):
        alike = regions[which.reshape(-1) == number]
        most = max(1, CORNER_BYTES // (count * 4 * max(1, int(grid.max())) * call.x.itemsize))
        for here in [alike[run] for run in runs(len(alike), most)] if grid.all() else []:
            found = [reads(call.coordinates(axis, here), call.x.shape[2 + axis], call.measure) for axis in range(2)]
            down, right = (Reads(*(array.reshape(len(here) * count, -1) for array in one)) for one in found)
            yield (here.repeat(count), np.tile(np.arange(count), len(here))), down, right


def parts(down: Reads, right: Reads, cells: Array) -> Iterator[Reads]:
    """The reads down in runs, so that bins of very many samples take no more room than those of few."""
    most = max(2, CORNER_BYTES // max(1, right.cells.shape[1] * cells.shape[1] * cells.itemsize))
    return (Reads(*(array[:, run] for array in down)) for run in runs(down.cells.shape[1], most))


def corners(call: RoICall, down: Reads, right: Reads) -> tuple[Whole, Array]:
    """(rows of `rows_of`, shares), both (bins, reads down * reads across)."""
    rows = down.cells[:, :, None] * call.x.shape[3] + right.cells[:, None]
    return rows.reshape(len(rows), -1), product(down.shares, right.shares)


def product(down: Array, right: Array) -> Array:
    """(bins, a), (bins, b) -> (bins, a * b)"""
    return (down[:, :, None] * right[:, None]).reshape(len(down), -1)


def rows_of(call: RoICall, image: int) -> Array:
    """(H * W, C): an image's cells as rows of channels."""
    return np.ascontiguousarray(call.x[image].reshape(call.x.shape[1], -1).T)


def samples_of(call: RoICall, bins: tuple[Whole, Whole], dtype: npt.DTypeLike) -> Array:
    """(bins, 1): how many samples each has."""
    counts: Array = call.grid[bins[0]].prod(axis=1).astype(dtype)
    return counts[:, None]


def put(y: Array, bins: tuple[Whole, Whole], values: Array) -> None:
    """values (bins, C) to their places in y (R, C, rows, columns)."""
    y.reshape(*y.shape[:2], -1)[bins[0], :, bins[1]] = values


METHODS: Mapping[str, Callable[[RoICall], Array]] = MappingProxyType({"auto": gather, "loops": loops, "gather": gather})
