"""Windows of cells: their largest, their mean, or the cells between them."""

from __future__ import annotations

import math
from functools import reduce
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends.companions.values import FUNCTION, Values
from convcli.layers.pool import AdaptivePool, Pool
from convcli.layers.rearrange import Upsample

if TYPE_CHECKING:
    from convcli.backends import Arrays


def pool(layer: Pool, arrays: Arrays) -> Values:
    """Tap by tap over the padded input: cells that no padding covers are left out of a mean's count."""
    x, rank = arrays["x"], len(layer.axes)
    out = layer.output(x.shape[-1 - rank :])[1:]
    size = x.shape[-rank:]
    largest = layer.function == "max"
    y = np.full((*x.shape[:-rank], *out), -np.inf if largest else 0.0)
    total, cells = np.zeros_like(y), np.zeros(out)
    for tap in product(*(range(axis.kernel) for axis in layer.axes)):
        places = [
            np.arange(o) * a.stride + t * a.dilation - a.before for o, a, t in zip(out, layer.axes, tap, strict=True)
        ]
        inside = reduce(np.multiply.outer, [(p >= 0) & (p < n) for p, n in zip(places, size, strict=True)])
        padded = [(-a.before <= p) & (p < n + a.after) for p, n, a in zip(places, size, layer.axes, strict=True)]
        near: Any = np.ix_(*(np.clip(p, 0, n - 1) for p, n in zip(places, size, strict=True)))
        seen = x[(..., *near)]
        if largest:
            y = np.maximum(y, np.where(inside, seen, -np.inf))
        else:
            y, total = y + np.where(inside, seen, 0.0), total + np.where(inside, np.abs(seen), 0.0)
            cells += reduce(np.multiply.outer, padded) if layer.count_include_pad else inside
    if largest:
        return Values(y)
    divisor = cells if layer.divisor_override is None else layer.divisor_override
    return Values(y / divisor, total / divisor, math.prod(axis.kernel for axis in layer.axes) + 1)


def adaptive_pool(layer: AdaptivePool, arrays: Arrays) -> Values:
    """Axis after axis: the largest, or the mean of means, of the cells from floor(p*in/out) to ceil((p+1)*in/out)."""
    y, scale, n = arrays["x"], np.abs(arrays["x"]), 1
    rank = len(layer.output_size)
    for axis, (size, out) in enumerate(
        zip(y.shape[-rank:], layer.output(y.shape[-1 - rank :])[1:], strict=True), -rank
    ):
        windows = [slice(p * size // out, -(-(p + 1) * size // out)) for p in range(out)]
        narrow = [(slice(None),) * (y.ndim + axis) + (window,) for window in windows]
        if layer.function == "max":
            y = np.stack([y[cut].max(axis=axis) for cut in narrow], axis=axis)
        else:
            y, scale = (np.stack([v[cut].mean(axis=axis) for cut in narrow], axis=axis) for v in (y, scale))
            n *= max(window.stop - window.start for window in windows)
    return Values(y) if layer.function == "max" else Values(y, scale, n + 1)


def upsample(layer: Upsample, arrays: Arrays) -> Values:
    """Axis after axis: the nearest cell, or the shares of two neighbours.

    Where a cell's place rounds, by as much as the axis is long, so do its shares.
    """
    y, rank = arrays["x"], layer.dims
    scale, roundings = np.abs(y), FUNCTION
    for place, out in enumerate(layer.output(y.shape[-1 - rank :])[1:]):
        axis, size = place - rank, y.shape[place - rank]
        said = layer.scale_factor[place] if isinstance(layer.scale_factor, tuple) else None
        step = size / out if said is None else 1 / said
        if layer.mode == "nearest":  # PyTorch places the cells in single precision
            cells = np.floor(np.arange(out, dtype=np.float32) * np.float32(step)).astype(int)
            y = np.take(y, np.minimum(cells, size - 1), axis)
            continue
        corners = np.arange(out) * ((size - 1) / max(1, out - 1))
        cells = np.clip(corners if layer.align_corners else (np.arange(out) + 0.5) * step - 0.5, 0, size - 1)
        below = np.floor(cells).astype(int)
        share = np.reshape(cells - below, (-1, *(1,) * (-axis - 1)))
        y, scale = (
            np.take(v, below, axis) * (1 - share) + np.take(v, np.minimum(below + 1, size - 1), axis) * share
            for v in (y, scale)
        )
        roundings += 2 * size
    return Values(y) if layer.mode == "nearest" else Values(y, scale + np.abs(arrays["x"]).max(initial=0), roundings)
