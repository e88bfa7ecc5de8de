"""Gradients that are wrong though the forward pass is right; each names the gradients it gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.axis import Axis
from convcli.layers import Conv, ConvTranspose, DeformConv
from convcli.verifier.formats import halved
from convcli.verifier.mutants.deform import by_point, resampled
from convcli.verifier.mutants.mutant import by_channel, dilated, gradients, images, moved, mutant, with_channels

if TYPE_CHECKING:
    from convcli.backends import Array
    from convcli.verifier.mutants.mutant import Gradients

    Arrays = dict[str, Array]

PLAIN = "conv conv_transpose deform_conv"


def _shifted(axis: Axis) -> Axis:
    return msgspec.structs.replace(axis, before=0, after=axis.before + axis.after)


def _of(layer: Any, arrays: Arrays, *names: str) -> Gradients:
    """Only these of the gradients."""
    found = gradients(layer, arrays)
    return {name: found[name] for name in names if name in found}


@mutant("conv conv_transpose", "Conv1d(2, 1, 2)", (1, 2, 2), gradient=True)
def grad_input_kernel_not_rotated(layer: Any, arrays: Arrays) -> Gradients:
    """the input's gradient with the kernel turned the wrong way"""
    weight = arrays["weight"]
    return _of(layer, {**arrays, "weight": np.flip(weight, tuple(range(2, weight.ndim))).copy()}, "x")


@mutant("conv", "Conv1d(1, 1, 1, padding=((1, 0),))", (1, 1, 2), gradient=True)
def grad_input_padding_ignored(layer: Conv, arrays: Arrays) -> Gradients:
    """the input's gradient without the padding's shift"""
    return _of(moved(layer, _shifted), arrays, "x")


@mutant("conv", "Conv1d(1, 1, 1, padding=((1, 0),))", (1, 1, 2), gradient=True)
def grad_weight_padding_ignored(layer: Conv, arrays: Arrays) -> Gradients:
    """the weight's gradient without the padding's shift"""
    return _of(moved(layer, _shifted), arrays, "weight")


@mutant("conv", "Conv1d(1, 1, 2, dilation=2)", (1, 1, 3), gradient=True)
def grad_input_dilation_ignored(layer: Conv, arrays: Arrays) -> Gradients:
    """the input's gradient without dilation"""
    return _of(moved(layer, lambda axis: dilated(axis, 1)), arrays, "x")


@mutant("conv", "Conv1d(1, 1, 2, dilation=2)", (1, 1, 4), gradient=True)
def grad_weight_dilation_ignored(layer: Conv, arrays: Arrays) -> Gradients:
    """the weight's gradient without dilation"""
    return _of(moved(layer, lambda axis: dilated(axis, 1)), arrays, "weight")


@mutant("conv", "Conv1d(2, 1, 2)", (1, 2, 2), gradient=True)
def grad_weight_flipped(layer: Any, arrays: Arrays) -> Gradients:
    """the weight's gradient turned by 180 degrees"""
    dw = gradients(layer, arrays)["weight"]
    return {"weight": np.flip(dw, tuple(range(2, dw.ndim)))}


@mutant(PLAIN, "Conv2d(2, 1, 2)", (1, 2, 2, 2), gradient=True)
def grad_weight_axes_swapped(layer: Any, arrays: Arrays) -> Gradients:
    """the weight's gradient with its spatial axes in reverse order"""
    dw = gradients(layer, arrays)["weight"]
    turned = np.transpose(dw, (0, 1, *range(dw.ndim - 1, 1, -1)))
    return {"weight": np.ascontiguousarray(turned).reshape(dw.shape)}


@mutant(PLAIN, "Conv1d(2, 2, 1)", (1, 2, 1), gradient=True)
def grad_weight_in_out_swapped(layer: Any, arrays: Arrays) -> Gradients:
    """the weight's gradient with input and output channels exchanged"""
    dw = gradients(layer, arrays)["weight"]
    return {"weight": np.ascontiguousarray(dw.swapaxes(0, 1)).reshape(dw.shape)}


@mutant(PLAIN, "Conv1d(1, 1, 1)", (2, 1, 1), gradient=True)
def grad_weight_mean_over_the_batch(layer: Any, arrays: Arrays) -> Gradients:
    """the weight's gradient averaged over the batch instead of summed"""
    dw = gradients(layer, arrays)["weight"]
    return {"weight": dw / dw.dtype.type(len(images(layer, arrays["x"])))}


