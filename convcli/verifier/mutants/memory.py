"""Memory misread or left unwritten: layouts, batches, tails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends import numpy as ours
from convcli.verifier.mutants.mutant import images, mutant

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]

EVERY = "conv conv_transpose separable deform_conv deform_conv_pack"


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 2))
def last_column_unwritten(layer: Any, arrays: Arrays) -> Array:
    """the last column left zero, of several"""
    return _blank(ours.forward(layer, arrays), -1)


@mutant(EVERY, "Conv2d(1, 1, 1)", (1, 1, 2, 1))
def last_row_unwritten(layer: Any, arrays: Arrays) -> Array:
    """the last row left zero, of several"""
    return _blank(ours.forward(layer, arrays), -len(layer.axes))


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 5))
def columns_past_vectors_of_4_unwritten(layer: Any, arrays: Arrays) -> Array:
    """columns past the last whole vector of 4 left zero"""
    y = ours.forward(layer, arrays)
    y[..., y.shape[-1] // 4 * 4 or y.shape[-1] :] = 0
    return y


@mutant(EVERY, "Conv1d(1, 1, 1)", (2, 1, 1))
def first_image_for_all(layer: Any, arrays: Arrays) -> Array:
    """the first image's output for the whole batch"""
    y = ours.forward(layer, arrays)
    images(layer, y)[1:] = images(layer, y)[:1]
    return y


@mutant(EVERY, "Conv1d(1, 1, 1)", (2, 1, 1))
def last_image_unwritten(layer: Any, arrays: Arrays) -> Array:
    """the last image's output left zero, of several"""
    y = ours.forward(layer, arrays)
    images(layer, y)[1:][-1:] = 0
    return y


@mutant(EVERY, "Conv1d(1, 1, 1)", (2, 1, 1))
def images_added_up(layer: Any, arrays: Arrays) -> Array:
    """each image's output added to those before it"""
    y = ours.forward(layer, arrays)
    found: Array = np.cumsum(images(layer, y), axis=0, dtype=y.dtype).reshape(y.shape)
    return found


@mutant(EVERY, "Conv1d(1, 1, 1, bias=False)", (3, 1, 2))
def wrong_for_three_images_and_more(layer: Any, arrays: Arrays) -> Array:
    """a batch of more than two misread"""
    y = ours.forward(layer, arrays)
    if len(images(layer, y)) > 2:
        images(layer, y)[1:] = np.flip(images(layer, y)[1:], 0).copy()
    return y


@mutant(EVERY, "Conv2d(1, 1, 1)", (1, 1, 2, 3))
def wrong_for_non_square_inputs(layer: Any, arrays: Arrays) -> Array:
    """height taken for width where they differ"""
    x = arrays["x"]
    height, width = (1, *x.shape)[-2:]
    if len(layer.axes) < 2 or height == width:
        return ours.forward(layer, arrays)
    misread = np.ascontiguousarray(x.reshape(*x.shape[:-2], width, height).swapaxes(-1, -2))
    return ours.forward(layer, {**arrays, "x": misread})


@mutant(EVERY, "Conv1d(2, 1, 1)", (1, 2, 3))
def channels_last_misread(layer: Any, arrays: Arrays) -> Array:
    """memory read as channels last"""
    x, rank = arrays["x"], len(layer.axes)
    channels = x.shape[-1 - rank]
    pixels = x.reshape(*x.shape[: -1 - rank], -1, channels).swapaxes(-1, -2)
    return ours.forward(layer, {**arrays, "x": np.ascontiguousarray(pixels).reshape(x.shape)})


@mutant(EVERY, "Conv1d(1, 1, 1)", (1, 1, 2))
def strides_of_x_ignored(layer: Any, arrays: Arrays) -> Array:
    """x read as if it were contiguous"""
    return ours.forward(layer, {**arrays, "x": _as_contiguous(arrays["x"])})


@mutant("conv conv_transpose deform_conv", "Conv1d(1, 1, 2)", (1, 1, 2))
def strides_of_the_weight_ignored(layer: Any, arrays: Arrays) -> Array:
    """the weight read as if it were contiguous"""
    return ours.forward(layer, {**arrays, "weight": _as_contiguous(arrays["weight"])})


def _as_contiguous(array: Array) -> Array:
    """The memory of an array, number by number, from where its buffer begins."""
    if array.flags.c_contiguous:
        return array
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    return np.resize(whole.reshape(-1), array.shape)


def _blank(y: Array, axis: int) -> Array:
    line = np.moveaxis(y, axis, 0)
    line[max(1, len(line) - 1) :] = 0
    return y
