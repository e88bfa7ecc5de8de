"""The kernel's window: taps, axes, stride and dilation mixed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.axis import Axis
from convcli.backends import numpy as ours
from convcli.kernels.windows import last
from convcli.verifier.mutants.mutant import dilated, moved, mutant, shared

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]


def _weighted(layer: Any, arrays: Arrays, weight: Array) -> Array:
    return ours.forward(layer, {**arrays, "weight": np.ascontiguousarray(weight)})


@mutant("conv deform_conv", "Conv1d(2, 1, 2)", (1, 2, 2))
def kernel_flipped(layer: Any, arrays: Arrays) -> Array:
    """the kernel turned by 180 degrees (a true convolution)"""
    weight = arrays["weight"]
    return _weighted(layer, arrays, np.flip(weight, tuple(range(2, weight.ndim))))


@mutant("conv conv_transpose deform_conv", "Conv2d(2, 1, (1, 2))", (1, 2, 1, 2))
def kernel_flipped_on_the_last_axis(layer: Any, arrays: Arrays) -> Array:
    """the kernel mirrored along its last axis"""
    return _weighted(layer, arrays, np.flip(arrays["weight"], -1))


@mutant("conv conv_transpose deform_conv", "Conv2d(2, 1, (2, 1))", (1, 2, 2, 1))
def kernel_flipped_on_the_first_axis(layer: Any, arrays: Arrays) -> Array:
    """the kernel mirrored along its first axis"""
    return _weighted(layer, arrays, np.flip(arrays["weight"], 2))


@mutant("conv conv_transpose deform_conv", "Conv2d(2, 1, 2)", (1, 2, 2, 2))
def kernel_axes_swapped(layer: Any, arrays: Arrays) -> Array:
    """the kernel's axes read in reverse order"""
    weight = arrays["weight"]
    turned = np.transpose(weight, (0, 1, *range(weight.ndim - 1, 1, -1)))
    return _weighted(layer, arrays, turned.reshape(weight.shape))


@mutant("conv conv_transpose deform_conv", "Conv1d(1, 1, 1)", (1, 1, 1))
def first_tap_dropped(layer: Any, arrays: Arrays) -> Array:
    """the first tap left out"""
    return _weighted(layer, arrays, _without(arrays["weight"], 0))


@mutant("conv conv_transpose deform_conv", "Conv1d(1, 1, 1)", (1, 1, 1))
def last_tap_dropped(layer: Any, arrays: Arrays) -> Array:
    """the last tap left out"""
    return _weighted(layer, arrays, _without(arrays["weight"], -1))


@mutant("conv", "Conv2d(1, 1, 1, stride=(1, 2))", (1, 1, 1, 2))
def stride_axes_swapped(layer: Any, arrays: Arrays) -> Array:
    """the strides of the axes in reverse order"""
    return ours.forward(shared(layer, "stride", lambda values: values[::-1]), arrays)


@mutant("conv", "Conv2d(1, 1, 1, stride=(1, 2))", (1, 1, 1, 2))
def stride_of_the_first_axis(layer: Any, arrays: Arrays) -> Array:
    """the first axis's stride on every axis"""
    return ours.forward(shared(layer, "stride", lambda values: values[:1] * len(values)), arrays)


@mutant("conv deform_conv", "Conv2d(1, 1, (1, 2), dilation=(1, 2))", (1, 1, 1, 4))
def dilation_axes_swapped(layer: Any, arrays: Arrays) -> Array:
    """the dilations of the axes in reverse order"""
    turned = [axis.dilation for axis in layer.axes][::-1]
    rates = iter(turned)
    return ours.forward(moved(layer, lambda axis: dilated(axis, next(rates))), arrays)


@mutant("conv", "Conv1d(1, 1, 2, padding=((1, 0),), dilation=2)", (1, 1, 2))
def dilation_plus_one(layer: Any, arrays: Arrays) -> Array:
    """dilation applied as dilation + 1"""
    return ours.forward(moved(layer, lambda axis: dilated(axis, axis.dilation + 1)), arrays)


@mutant("conv", "Conv1d(1, 1, 2, dilation=2)", (1, 1, 4))
def dilation_ignored(layer: Any, arrays: Arrays) -> Array:
    """dilation left out"""
    return ours.forward(moved(layer, lambda axis: dilated(axis, 1)), arrays)


@mutant("conv", "Conv1d(1, 1, 2, stride=2)", (1, 1, 2))
def stride_and_dilation_swapped(layer: Any, arrays: Arrays) -> Array:
    """stride and dilation exchanged"""

    def exchanged(axis: Axis) -> Axis:
        return msgspec.structs.replace(axis, stride=axis.dilation, dilation=axis.stride)

    return ours.forward(moved(layer, exchanged), arrays)


@mutant("conv", "Conv1d(1, 1, 1, stride=2)", (1, 1, 3))
def stride_in_the_wrong_phase(layer: Any, arrays: Arrays) -> Array:
    """the full output thinned from its second cell on"""

    def later(axis: Axis) -> Axis:
        step = min(1, axis.stride - 1)
        return msgspec.structs.replace(axis, before=axis.before - step, after=axis.after + step)

    return ours.forward(moved(layer, later), arrays)


@mutant("conv", "Conv1d(1, 1, 1, stride=2)", (1, 1, 2))
def stride_ignored(layer: Any, arrays: Arrays) -> Array:
    """stride left out"""
    return ours.forward(moved(layer, lambda axis: msgspec.structs.replace(axis, stride=1)), arrays)


@mutant("conv", "Conv1d(1, 1, 1, stride=2)", (1, 1, 5))
def stride_ignored_at_the_right_size(layer: Any, arrays: Arrays) -> Array:
    """stride left out, the output cropped to its size"""
    out = ours.forward(layer, arrays).shape[-len(layer.axes) :]
    y = ours.forward(moved(layer, lambda axis: msgspec.structs.replace(axis, stride=1)), arrays)
    cropped: Array = y[last(*(slice(size) for size in out))]
    return cropped


@mutant("conv conv_transpose deform_conv", "Conv2d(1, 1, 1)", (1, 1, 1, 2))
def output_axes_swapped(layer: Any, arrays: Arrays) -> Array:
    """the output's spatial axes in reverse order"""
    y = ours.forward(layer, arrays)
    rank = len(layer.axes)
    return np.transpose(y, (*range(y.ndim - rank), *range(y.ndim - 1, y.ndim - 1 - rank, -1)))


def _without(weight: Array, tap: int) -> Array:
    flat = weight.reshape(*weight.shape[:2], -1).copy()
    flat[..., tap] = 0
    return flat.reshape(weight.shape)
