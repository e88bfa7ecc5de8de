"""convcli's own kernels as a backend, and the magnitudes S = conv(|x|, |w|) + |b| that proofs and bounds stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli import kernels
from convcli.backends import part_arrays
from convcli.backends.compose import image_shape, pack, predicted, separable
from convcli.layers import Conv, ConvTranspose, DeformConv, DeformConvPack, Layer, Separable

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

Forward = Callable[[Any, "Arrays", str], "Array"]


def versions() -> dict[str, str]:
    """numpy's version."""
    return {"numpy": np.__version__}


def forward(layer: Layer, arrays: Arrays, method: str = "auto") -> Array:
    """y of `layer`, computed in the arrays' dtype by the kernels' method of that name."""
    return FORWARD[layer.kind](layer, arrays, method)


def methods(layer: Layer, arrays: Arrays) -> tuple[str, ...]:
    """The names of the methods that compute this layer, every part of it; `auto` first."""
    parts = layer.parts(_image_shape(layer, arrays)) or ()
    kinds = [part.layer.kind for part in parts] or [layer.kind]
    first, *others = (kernels.METHODS[KERNELS[kind]] for kind in kinds)
    return tuple(method for method in first if all(method in other for other in others))


def magnitudes(layer: Layer, arrays: Arrays) -> dict[str, Array]:
    """S, the layer run on absolute values, for each part in turn; a layer without parts has the one part "".

    |y| <= S element by element, and so is every partial sum of the products in whatever order.
    """
    absolute = {name: array if name == "offset" else np.abs(array) for name, array in arrays.items()}
    if isinstance(layer, Separable):
        first, second = layer.parts(_image_shape(layer, arrays))
        between = forward(first.layer, {"x": absolute["x"], **part_arrays(first.name, absolute)})
        return {
            first.name: between,
            second.name: forward(second.layer, {"x": between, **part_arrays(second.name, absolute)}),
        }
    if isinstance(layer, DeformConvPack):
        predictor, deform = layer.parts(_image_shape(layer, arrays))
        side = _predicted(layer, arrays, "auto")
        inputs = {"x": absolute["x"], **side, **part_arrays(deform.name, absolute)}
        return {
            predictor.name: forward(predictor.layer, {"x": absolute["x"], **part_arrays(predictor.name, absolute)}),
            deform.name: forward(deform.layer, inputs),
        }
    return {"": forward(layer, absolute)}


def _conv(layer: Conv, arrays: Arrays, method: str) -> Array:
    return kernels.conv(
        arrays["x"],
        arrays["weight"],
        arrays.get("bias"),
        stride=tuple(axis.stride for axis in layer.axes),
        padding=_padding(layer),
        dilation=tuple(axis.dilation for axis in layer.axes),
        groups=layer.groups or 1,
        padding_mode=layer.padding_mode,
        method=method,
    )


def _conv_transpose(layer: ConvTranspose, arrays: Arrays, method: str) -> Array:
    return kernels.conv_transpose(
        arrays["x"],
        arrays["weight"],
        arrays.get("bias"),
        stride=tuple(axis.stride for axis in layer.axes),
        padding=_padding(layer),
        output_padding=tuple(axis.output_padding for axis in layer.axes),
        groups=layer.groups,
        dilation=tuple(axis.dilation for axis in layer.axes),
        method=method,
    )


def _deform_conv(layer: DeformConv, arrays: Arrays, method: str) -> Array:
    return kernels.deform_conv2d(
        arrays["x"],
        arrays["offset"],
        arrays["weight"],
        arrays.get("bias"),
        arrays.get("mask"),
        stride=tuple(axis.stride for axis in layer.axes),
        padding=_padding(layer),
        dilation=tuple(axis.dilation for axis in layer.axes),
        method=method,
    )


def _separable(layer: Separable, arrays: Arrays, method: str) -> Array:
    return separable(layer, arrays, lambda part, given: forward(part, given, method))


def _deform_conv_pack(layer: DeformConvPack, arrays: Arrays, method: str) -> Array:
    return pack(layer, arrays, lambda part, given: forward(part, given, method))


def _predicted(layer: DeformConvPack, arrays: Arrays, method: str) -> dict[str, Array]:
    return predicted(layer, arrays, lambda part, given: forward(part, given, method))


def _image_shape(layer: Layer, arrays: Arrays) -> tuple[int, ...]:
    return image_shape(layer, arrays)


def _padding(layer: Layer) -> tuple[tuple[int, int], ...]:
    return tuple((axis.before, axis.after) for axis in layer.axes)


FORWARD: Mapping[str, Forward] = MappingProxyType(
    {
        "conv": _conv,
        "conv_transpose": _conv_transpose,
        "separable": _separable,
        "deform_conv": _deform_conv,
        "deform_conv_pack": _deform_conv_pack,
    }
)
KERNELS: Mapping[str, str] = MappingProxyType(
    {"conv": "conv", "conv_transpose": "conv_transpose", "deform_conv": "deform_conv2d"}
)