@mutant(PLAIN, "Conv1d(1, 1, 1)", (2, 1, 1), gradient=True)
def grad_weight_of_the_last_image(layer: Any, arrays: Arrays) -> Gradients:
    """the weight's gradient overwritten by every image instead of added up"""
    dy = arrays["dy"].copy()
    images(layer, dy)[:-1] = 0
    return _of(layer, {**arrays, "dy": dy}, "weight")


@mutant(PLAIN, "Conv1d(2, 2, 1, groups=2)", (1, 2, 2), gradient=True)
def grad_weight_of_the_first_group(layer: Any, arrays: Arrays) -> Gradients:
    """the weight's gradient from the first group's input for every group"""
    groups = layer.groups or 1

    def first(x: Array) -> Array:
        blocks = x.reshape(groups, -1, *x.shape[1:])
        return np.repeat(blocks[:1], groups, axis=0).reshape(x.shape)

    return _of(layer, {**arrays, "x": with_channels(layer, arrays["x"], first)}, "weight")


@mutant(PLAIN, "Conv1d(2, 2, 1, groups=2)", (1, 2, 1), gradient=True)
def grad_input_groups_reversed(layer: Any, arrays: Arrays) -> Gradients:
    """the input's gradient with the groups in reverse order"""
    groups = layer.groups or 1

    def turned(x: Array) -> Array:
        return x.reshape(groups, -1, *x.shape[1:])[::-1].reshape(x.shape)

    return {"x": with_channels(layer, gradients(layer, arrays)["x"], turned)}


@mutant(PLAIN, "Conv1d(1, 1, 1)", (2, 1, 1), gradient=True)
def grad_bias_of_the_first_image(layer: Any, arrays: Arrays) -> Gradients:
    """the bias's gradient from the first image alone"""
    dy = arrays["dy"].copy()
    images(layer, dy)[1:] = 0
    return _of(layer, {**arrays, "dy": dy}, "bias")


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 4), gradient=True)
def grad_bias_mean(layer: Any, arrays: Arrays) -> Gradients:
    """the bias's gradient averaged over the positions instead of summed"""
    found, positions = gradients(layer, arrays), by_channel(layer, arrays["dy"])[0].size
    return {"bias": found["bias"] / arrays["x"].dtype.type(positions)} if "bias" in found else {}


@mutant("conv", "Conv1d(1, 1, 1, padding=((0, 1),), padding_mode='replicate')", (1, 1, 1), gradient=True)
def grad_of_copied_cells_lost(layer: Conv, arrays: Arrays) -> Gradients:
    """the gradients of padding cells not added to the cells they copy"""
    return _of(msgspec.structs.replace(layer, padding_mode="zeros"), arrays, "x")


@mutant("conv", "Conv1d(1, 1, 1, stride=2)", (1, 1, 2), gradient=True)
def grad_input_repeated_by_the_stride(layer: Conv, arrays: Arrays) -> Gradients:
    """gradients between the stride's steps copied instead of 0"""
    dx = gradients(layer, arrays)["x"]
    for place, axis in enumerate(reversed(layer.axes), start=1):
        cells = np.arange(dx.shape[-place]) // axis.stride * axis.stride
        dx = dx.take(cells, axis=-place)
    return {"x": dx}


@mutant(PLAIN, "Conv1d(1, 1, 1)", (1, 1, 2), gradient=True)
def grad_input_last_cell_unwritten(layer: Any, arrays: Arrays) -> Gradients:
    """the last column of the input's gradient left zero"""
    dx = gradients(layer, arrays)["x"]
    dx[..., -1] = 0
    return {"x": dx}


@mutant(PLAIN, "Conv1d(1, 1, 1)", (2, 1, 2), gradient=True)
def grad_input_of_the_first_image(layer: Any, arrays: Arrays) -> Gradients:
    """the first image's gradient for the whole batch"""
    dx = gradients(layer, arrays)["x"]
    images(layer, dx)[1:] = images(layer, dx)[:1]
    return {"x": dx}


