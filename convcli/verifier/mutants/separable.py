"""Depthwise-separable layers whose parts are put together wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends import numpy as ours
from convcli.backends import part_arrays
from convcli.verifier.mutants.mutant import by_channel, mutant, with_channels

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]


def _shape(layer: Any, arrays: Arrays) -> tuple[int, ...]:
    return arrays["x"].shape[-1 - len(layer.axes) :]


@mutant("separable", "SeparableConv1d(2, 2, 1)", (1, 2, 1))
def pointwise_before_depthwise(layer: Any, arrays: Arrays) -> Array:
    """the pointwise part before the depthwise one"""
    first, second = layer.parts(_shape(layer, arrays))
    if len(arrays["pointwise.weight"]) != _shape(layer, arrays)[0] or layer.depth_multiplier != 1:
        return ours.forward(layer, arrays)
    x = ours.forward(second.layer, {"x": arrays["x"], **part_arrays("pointwise", arrays)})
    return ours.forward(first.layer, {"x": x, **part_arrays("depthwise", arrays)})


@mutant("separable", "SeparableConv1d(2, 1, 1, depth_multiplier=2)", (1, 2, 4))
def multiplier_order_between_the_parts(layer: Any, arrays: Arrays) -> Array:
    """the depthwise part's channels ordered by multiplier first, then by input channel"""
    first, second = layer.parts(_shape(layer, arrays))
    between = ours.forward(first.layer, {"x": arrays["x"], **part_arrays("depthwise", arrays)})
    channels = by_channel(layer, arrays["x"]).shape[0]
    mixed = with_channels(
        layer, between, lambda y: y.reshape(channels, -1, *y.shape[1:]).swapaxes(0, 1).reshape(y.shape)
    )
    return ours.forward(second.layer, {"x": mixed, **part_arrays("pointwise", arrays)})


@mutant("separable", "SeparableConv1d(1, 1, 1)", (1, 1, 1))
def depthwise_bias_missing(layer: Any, arrays: Arrays) -> Array:
    """the depthwise part's bias left out"""
    return ours.forward(layer, _changed(arrays, "depthwise.bias", np.zeros_like))


@mutant("separable", "SeparableConv1d(1, 1, 1)", (1, 1, 1))
def pointwise_bias_missing(layer: Any, arrays: Arrays) -> Array:
    """the pointwise part's bias left out"""
    return ours.forward(layer, _changed(arrays, "pointwise.bias", np.zeros_like))


@mutant("separable", "SeparableConv1d(2, 2, 1)", (1, 2, 1))
def pointwise_weight_transposed(layer: Any, arrays: Arrays) -> Array:
    """the pointwise weight's channels exchanged"""
    turned = _changed(arrays, "pointwise.weight", lambda w: np.ascontiguousarray(w.swapaxes(0, 1)).reshape(w.shape))
    return ours.forward(layer, turned)


@mutant("separable", "SeparableConv1d(2, 1, 1)", (1, 2, 4))
def depthwise_filter_shared(layer: Any, arrays: Arrays) -> Array:
    """the first channel's depthwise filter on every channel"""
    return ours.forward(layer, _changed(arrays, "depthwise.weight", lambda w: np.repeat(w[:1], len(w), axis=0)))


@mutant("separable", "SeparableConv1d(1, 1, 1)", (3, 1, 3))
def activation_between_the_parts(layer: Any, arrays: Arrays) -> Array:
    """an activation (ReLU) between the parts"""
    first, second = layer.parts(_shape(layer, arrays))
    between = ours.forward(first.layer, {"x": arrays["x"], **part_arrays("depthwise", arrays)})
    return ours.forward(second.layer, {"x": np.maximum(between, 0), **part_arrays("pointwise", arrays)})


def _changed(arrays: Arrays, name: str, change: Any) -> Arrays:
    return {**arrays, name: change(arrays[name])} if name in arrays else arrays
