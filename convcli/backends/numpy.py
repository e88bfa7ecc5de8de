"""convcli's own kernels as a backend, and the magnitudes S = conv(|x|, |w|) + |b| that proofs and bounds stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli import kernels
from convcli.backends import named_by_part, numpy_regions, part_arrays
from convcli.backends.compose import image_shape, pack, predicted, separable
from convcli.layers import (
    NO_GRADIENT,
    Conv,
    ConvTranspose,
    DeformConv,
    DeformConvPack,
    DeformRoIPool,
    DeformRoIPoolPack,
    Layer,
    Separable,
    Shape,
)

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

Forward = Callable[[Any, "Arrays", str], "Array"]
Backward = Callable[[Any, "Arrays", "Array", str], "dict[str, Array]"]


def versions() -> dict[str, str]:
    """numpy's version."""
    return {"numpy": np.__version__}


def forward(layer: Layer, arrays: Arrays, method: str = "auto") -> Array:
    """y of `layer`, computed in the arrays' dtype by the kernels' method of that name."""
    return FORWARD[layer.kind](layer, arrays, method)


def backward(layer: Layer, arrays: Arrays, dy: Array, method: str = "auto") -> dict[str, Array]:
    """The gradient of every array of `layer`, by its name, for the output's gradient `dy`; `method` of the gradients.

    What a composite needs of its parts' outputs is computed by `auto`: that is no gradient.
    """
    found = BACKWARD[layer.kind](layer, arrays, dy, method)
    return {name: found[name] for name in arrays if name not in NO_GRADIENT}


def methods(layer: Layer, arrays: Arrays) -> tuple[str, ...]:
    """The names of the methods that compute this layer, every part of it; `auto` first."""
    parts = layer.parts(_image_shape(layer, arrays)) or ()
    kinds = [part.layer.kind for part in parts] or [layer.kind]
    first, *others = (kernels.METHODS[KERNELS[kind]] for kind in kinds if kind in KERNELS)
    return tuple(method for method in first if all(method in other for other in others))