@mutant(PLAIN, "Conv1d(1, 2, 1)", (1, 1, 1), gradient=True)
def grad_input_of_the_last_channel(layer: Any, arrays: Arrays) -> Gradients:
    """the input's gradient overwritten by every output channel instead of added up"""

    def last(dy: Array) -> Array:
        dy[:-1] = 0
        return dy

    return _of(layer, {**arrays, "dy": with_channels(layer, arrays["dy"], last)}, "x")


@mutant(PLAIN, "Conv1d(4, 1, 1)", (1, 4, 63), gradient=True)
def grad_in_float16(layer: Any, arrays: Arrays) -> Gradients:
    """gradients rounded to float16"""
    return {name: halved(gradient) for name, gradient in gradients(layer, arrays).items()}


@mutant("conv_transpose", "ConvTranspose1d(1, 1, 3, stride=2, padding=1, output_padding=1)", (1, 1, 1), gradient=True)
def grad_without_the_strip(layer: ConvTranspose, arrays: Arrays) -> Gradients:
    """gradients that arrive in the output_padding strip lost"""
    dy = arrays["dy"].copy()
    for place, axis in enumerate(reversed(layer.axes), start=1):
        strip = np.moveaxis(dy, -place, 0)
        strip[len(strip) - axis.output_padding :] = 0
    return gradients(layer, {**arrays, "dy": dy})


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3), gradient=True)
def grad_offset_as_x_y(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the offsets' gradient as (x, y)"""
    doffset = gradients(layer, arrays)["offset"]
    return {"offset": np.flip(by_point(layer, doffset), -3).reshape(doffset.shape)}


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3), gradient=True)
def grad_offset_negated(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the offsets' gradient with the wrong sign"""
    return {"offset": -gradients(layer, arrays)["offset"]}


@mutant("deform_conv", "DeformConv2d(2, 1, 1)", (1, 2, 3, 3), gradient=True)
def grad_offset_of_the_last_channel(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the offsets' gradient overwritten by every input channel instead of added up"""

    def last(x: Array) -> Array:
        x[:-1] = 0
        return x

    return _of(layer, {**arrays, "x": with_channels(layer, arrays["x"], last)}, "offset")


@mutant("deform_conv", "DeformConv2d(1, 1, 1, modulated=True)", (1, 1, 3, 3), gradient=True)
def grad_offset_mask_ignored(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the offsets' gradient without the mask"""
    return _of(layer, _unmasked(arrays), "offset")


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 1, 1), gradient=True)
def grad_offset_clamped(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the offsets' gradient at points clamped to the input"""
    return _of(layer, resampled(layer, arrays, lambda point, size: np.clip(point, 0, size - 1)), "offset")


@mutant("deform_conv", "DeformConv2d(1, 1, 1, modulated=True)", (1, 1, 3, 3), gradient=True)
def grad_input_mask_ignored(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the input's gradient without the mask"""
    return _of(layer, _unmasked(arrays), "x")


@mutant("deform_conv", "DeformConv2d(1, 1, 1, modulated=True)", (1, 1, 3, 3), gradient=True)
def grad_weight_mask_ignored(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the weight's gradient without the mask"""
    return _of(layer, _unmasked(arrays), "weight")


@mutant("deform_conv", "DeformConv2d(1, 1, 1, modulated=True)", (1, 1, 3, 3), gradient=True)
def grad_mask_times_mask(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the mask's gradient multiplied by the mask"""
    return {"mask": gradients(layer, arrays)["mask"] * arrays["mask"]} if "mask" in arrays else {}


@mutant("deform_conv", "DeformConv2d(1, 1, 1, modulated=True)", (1, 1, 2, 3), gradient=True)
def grad_mask_zero(layer: DeformConv, arrays: Arrays) -> Gradients:
    """no gradient for the mask"""
    del layer
    return {"mask": np.zeros_like(arrays["mask"])} if "mask" in arrays else {}


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3), gradient=True)
def grad_input_nearest(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the input's gradient given to the nearest cell alone"""
    return _of(layer, resampled(layer, arrays, lambda point, _: np.floor(point + 0.5)), "x")


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 1, 1), gradient=True)
def grad_weight_at_zero_offsets(layer: DeformConv, arrays: Arrays) -> Gradients:
    """the weight's gradient without the offsets"""
    return _of(layer, {**arrays, "offset": np.zeros_like(arrays["offset"])}, "weight")


def _unmasked(arrays: Arrays) -> Arrays:
    return {name: np.ones_like(array) if name == "mask" else array for name, array in arrays.items()}
