"""Deformable convolutions: offsets and masks misread, borders and shares wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from convcli.backends import numpy as ours
from convcli.backends import part_arrays
from convcli.backends.compose import sigmoid
from convcli.layers import DeformConv, DeformConvPack
from convcli.verifier.mutants.mutant import biased, by_channel, mutant, without_bias

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]

FAR = 8  # cells past the edge: there a sample is 0


def by_point(layer: DeformConv, offset: Array) -> Array:
    """offset (..., 2*og*T, *out) -> (..., og, T, 2, *out); a view."""
    *batch, _, height, width = offset.shape
    taps = layer.axes[0].kernel * layer.axes[1].kernel
    return offset.reshape(*batch, layer.offset_groups, taps, 2, height, width)


def resampled(layer: DeformConv, arrays: Arrays, change: Callable[[Array, int], Array]) -> Arrays:
    """The arrays with offsets that lead to other points: `change` takes the coordinates of an axis and its size."""
    offset = arrays["offset"]
    moves = by_point(layer, offset)
    space, out = arrays["x"].shape[-2:], offset.shape[-2:]
    taps, positions = np.indices([axis.kernel for axis in layer.axes]).reshape(2, -1), np.indices(out)
    there = np.empty_like(moves)
    for place, (axis, size) in enumerate(zip(layer.axes, space, strict=True)):
        base = positions[place] * axis.stride - axis.before + taps[place][:, None, None] * axis.dilation
        point = moves[..., place, :, :] + base.astype(offset.dtype)
        there[..., place, :, :] = change(point, size) - base
    return {**arrays, "offset": there.reshape(offset.shape)}


def _offset(layer: DeformConv, arrays: Arrays, change: Callable[[Array], Array]) -> Array:
    """Run with the offsets, as (..., og, T, 2, *out), changed."""
    offset = arrays["offset"]
    return ours.forward(layer, {**arrays, "offset": change(by_point(layer, offset)).reshape(offset.shape)})


def _from_group(layer: DeformConv, arrays: Arrays, group: int) -> Array:
    """Run with one group's offsets for all of them."""
    chosen = slice(group, group + 1)
    return _offset(layer, arrays, lambda moves: np.repeat(moves[..., chosen, :, :, :, :], layer.offset_groups, axis=-5))


def _mask(layer: DeformConv, arrays: Arrays, change: Callable[[Array], Array]) -> Array:
    """Run with the masks, as (..., og, T, *out), changed."""
    if "mask" not in arrays:
        return ours.forward(layer, arrays)
    mask = arrays["mask"]
    points = mask.reshape(*mask.shape[:-3], layer.offset_groups, -1, *mask.shape[-2:])
    return ours.forward(layer, {**arrays, "mask": change(points).reshape(mask.shape)})


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3))
def offsets_as_x_y(layer: DeformConv, arrays: Arrays) -> Array:
    """offsets read as (x, y)"""
    return _offset(layer, arrays, lambda moves: np.flip(moves, -3))


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 2, 3))
def offsets_negated(layer: DeformConv, arrays: Arrays) -> Array:
    """offsets subtracted instead of added"""
    return _offset(layer, arrays, np.negative)


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 1, 2))
def offsets_ignored(layer: DeformConv, arrays: Arrays) -> Array:
    """offsets left out"""
    return _offset(layer, arrays, np.zeros_like)


@mutant("deform_conv", "DeformConv2d(2, 1, 1, offset_groups=2)", (1, 2, 2, 3))
def offsets_of_group_0(layer: DeformConv, arrays: Arrays) -> Array:
    """all offsets from the first offset group"""
    return _from_group(layer, arrays, 0)


@mutant("deform_conv", "DeformConv2d(1, 1, (1, 2))", (1, 1, 3, 3))
def offsets_of_the_next_tap(layer: DeformConv, arrays: Arrays) -> Array:
    """each tap with the next one's offsets"""
    return _offset(layer, arrays, lambda moves: np.roll(moves, -1, -4))


@mutant("deform_conv", "DeformConv2d(1, 1, 2)", (1, 1, 3, 3))
def offsets_column_by_column(layer: DeformConv, arrays: Arrays) -> Array:
    """taps of the offsets counted down the columns instead of along the rows"""
    rows, columns = (axis.kernel for axis in layer.axes)

    def turned(moves: Array) -> Array:
        taps = moves.reshape(*moves.shape[:-4], columns, rows, *moves.shape[-3:])
        return taps.swapaxes(-5, -4).reshape(moves.shape)

    return _offset(layer, arrays, turned)


