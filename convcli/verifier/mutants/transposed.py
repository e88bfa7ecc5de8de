"""Transposed convolutions: kernels not rotated, strips without products, crops on the wrong side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.axis import Axis
from convcli.backends import numpy as ours
from convcli.layers import ConvTranspose
from convcli.verifier.mutants.mutant import biased, moved, mutant, products, replaced, shared, without_bias

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]


def _axis(axis: Axis, **changes: Any) -> Axis:
    return msgspec.structs.replace(axis, **changes)


@mutant("conv_transpose", "ConvTranspose1d(2, 1, 2)", (1, 2, 1))
def transposed_kernel_not_rotated(layer: ConvTranspose, arrays: Arrays) -> Array:
    """zero insertion with a kernel that is not turned by 180 degrees"""
    weight = arrays["weight"]
    flipped = np.ascontiguousarray(np.flip(weight, tuple(range(2, weight.ndim))))
    return ours.forward(layer, {**arrays, "weight": flipped})


@mutant("conv_transpose", "ConvTranspose1d(2, 2, 1, groups=2)", (1, 2, 1))
def transposed_groups_not_sliced(layer: ConvTranspose, arrays: Arrays) -> Array:
    """every output block from all of the input's blocks"""
    groups, weight = layer.groups, arrays["weight"]
    dense = msgspec.structs.replace(layer, groups=1)
    return ours.forward(dense, {**arrays, "weight": np.tile(weight, (1, groups, *(1,) * (weight.ndim - 2)))})


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 2, padding=((1, 0),))", (1, 1, 2))
def transposed_padding_ignored(layer: ConvTranspose, arrays: Arrays) -> Array:
    """padding left out, the output cropped at its end alone"""
    return ours.forward(moved(layer, lambda axis: _axis(axis, before=0, after=axis.before + axis.after)), arrays)


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 1)", (1, 1, 1))
def transposed_crop_off_by_one(layer: ConvTranspose, arrays: Arrays) -> Array:
    """the output cropped one cell too far at its front"""
    return ours.forward(moved(layer, lambda axis: _axis(axis, before=axis.before + 1, after=axis.after - 1)), arrays)


@mutant("conv_transpose", "ConvTranspose2d(1, 1, (1, 3), padding=(0, 1))", (1, 1, 1, 1))
def transposed_padding_axes_swapped(layer: ConvTranspose, arrays: Arrays) -> Array:
    """the padding of the axes in reverse order"""
    before, after = ([getattr(axis, side) for axis in layer.axes][::-1] for side in ("before", "after"))
    axes = zip(layer.axes, before, after, strict=True)
    return ours.forward(replaced(layer, tuple(_axis(axis, before=b, after=a) for axis, b, a in axes)), arrays)


@mutant("conv_transpose", "ConvTranspose2d(1, 1, 1, stride=(1, 2))", (1, 1, 1, 2))
def transposed_stride_axes_swapped(layer: ConvTranspose, arrays: Arrays) -> Array:
    """the strides of the axes in reverse order"""
    return ours.forward(shared(layer, "stride", lambda values: values[::-1]), arrays)


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 1, stride=2)", (1, 1, 2))
def transposed_stride_plus_one(layer: ConvTranspose, arrays: Arrays) -> Array:
    """one zero too many between the cells"""

    def wider(axis: Axis, size: int) -> Axis:
        return _axis(axis, stride=axis.stride + 1, after=axis.after + size - 1)

    space = arrays["x"].shape[-len(layer.axes) :]
    axes = tuple(wider(axis, size) for axis, size in zip(layer.axes, space, strict=True))
    return ours.forward(replaced(layer, axes), arrays)


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 2, dilation=2)", (1, 1, 1))
def transposed_dilation_ignored(layer: ConvTranspose, arrays: Arrays) -> Array:
    """dilation left out"""

    def plain(axis: Axis) -> Axis:
        return _axis(axis, dilation=1, after=axis.after - axis.span + axis.kernel)

    return ours.forward(moved(layer, plain), arrays)


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 1, stride=2, output_padding=1)", (1, 1, 1))
def output_padding_ignored(layer: ConvTranspose, arrays: Arrays) -> Array:
    """output_padding left out"""
    return ours.forward(moved(layer, lambda axis: _axis(axis, output_padding=0)), arrays)


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 1, stride=2, output_padding=1)", (1, 1, 1))
def output_padding_at_the_front(layer: ConvTranspose, arrays: Arrays) -> Array:
    """output_padding at the front instead of the end"""

    def shifted(axis: Axis) -> Axis:
        return _axis(axis, before=axis.before - axis.output_padding, after=axis.after + axis.output_padding)

    return ours.forward(moved(layer, shifted), arrays)


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 3, stride=2, padding=1, output_padding=1)", (1, 1, 1))
def output_padding_strip_without_products(layer: ConvTranspose, arrays: Arrays) -> Array:
    """the output_padding strip appended as zeros, though products land in it"""
    return biased(layer, _in_the_strip(layer, ours.forward(layer, without_bias(arrays))), arrays)


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 1, stride=2, output_padding=1)", (1, 1, 1))
def bias_missing_in_the_strip(layer: ConvTranspose, arrays: Arrays) -> Array:
    """the output_padding strip appended after the bias was added"""
    return _in_the_strip(layer, ours.forward(layer, arrays))


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 1, stride=2)", (1, 1, 2))
def bias_missing_between_the_cells(layer: ConvTranspose, arrays: Arrays) -> Array:
    """no bias where no product lands"""
    y = ours.forward(layer, arrays)
    ones = {"x": np.ones_like(arrays["x"]), "weight": np.ones_like(arrays["weight"])}
    hit = ours.forward(msgspec.structs.replace(layer, bias=False), ones) > 0
    return np.where(hit, y, 0).astype(y.dtype)


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 2)", (1, 1, 2))
def overlaps_overwritten(layer: ConvTranspose, arrays: Arrays) -> Array:
    """where windows overlap the last one written stays, instead of their sum"""
    ones = {**arrays, "x": np.ones_like(arrays["x"]), "weight": np.ones_like(arrays["weight"])}
    y = np.zeros_like(ours.forward(layer, arrays))
    for share, hit in zip(products(layer, arrays), products(layer, ones), strict=True):
        y = np.where(hit != 0, share, y)
    return biased(layer, y, arrays).astype(y.dtype)


def _in_the_strip(layer: ConvTranspose, y: Array) -> Array:
    """Zeros in the last output_padding cells of every axis."""
    for place, axis in enumerate(reversed(layer.axes), start=1):
        strip = np.moveaxis(y, -place, 0)
        strip[len(strip) - axis.output_padding :] = 0
    return y
