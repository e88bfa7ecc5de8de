"""Composites on arrays: what lies between their parts, for whatever runs the parts themselves. Loads no kernels."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, cast

import numpy as np

from convcli.backends import part_arrays
from convcli.layers import DeformConvPack, DeformRoIPoolPack, Layer, Separable

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

Primitive = Callable[[Layer, "Arrays"], "Array"]


def composed(layer: Layer, arrays: Arrays, run: Primitive) -> Array:
    """y of `layer`, each of its parts computed by `run`; a layer without parts is its own."""
    if isinstance(layer, Separable):
        return separable(layer, arrays, run)
    if isinstance(layer, DeformConvPack):
        return pack(layer, arrays, run)
    if isinstance(layer, DeformRoIPoolPack):
        return roi_pack(layer, arrays, run)
    return run(layer, arrays)


def separable(layer: Separable, arrays: Arrays, run: Primitive) -> Array:
    """One part after the other."""
    x = arrays["x"]
    for part in layer.parts(image_shape(layer, arrays)):
        x = run(part.layer, {"x": x, **part_arrays(part.name, arrays)})
    return x


def pack(layer: DeformConvPack, arrays: Arrays, run: Primitive) -> Array:
    """The deformable part on what the predictor says."""
    _, deform = layer.parts(image_shape(layer, arrays))
    side = predicted(layer, arrays, run)
    return run(deform.layer, {"x": arrays["x"], **side, **part_arrays(deform.name, arrays)})


def predicted(layer: DeformConvPack, arrays: Arrays, run: Primitive) -> dict[str, Array]:
    """offset, and mask through a sigmoid, as the pack's own convolution predicts them."""
    predictor, deform = layer.parts(image_shape(layer, arrays))
    y = run(predictor.layer, {"x": arrays["x"], **part_arrays(predictor.name, arrays)})
    channel = y.ndim - 1 - len(layer.axes)
    if not layer.modulated:
        return {"offset": y}
    count = deform.layer.side_inputs(deform.x)["offset"][0]
    offset, logits = np.split(y, [count], axis=channel)
    return {"offset": offset, "mask": sigmoid(logits)}


def roi_pack(layer: DeformRoIPoolPack, arrays: Arrays, run: Primitive) -> Array:
    """The deformable pool where the linear layers say, from what the boxes hold without offsets."""
    return run(layer.parts(arrays["x"].shape)[-1].layer, told(layer, arrays, run)["deform_roi_pool"])


def relu(x: Array) -> Array:
    """max(x, 0)"""
    positive: Array = np.maximum(x, 0)
    return positive


def told(
    layer: DeformRoIPoolPack, arrays: Arrays, run: Primitive, activation: Callable[[Array], Array] = relu
) -> dict[str, dict[str, Array]]:
    """What each part of the pack takes, by its name."""
    first, *linear, last = layer.parts(arrays["x"].shape)
    regions = {"x": arrays["x"], "rois": arrays["rois"]}
    found = {first.name: regions, last.name: dict(regions)}
    pooled = run(first.layer, regions)
    x = bins = pooled.reshape(len(pooled), prod(pooled.shape[1:]))
    for part in linear:
        branch, _, place = part.name.partition(".")
        x = bins if place == "0" else x
        found[part.name] = {"x": x, **part_arrays(part.name, arrays)}
        x = run(part.layer, found[part.name])
        if getattr(part.layer, "relu", False):
            x = activation(x)
        elif branch == "offset_fc":
            found[last.name]["offset"] = x.reshape(len(x), 2, *layer.output_size)
        else:
            found[last.name]["mask"] = sigmoid(x).reshape(len(x), 1, *layer.output_size)
    return found


def fully_connected(arrays: Arrays) -> Array:
    """x @ weight^T, and the bias if there is one; halves summed in single precision."""
    x, weight = arrays["x"], arrays["weight"]
    work = np.float32 if x.dtype == np.float16 else x.dtype
    y: Array = x.astype(work, copy=False) @ weight.T.astype(work, copy=False) + arrays.get("bias", 0)
    return y.astype(x.dtype, copy=False)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), by a form that cannot overflow: (1 + tanh(x/2)) / 2."""
    half = x.dtype.type(0.5)
    return cast("Array", half * (1 + np.tanh(half * x)))


def image_shape(layer: Layer, arrays: Arrays) -> tuple[int, ...]:
    """(channels, *space) of the layer's input."""
    return layer.split(arrays["x"].shape)[1]