@mutant("deform_conv", "DeformConv2d(1, 1, (1, 2))", (1, 1, 3, 3))
def offsets_in_two_halves(layer: DeformConv, arrays: Arrays) -> Array:
    """offsets read as all of y, then all of x"""

    def halves(moves: Array) -> Array:
        flat = moves.reshape(*moves.shape[:-4], 2, moves.shape[-4], *moves.shape[-2:])
        return flat.swapaxes(-4, -3)

    return _offset(layer, arrays, halves)


@mutant("deform_conv", "DeformConv2d(1, 1, 1, stride=2)", (1, 1, 4, 5))
def offsets_times_stride(layer: DeformConv, arrays: Arrays) -> Array:
    """offsets counted in strides instead of cells"""
    scale = np.array([axis.stride for axis in layer.axes], arrays["offset"].dtype)[:, None, None]
    return _offset(layer, arrays, lambda moves: moves * scale)


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (2, 1, 2, 3))
def offsets_of_the_first_image(layer: DeformConv, arrays: Arrays) -> Array:
    """the first image's offsets for the whole batch"""
    if arrays["offset"].ndim == 3:
        return ours.forward(layer, arrays)
    return _offset(layer, arrays, lambda moves: np.repeat(moves[:1], len(moves), axis=0))


@mutant("deform_conv", "DeformConv2d(4, 1, 1, offset_groups=2)", (1, 4, 3, 2))
def offset_groups_interleaved(layer: DeformConv, arrays: Arrays) -> Array:
    """offset group c % og instead of c // (C/og) for input channel c"""
    og, channels = layer.offset_groups, by_channel(layer, arrays["x"]).shape[0]
    y = np.zeros_like(ours.forward(layer, arrays))
    for group in range(og):
        kept = arrays["x"].copy()
        by_channel(layer, kept)[np.arange(channels) % og != group] = 0
        y = y + _from_group(layer, {**without_bias(arrays), "x": kept}, group)
    return biased(layer, y, arrays).astype(y.dtype)


@mutant("deform_conv", "DeformConv2d(2, 2, 1, offset_groups=2)", (1, 2, 3, 2))
def offset_group_by_output_channel(layer: DeformConv, arrays: Arrays) -> Array:
    """offset group chosen by the output's channel"""
    og, y = layer.offset_groups, ours.forward(layer, arrays)
    outs = by_channel(layer, y).shape[0]
    if outs % og:
        return y
    for group in range(og):
        alike = _from_group(layer, arrays, group)
        block = slice(group * outs // og, (group + 1) * outs // og)
        by_channel(layer, y)[block] = by_channel(layer, alike)[block]
    return y


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 1, 2))
def clamped_instead_of_faded(layer: DeformConv, arrays: Arrays) -> Array:
    """points outside clamped to the edge instead of fading to 0"""
    return ours.forward(layer, resampled(layer, arrays, lambda point, size: np.clip(point, 0, size - 1)))


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 5, 5))
def clamped_within_a_cell(layer: DeformConv, arrays: Arrays) -> Array:
    """RoIAlign's rule at the border: clamped within one cell, 0 further out"""

    def edge(point: Array, size: int) -> Array:
        return np.where((point <= -1) | (point >= size), size + FAR, np.clip(point, 0, size - 1))

    return ours.forward(layer, resampled(layer, arrays, edge))


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 5, 5))
def zero_outside_instead_of_faded(layer: DeformConv, arrays: Arrays) -> Array:
    """0 outside the outermost cells' centres instead of fading over one cell"""

    def sharp(point: Array, size: int) -> Array:
        return np.where((point < 0) | (point > size - 1), size + FAR, point)

    return ours.forward(layer, resampled(layer, arrays, sharp))


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 1, 3))
def wrapped_at_the_border(layer: DeformConv, arrays: Arrays) -> Array:
    """points outside taken from the other end"""
    return ours.forward(layer, resampled(layer, arrays, np.mod))


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3))
def nearest_instead_of_bilinear(layer: DeformConv, arrays: Arrays) -> Array:
    """coordinates rounded to the nearest cell"""
    return ours.forward(layer, resampled(layer, arrays, lambda point, _: np.floor(point + 0.5)))


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3))
def coordinates_cut_off(layer: DeformConv, arrays: Arrays) -> Array:
    """coordinates cut to whole cells"""
    return ours.forward(layer, resampled(layer, arrays, lambda point, _: np.floor(point)))


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3))
def bilinear_shares_swapped(layer: DeformConv, arrays: Arrays) -> Array:
    """a corner's share given to the opposite one"""

    def mirrored(point: Array, _: int) -> Array:
        return 2 * np.floor(point) + 1 - point

    return ours.forward(layer, resampled(layer, arrays, mirrored))


