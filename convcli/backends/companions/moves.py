"""Joins of several inputs, sums over axes, and what only moves elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends.companions.values import Values
from convcli.layers.joins import Arithmetic, Concat
from convcli.layers.rearrange import Flatten, Pad, Permute, PixelShuffle, Reduce, Reshape

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
TWO: Mapping[str, Callable[[Array, Array], Array]] = MappingProxyType(
    {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum, "min": np.minimum}
)


def inputs(arrays: Arrays) -> list[Any]:
    """x, x2, x3, ..."""
    return [arrays[name] for name in ("x", *(f"x{place}" for place in range(2, len(arrays) + 1))) if name in arrays]


def arithmetic(layer: Arithmetic, arrays: Arrays) -> Values:
    """x1 + x2 + ..., or their product, difference, quotient, largest, smallest."""
    y = reduce(TWO[layer.function], inputs(arrays))
    if layer.function in {"max", "min"}:
        return Values(y)
    size = {"sub": np.add}.get(layer.function, TWO[layer.function])
    return Values(y, reduce(size, map(np.abs, inputs(arrays))), len(inputs(arrays)))


def reduced(layer: Reduce, arrays: Arrays) -> Values:
    """The mean, sum, largest or smallest over axes."""
    x, axes = arrays["x"], layer.dims
    y = getattr(np, layer.function)(x, axis=axes, keepdims=layer.keepdim)
    if layer.function in {"max", "min"}:
        return Values(y)
    scale = getattr(np, layer.function)(np.abs(x), axis=axes, keepdims=layer.keepdim)
    return Values(y, scale, math.prod(x.shape[axis] for axis in axes) + 1)


def pixel_shuffle(layer: PixelShuffle, arrays: Arrays) -> Values:
    """(*, C*r*r, H, W) -> (*, C, H*r, W*r)"""
    x, r = arrays["x"], layer.upscale_factor
    *batch, channels, height, width = x.shape
    apart = x.reshape(-1, channels // r**2, r, r, height, width).transpose(0, 1, 4, 2, 5, 3)
    return Values(apart.reshape(*batch, channels // r**2, height * r, width * r))


def pad(layer: Pad, arrays: Arrays) -> Values:
    """Negative numbers crop before positive ones pad."""
    x = arrays["x"]
    pairs = [(0, 0)] * (x.ndim - len(layer.padding) // 2)
    pairs += list(zip(layer.padding[::2], layer.padding[1::2], strict=True))[::-1]
    cut = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, pairs, strict=True))
    widths = [(max(0, a), max(0, b)) for a, b in pairs]
    if layer.mode == "zeros":
        return Values(np.pad(x[cut], widths, constant_values=layer.value))
    return Values(np.pad(x[cut], widths, mode=MODES[layer.mode]))  # type: ignore[call-overload]


def concat(layer: Concat, arrays: Arrays) -> Values:
    """One behind the other."""
    return Values(np.concatenate(inputs(arrays), axis=layer.dim))


def reshaped(layer: Flatten | Reshape, arrays: Arrays) -> Values:
    """The same elements in another shape."""
    return Values(arrays["x"].reshape(layer.output(arrays["x"].shape)))


def permute(layer: Permute, arrays: Arrays) -> Values:
    """The axes in another order."""
    return Values(arrays["x"].transpose(layer.dims))