def accepts(type_: str, fields: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Shape:
    """The output's shape that a kernel makes of zeros, for a layer without parts in torch.nn's own words."""
    ins, outs, groups = (fields[name] for name in ("in_channels", "out_channels", "groups"))
    transposed, deformable = (type_.startswith(word) for word in ("ConvTranspose", "DeformConv"))
    pair = (ins, outs // groups) if transposed else (outs, ins // groups)
    weight, bias = np.zeros((*pair, *fields["kernel_size"])), np.zeros(outs)
    inputs: dict[str, Any] = {name: np.zeros(shape) for name, shape in shapes.items()}
    own = {name: value for name, value in fields.items() if name not in WEIGHTS}
    if deformable:
        del own["groups"]  # they follow from the shapes
        return kernels.deform_conv2d(weight=weight, bias=bias, **inputs, **own).shape
    return (kernels.conv_transpose if transposed else kernels.conv)(inputs["x"], weight, bias, **own).shape


def magnitudes(layer: Layer, arrays: Arrays) -> dict[str, Array]:
    """S, the layer run on absolute values, for each part in turn; a layer without parts has the one part "".

    |y| <= S element by element, and so is every partial sum of the products in whatever order.
    """
    absolute = numpy_regions.absolute(arrays)
    if isinstance(layer, DeformRoIPoolPack):
        return numpy_regions.pack_magnitudes(layer, arrays)
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


def gradient_magnitudes(layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Array]:
    """S of every gradient: the sum of the absolute values of all products that it adds up, by the array's name."""
    absolute = numpy_regions.absolute(arrays)
    if isinstance(layer, DeformRoIPool):
        return numpy_regions.pool_gradient_magnitudes(layer, arrays, dy)
    if isinstance(layer, DeformRoIPoolPack):
        return numpy_regions.pack_gradient_magnitudes(layer, arrays, dy)
    if isinstance(layer, DeformConvPack):
        return _pack_magnitudes(layer, arrays, np.abs(dy))
    found = backward(layer, absolute, np.abs(dy))
    if "offset" in arrays:
        found["offset"] = _slope_magnitude(layer, absolute, np.abs(dy))
    return found


def _slope_magnitude(layer: Layer, absolute: Arrays, dy: Array) -> Array:
    """S of the offset's gradient, |mask| * dcolumn * (both neighbours of the point along the axis it moves on).

    A slope is the difference of two bilinear values, one a whole step to the right of the other; S adds them. What
    multiplies such a value is the gradient of a mask of ones.
    """
    offset, axis = absolute["offset"], absolute["offset"].ndim - 3
    mask = absolute.get("mask", np.ones(1, offset.dtype))
    shape = list(offset.shape)
    shape[axis] //= 2
    ones, total = np.ones(shape, offset.dtype), np.empty_like(offset)
    for direction in range(2):
        moved = np.moveaxis(offset.copy(), axis, 0)
        moved[direction::2] = np.floor(moved[direction::2])
        near = np.moveaxis(moved, 0, axis)
        far = np.moveaxis(moved.copy(), 0, axis)
        np.moveaxis(far, axis, 0)[direction::2] += 1
        neighbours = [backward(layer, {**absolute, "offset": at, "mask": ones}, dy)["mask"] for at in (near, far)]
        np.moveaxis(total, axis, 0)[direction::2] = np.moveaxis((neighbours[0] + neighbours[1]) * mask, axis, 0)
    return total


def _conv(layer: Conv, arrays: Arrays, method: str) -> Array:
    more: Any = {"groups": layer.groups or 1, "padding_mode": layer.padding_mode, "method": method}
    return kernels.conv(arrays["x"], arrays["weight"], arrays.get("bias"), **_sliding(layer), **more)


def _conv_gradients(layer: Conv, arrays: Arrays, dy: Array, method: str) -> dict[str, Array]:
    more: Any = {"groups": layer.groups or 1, "padding_mode": layer.padding_mode, "method": method}
    found = kernels.conv_backward(dy, arrays["x"], arrays["weight"], **_sliding(layer), **more)
    return dict(zip(("x", "weight", "bias"), found, strict=True))


def _conv_transpose(layer: ConvTranspose, arrays: Arrays, method: str) -> Array:
    more: Any = {**_transposed(layer), "method": method}
    return kernels.conv_transpose(arrays["x"], arrays["weight"], arrays.get("bias"), **_sliding(layer), **more)


def _conv_transpose_gradients(layer: ConvTranspose, arrays: Arrays, dy: Array, method: str) -> dict[str, Array]:
    more: Any = {**_transposed(layer), "method": method}
    found = kernels.conv_transpose_backward(dy, arrays["x"], arrays["weight"], **_sliding(layer), **more)
    return dict(zip(("x", "weight", "bias"), found, strict=True))


def _deform_conv(layer: DeformConv, arrays: Arrays, method: str) -> Array:
    given = (arrays["x"], arrays["offset"], arrays["weight"], arrays.get("bias"), arrays.get("mask"))
    return kernels.deform_conv2d(*given, **_sliding(layer), method=method)


def _deform_conv_gradients(layer: DeformConv, arrays: Arrays, dy: Array, method: str) -> dict[str, Array]:
    given = (arrays["x"], arrays["offset"], arrays["weight"], arrays.get("mask"))
    found = kernels.deform_conv2d_backward(dy, *given, **_sliding(layer), method=method)
    named = zip(("x", "offset", "weight", "bias", "mask"), found, strict=True)
    return {name: gradient for name, gradient in named if gradient is not None}


def _separable(layer: Separable, arrays: Arrays, method: str) -> Array:
    return separable(layer, arrays, lambda part, given: forward(part, given, method))


def _separable_gradients(layer: Separable, arrays: Arrays, dy: Array, method: str) -> dict[str, Array]:
    first, second = layer.parts(_image_shape(layer, arrays))
    own = {"x": arrays["x"], **part_arrays(first.name, arrays)}
    between = forward(first.layer, own)
    mixed = backward(second.layer, {"x": between, **part_arrays(second.name, arrays)}, dy, method)
    found = backward(first.layer, own, mixed["x"], method)
    return {"x": found["x"], **named_by_part(first.name, found), **named_by_part(second.name, mixed)}


def _deform_conv_pack(layer: DeformConvPack, arrays: Arrays, method: str) -> Array:
    return pack(layer, arrays, lambda part, given: forward(part, given, method))


def _predicted(layer: DeformConvPack, arrays: Arrays, method: str) -> dict[str, Array]:
    return predicted(layer, arrays, lambda part, given: forward(part, given, method))


def _deform_conv_pack_gradients(layer: DeformConvPack, arrays: Arrays, dy: Array, method: str) -> dict[str, Array]:
    side = _predicted(layer, arrays, "auto")
    *_, deform = layer.parts(_image_shape(layer, arrays))
    found = backward(deform.layer, {"x": arrays["x"], **side, **part_arrays(deform.name, arrays)}, dy, method)
    return _through_the_predictor(layer, arrays, side, found, method)


def _pack_magnitudes(layer: DeformConvPack, arrays: Arrays, dy: Array) -> dict[str, Array]:
    """S part by part; the offsets and masks are the real ones, the predictor's gradients sum up their S."""
    side = _predicted(layer, arrays, "auto")
    *_, deform = layer.parts(_image_shape(layer, arrays))
    found = gradient_magnitudes(deform.layer, {"x": arrays["x"], **side, **part_arrays(deform.name, arrays)}, dy)
    return _through_the_predictor(layer, {name: np.abs(array) for name, array in arrays.items()}, side, found, "auto")


def _through_the_predictor(
    layer: DeformConvPack, arrays: Arrays, side: Arrays, found: Arrays, method: str
) -> dict[str, Array]:
    """The pack's gradients from its deformable part's: those of offsets and masks go on, through the sigmoid."""
    predictor, deform = layer.parts(_image_shape(layer, arrays))
    predicted = [found["offset"]]
    if "mask" in side:
        predicted.append(found["mask"] * ((1 - side["mask"]) * side["mask"]))
    dlogits = np.concatenate(predicted, axis=predicted[0].ndim - 1 - len(layer.axes))
    before = backward(predictor.layer, {"x": arrays["x"], **part_arrays(predictor.name, arrays)}, dlogits, method)
    own = {name: gradient for name, gradient in found.items() if name not in side}
    return {
        "x": found["x"] + before["x"],
        **named_by_part(predictor.name, before),
        **named_by_part(deform.name, own),
    }


def _image_shape(layer: Layer, arrays: Arrays) -> tuple[int, ...]:
    return image_shape(layer, arrays)


def _sliding(layer: Layer) -> dict[str, Any]:
    return {
        "stride": tuple(axis.stride for axis in layer.axes),
        "padding": tuple((axis.before, axis.after) for axis in layer.axes),
        "dilation": tuple(axis.dilation for axis in layer.axes),
    }


def _transposed(layer: ConvTranspose) -> dict[str, Any]:
    return {"output_padding": tuple(axis.output_padding for axis in layer.axes), "groups": layer.groups}


FORWARD: Mapping[str, Forward] = MappingProxyType(
    {
        "conv": _conv,
        "conv_transpose": _conv_transpose,
        "separable": _separable,
        "deform_conv": _deform_conv,
        "deform_conv_pack": _deform_conv_pack,
        "deform_roi_pool": numpy_regions.pooled,
        "deform_roi_pool_pack": numpy_regions.pack,
        "fully_connected": numpy_regions.connected,
    }
)
BACKWARD: Mapping[str, Backward] = MappingProxyType(
    {
        "conv": _conv_gradients,
        "conv_transpose": _conv_transpose_gradients,
        "separable": _separable_gradients,
        "deform_conv": _deform_conv_gradients,
        "deform_conv_pack": _deform_conv_pack_gradients,
        "deform_roi_pool": numpy_regions.pooled_gradients,
        "deform_roi_pool_pack": numpy_regions.pack_gradients,
        "fully_connected": numpy_regions.connected_gradients,
    }
)
WEIGHTS = frozenset({"in_channels", "out_channels", "kernel_size"})  # what the shape of the weight says
KERNELS: Mapping[str, str] = MappingProxyType(
    {
        "conv": "conv",
        "conv_transpose": "conv_transpose",
        "deform_conv": "deform_conv2d",
        "deform_roi_pool": "deform_roi_pool",
    }
)