@mutant("deform_conv", "DeformConv2d(1, 1, 1)", (1, 1, 3, 3))
def half_a_cell_off(layer: DeformConv, arrays: Arrays) -> Array:
    """points half a cell off (align_corners)"""
    return ours.forward(layer, resampled(layer, arrays, lambda point, _: point - 0.5))


@mutant("deform_conv", "DeformConv2d(1, 1, 1, modulated=True)", (1, 1, 3, 4))
def mask_ignored(layer: DeformConv, arrays: Arrays) -> Array:
    """the mask left out"""
    return _mask(layer, arrays, np.ones_like)


@mutant("deform_conv", "DeformConv2d(1, 1, 1, modulated=True)", (1, 1, 3, 4))
def mask_squared(layer: DeformConv, arrays: Arrays) -> Array:
    """the mask applied twice"""
    return _mask(layer, arrays, np.square)


@mutant("deform_conv", "DeformConv2d(1, 1, 1, modulated=True)", (1, 1, 3, 3))
def mask_through_a_sigmoid(layer: DeformConv, arrays: Arrays) -> Array:
    """a sigmoid of the mask instead of the mask as given"""
    return _mask(layer, arrays, sigmoid)


@mutant("deform_conv", "DeformConv2d(1, 1, (1, 2), modulated=True)", (1, 1, 3, 3))
def mask_of_the_next_tap(layer: DeformConv, arrays: Arrays) -> Array:
    """each tap with the next one's mask"""
    return _mask(layer, arrays, lambda mask: np.roll(mask, -1, -3))


@mutant("deform_conv", "DeformConv2d(2, 1, 1, offset_groups=2, modulated=True)", (1, 2, 3, 4))
def mask_of_group_0(layer: DeformConv, arrays: Arrays) -> Array:
    """all masks from the first offset group"""
    return _mask(layer, arrays, lambda mask: np.repeat(mask[..., :1, :, :, :], mask.shape[-4], axis=-4))


@mutant("deform_conv_pack", "DeformConv2dPack(1, 1, 1)", (1, 1, 2, 2))
def predictor_bias_missing(layer: DeformConvPack, arrays: Arrays) -> Array:
    """the offset convolution's bias left out"""
    return ours.forward(layer, {**arrays, "offset_conv.bias": np.zeros_like(arrays["offset_conv.bias"])})


@mutant("deform_conv_pack", "DeformConv2dPack(1, 1, 1, modulated=True)", (1, 1, 2, 2))
def pack_mask_without_sigmoid(layer: DeformConvPack, arrays: Arrays) -> Array:
    """a pack's mask without its sigmoid"""
    return _packed(layer, arrays, lambda offset, logits: (offset, logits))


@mutant("deform_conv_pack", "DeformConv2dPack(1, 1, 1, modulated=True)", (1, 1, 2, 2))
def pack_sigmoid_twice(layer: DeformConvPack, arrays: Arrays) -> Array:
    """a pack's mask through two sigmoids"""
    return _packed(layer, arrays, lambda offset, logits: (offset, sigmoid(sigmoid(logits))))


@mutant("deform_conv_pack", "DeformConv2dPack(1, 1, 1, modulated=True)", (1, 1, 5, 4))
def pack_mask_doubled(layer: DeformConvPack, arrays: Arrays) -> Array:
    """a pack's mask as 2 * sigmoid"""
    return _packed(layer, arrays, lambda offset, logits: (offset, 2 * sigmoid(logits)))


@mutant("deform_conv_pack", "DeformConv2dPack(6, 1, 1)", (1, 6, 3, 3))
def pack_offsets_as_x_y(layer: DeformConvPack, arrays: Arrays) -> Array:
    """a pack's offsets read as (x, y)"""

    def swapped(offset: Array, logits: Array) -> tuple[Array, Array]:
        pairs = offset.reshape(*offset.shape[:-3], -1, 2, *offset.shape[-2:])
        return np.flip(pairs, -3).reshape(offset.shape), sigmoid(logits)

    return _packed(layer, arrays, swapped)


def _packed(layer: DeformConvPack, arrays: Arrays, side: Callable[[Array, Array], tuple[Array, Array]]) -> Array:
    """A pack whose `side` makes offset and mask of what its convolution predicts of them."""
    first, second = layer.parts(arrays["x"].shape[-3:])
    predicted = ours.forward(first.layer, {"x": arrays["x"], **part_arrays(first.name, arrays)})
    count = second.layer.side_inputs(second.x)["offset"][0]
    offset, mask = side(*np.split(predicted, [count], axis=-3))
    inputs = {"x": arrays["x"], "offset": np.ascontiguousarray(offset)}
    if layer.modulated:
        inputs["mask"] = np.ascontiguousarray(mask)
    return ours.forward(second.layer, {**inputs, **part_arrays(second.name, arrays)})
