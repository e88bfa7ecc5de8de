"""RoI pooling as a user might write it: box by box, the cells around each sample weighed by hand. No import of ours."""

from __future__ import annotations

from typing import Any

import numpy as np


def right(
    x: Any, rois: Any, offset: Any, mask: Any, output_size: Any, spatial_scale: Any, sampling_ratio: Any, gamma: Any
) -> Any:
    """Bin by bin."""
    y = np.zeros((len(rois), x.shape[1], *output_size), x.dtype)
    for place in np.ndindex(len(rois), *output_size):
        for row, column in reads(x, rois, offset, (output_size, spatial_scale, sampling_ratio, gamma), place):
            y[(place[0], slice(None), *place[1:])] += sum(
                share * other * x[int(rois[place[0], 0]), :, i, j] for i, share, _ in row for j, other, _ in column
            )
        y[(place[0], slice(None), *place[1:])] /= max(
            1, counted(rois[place[0]], output_size, spatial_scale, sampling_ratio)
        )
    return y if mask is None else y * mask


def flipped(
    x: Any, rois: Any, offset: Any, mask: Any, output_size: Any, spatial_scale: Any, sampling_ratio: Any, gamma: Any
) -> Any:
    """Offsets as (y, x)."""
    turned = None if offset is None else offset[:, ::-1]
    return right(x, rois, turned, mask, output_size, spatial_scale, sampling_ratio, gamma)


def backward(  # noqa: PLR0917 - it is called like ours
    dy: Any,
    x: Any,
    rois: Any,
    offset: Any,
    mask: Any,
    output_size: Any,
    spatial_scale: Any,
    sampling_ratio: Any,
    gamma: Any,
) -> Any:
    """(dx, doffset, dmask)"""
    dx, doffset = np.zeros_like(x), np.zeros_like(offset)
    dmask = None if mask is None else np.zeros_like(mask)
    for place in np.ndindex(len(rois), *output_size):
        region, p, q = place
        image = int(rois[region, 0])
        g = dy[region, :, p, q] / max(1, counted(rois[region], output_size, spatial_scale, sampling_ratio))
        scale = 1 if mask is None else mask[region, 0, p, q]
        width, height = (rois[region, 3:] - rois[region, 1:3]) * spatial_scale
        for row, column in reads(x, rois, offset, (output_size, spatial_scale, sampling_ratio, gamma), place):
            for (i, share, down), (j, other, over) in ((one, two) for one in row for two in column):
                cells = (g * x[image, :, i, j]).sum()
                dx[image, :, i, j] += g * share * other * scale
                doffset[region, 0, p, q] += gamma * width * share * over * cells * scale
                doffset[region, 1, p, q] += gamma * height * down * other * cells * scale
                if dmask is not None:
                    dmask[region, 0, p, q] += share * other * cells
    return dx, doffset, dmask


def counted(box: Any, size: Any, scale: Any, ratio: Any) -> int:
    """Samples of a bin."""
    grid = [ratio or max(0, int(np.ceil((box[4 - a] - box[2 - a]) * scale / bins))) for a, bins in enumerate(size)]
    return grid[0] * grid[1]


def reads(x: Any, rois: Any, offset: Any, numbers: Any, place: Any) -> Any:
    """For each sample of a bin (cells down, cells across), each cell with its share and its slope."""
    (size, scale, ratio, gamma), (region, *bins) = numbers, place
    box, along = rois[region], []
    for axis in (0, 1):
        start, length = box[2 - axis] * scale - box.dtype.type(0.5), (box[4 - axis] - box[2 - axis]) * scale
        if offset is not None:
            start = start + gamma * length * offset[(region, 1 - axis, *bins)]
        step, cells = length / size[axis], x.shape[2 + axis]
        grid = ratio or max(0, int(np.ceil(step)))
        there = [start + bins[axis] * step + (j + 0.5) * step / grid for j in range(grid)]
        along.append([near(at, cells) for at in there])
    return ((row, column) for row in along[0] for column in along[1])


def near(at: Any, cells: int) -> Any:
    """The cells that one coordinate reads."""
    if not -1 <= at <= cells:
        return []
    if at < 0 or at >= cells - 1:
        return [(0 if at < 0 else cells - 1, 1, 0)]
    low = int(at)
    return [(low, 1 - (at - low), -1), (low + 1, at - low, 1)]
