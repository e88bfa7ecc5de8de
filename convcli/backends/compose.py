"""Composites on arrays: what lies between their parts, for whatever runs the parts themselves. Loads no kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from convcli.backends import part_arrays
from convcli.layers import DeformConvPack, Layer, Separable

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

Primitive = Callable[[Layer, "Arrays"], "Array"]


def composed(layer: Layer, arrays: Arrays, run: Primitive) -> Array:
    """y of `layer`, each of its parts computed by `run`; a layer without parts is its own."""
    if isinstance(layer, Separable):
        return separable(layer, arrays, run)
    if isinstance(layer, DeformConvPack):
        return pack(layer, arrays, run)
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


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), by a form that cannot overflow: (1 + tanh(x/2)) / 2."""
    half = x.dtype.type(0.5)
    return cast("Array", half * (1 + np.tanh(half * x)))


def image_shape(layer: Layer, arrays: Arrays) -> tuple[int, ...]:
    """(channels, *space) of the layer's input."""
    return arrays["x"].shape[-1 - len(layer.axes) :]
