"""Normalisation: (x - mean) / sqrt(variance + eps) * weight + bias."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.backends.companions.values import FUNCTION, Values
from convcli.layers.norm import BatchNorm, GroupNorm, LayerNorm

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays


def batch_norm(layer: BatchNorm, arrays: Arrays) -> Values:
    """(x - mean) * scale + shift with the running statistics; an instance has its own."""
    x = arrays["x"]
    first = x.ndim - layer.dims - 1 if layer.instance else 1
    w, b = _affine(arrays, x.shape[first], x.ndim - first - 1)
    if layer.instance:
        return _normalised(x, tuple(range(first + 1, x.ndim)), layer.eps, w, b)
    column = (-1, *(1,) * (x.ndim - 2))
    mean, variance = (arrays[name].reshape(column) for name in ("running_mean", "running_var"))
    slope = w / np.sqrt(variance + layer.eps)
    return Values((x - mean) * slope + b, (np.abs(x) + np.abs(mean)) * np.abs(slope) + np.abs(b), FUNCTION)


def group_norm(layer: GroupNorm, arrays: Arrays) -> Values:
    """Statistics over each group of channels."""
    x = arrays["x"]
    grouped = x.reshape(len(x), layer.num_groups, -1, *x.shape[2:])
    w, b = (v.reshape(layer.num_groups, -1, *v.shape[1:]) for v in _affine(arrays, x.shape[1], x.ndim - 2))
    y, scale, n = _normalised(grouped, tuple(range(2, grouped.ndim)), layer.eps, w, b)
    return Values(y.reshape(x.shape), np.reshape(scale, x.shape) if scale is not None else None, n)


def layer_norm(layer: LayerNorm, arrays: Arrays) -> Values:
    """Statistics over the last axes, or over the channels."""
    x, shape = arrays["x"], layer.normalized_shape or ()
    w, b = (arrays.get(name, default) for name, default in (("weight", np.ones(shape)), ("bias", np.zeros(shape))))
    if layer.channel_axis:
        w, b = (v.reshape(-1, *(1,) * (x.ndim - 2)) for v in (w, b))
    axes = (1,) if layer.channel_axis else tuple(range(x.ndim - len(shape), x.ndim))
    return _normalised(x, axes, layer.eps or 0.0, w, b, centred=not layer.rms)


def _normalised(x: Array, axes: tuple[int, ...], eps: float, w: Array, b: Array, *, centred: bool = True) -> Values:
    """(x - mean) / sqrt(variance + eps) * w + b; the variance's relative error counts twice where the mean is large."""
    mean = x.mean(axis=axes, keepdims=True) if centred else np.zeros(())
    squares = (x**2).mean(axis=axes, keepdims=True)
    deviation = np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + eps)
    sizes = (np.abs(x) + np.abs(x).mean(axis=axes, keepdims=True)) * (1 + 2 * squares / deviation**2)
    y = (x - mean) / deviation * w + b
    terms = math.prod(x.shape[axis] for axis in axes)
    return Values(y, sizes / deviation * np.abs(w) + np.abs(b), 2 * terms + FUNCTION)


def _affine(arrays: Arrays, channels: int, space: int) -> tuple[Array, Array]:
    """weight and bias, 1 and 0 where there are none, for tensors (..., C, *space)."""
    column = (channels, *(1,) * space)
    return (
        arrays.get("weight", np.ones(channels)).reshape(column),
        arrays.get("bias", np.zeros(channels)).reshape(column),
    )
