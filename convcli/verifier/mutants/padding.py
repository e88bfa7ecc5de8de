"""Padding that is missing, misplaced, or of another kind than was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.axis import Axis
from convcli.backends import numpy as ours
from convcli.layers import Conv
from convcli.verifier.mutants.mutant import moved, mutant, replaced, shared

if TYPE_CHECKING:
    from convcli.backends import Array

    Arrays = dict[str, Array]


def _padded(axis: Axis, before: int, after: int) -> Axis:
    return msgspec.structs.replace(axis, before=before, after=after)


@mutant("conv", "Conv1d(1, 1, 1, padding=1)", (1, 1, 1))
def padding_one_more(layer: Conv, arrays: Arrays) -> Array:
    """padding of one cell more on either side"""
    return ours.forward(moved(layer, lambda axis: _padded(axis, axis.before + 1, axis.after + 1)), arrays)


@mutant("conv", "Conv1d(1, 1, 1, padding=1)", (1, 1, 1))
def padding_one_less(layer: Conv, arrays: Arrays) -> Array:
    """padding of one cell less on either side"""
    return ours.forward(moved(layer, lambda axis: _padded(axis, axis.before - 1, axis.after - 1)), arrays)


@mutant("conv", "Conv1d(1, 1, 1)", (1, 1, 1))
def padding_before_off_by_one(layer: Conv, arrays: Arrays) -> Array:
    """the input one cell too far to the end"""
    return ours.forward(moved(layer, lambda axis: _padded(axis, axis.before + 1, axis.after - 1)), arrays)


@mutant("conv", "Conv1d(1, 1, 1)", (1, 1, 1))
def padding_after_off_by_one(layer: Conv, arrays: Arrays) -> Array:
    """the input one cell too far to the front"""
    return ours.forward(moved(layer, lambda axis: _padded(axis, axis.before - 1, axis.after + 1)), arrays)


@mutant("conv", "Conv1d(1, 1, 1, padding=((1, 0),))", (1, 1, 1))
def padding_all_after(layer: Conv, arrays: Arrays) -> Array:
    """all of the padding at the end"""
    return ours.forward(moved(layer, lambda axis: _padded(axis, 0, axis.before + axis.after)), arrays)


@mutant("conv", "Conv1d(1, 1, 1, padding=((0, 1),))", (1, 1, 1))
def padding_all_before(layer: Conv, arrays: Arrays) -> Array:
    """all of the padding at the front"""
    return ours.forward(moved(layer, lambda axis: _padded(axis, axis.before + axis.after, 0)), arrays)


@mutant("conv", "Conv1d(1, 1, 2, padding='same_upper')", (1, 1, 1))
def same_lower_for_same_upper(layer: Conv, arrays: Arrays) -> Array:
    """SAME_LOWER instead of SAME_UPPER, or the padding's sides exchanged"""
    return ours.forward(moved(layer, lambda axis: _padded(axis, axis.after, axis.before)), arrays)


@mutant("conv", "Conv1d(1, 1, 1, stride=2, padding='same_upper')", (1, 1, 3))
def same_rounds_down(layer: Conv, arrays: Arrays) -> Array:
    """floor(size / stride) outputs instead of the ceiling"""
    return ours.forward(layer, arrays)[..., : max(1, arrays["x"].shape[-1] // layer.axes[-1].stride)]


@mutant("conv", "Conv1d(1, 1, 1, stride=2)", (1, 1, 2))
def output_rounds_up(layer: Conv, arrays: Arrays) -> Array:
    """the output's size rounded up instead of down"""
    space = arrays["x"].shape[-len(layer.axes) :]
    ends = [
        -(size + axis.before + axis.after - axis.span) % axis.stride
        for axis, size in zip(layer.axes, space, strict=True)
    ]
    axes = [_padded(axis, axis.before, axis.after + end) for axis, end in zip(layer.axes, ends, strict=True)]
    return ours.forward(replaced(layer, tuple(axes)), arrays)


@mutant("conv", "Conv2d(1, 1, 1, padding=(0, 1))", (1, 1, 1, 1))
def padding_axes_swapped(layer: Conv, arrays: Arrays) -> Array:
    """the padding of the axes in reverse order"""
    return ours.forward(shared(shared(layer, "before", _reversed), "after", _reversed), arrays)


@mutant("conv", "Conv1d(1, 1, 1, padding=1)", (1, 1, 1))
def padding_of_ones(layer: Conv, arrays: Arrays) -> Array:
    """padding that is not zero (a zero point left out)"""
    return _run(layer, arrays, lambda x, pads: np.pad(x, pads, constant_values=1))


@mutant("conv", "Conv1d(1, 1, 1, padding=1, padding_mode='replicate')", (1, 1, 1))
def zeros_for_the_padding_mode(layer: Conv, arrays: Arrays) -> Array:
    """zeros instead of the padding mode"""
    return ours.forward(msgspec.structs.replace(layer, padding_mode="zeros"), arrays)


@mutant("conv", "Conv1d(1, 1, 1, padding=((1, 0),), padding_mode='reflect')", (1, 1, 2))
def symmetric_for_reflect(layer: Conv, arrays: Arrays) -> Array:
    """reflection that repeats the edge (numpy's "symmetric")"""
    return _in_mode(layer, arrays, "reflect", "symmetric")


@mutant("conv", "Conv1d(1, 1, 1, padding=((1, 0),), padding_mode='reflect')", (1, 1, 2))
def replicate_for_reflect(layer: Conv, arrays: Arrays) -> Array:
    """the edge repeated instead of reflected"""
    return _in_mode(layer, arrays, "reflect", "edge")


@mutant("conv", "Conv1d(1, 1, 1, padding=((1, 0),), padding_mode='replicate')", (1, 1, 3))
def reflect_for_replicate(layer: Conv, arrays: Arrays) -> Array:
    """the edge reflected instead of repeated"""
    return _in_mode(layer, arrays, "replicate", "reflect")


@mutant("conv", "Conv1d(1, 1, 1, padding=1, padding_mode='circular')", (1, 1, 3))
def replicate_for_circular(layer: Conv, arrays: Arrays) -> Array:
    """the edge repeated instead of the other end's cells"""
    return _in_mode(layer, arrays, "circular", "edge")


@mutant("conv", "Conv1d(1, 1, 1, padding=((0, 1),), padding_mode='circular')", (1, 1, 3))
def circular_mirrored(layer: Conv, arrays: Arrays) -> Array:
    """circular padding whose sides are exchanged"""
    if layer.padding_mode != "circular":
        return ours.forward(layer, arrays)
    return _run(layer, arrays, lambda x, pads: np.flip(np.pad(np.flip(x, axis=-1), pads, "edge"), axis=-1))


@mutant("conv", "Conv2d(1, 1, 1, padding=((0, 1), (0, 1)), padding_mode='replicate')", (1, 1, 1, 1))
def corners_not_padded(layer: Conv, arrays: Arrays) -> Array:
    """corners of the padding left zero"""
    if layer.padding_mode == "zeros" or len(layer.axes) < 2:
        return ours.forward(layer, arrays)
    mode: Any = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[layer.padding_mode]

    def crossed(x: Array, pads: Sequence[tuple[int, int]]) -> Array:
        whole = np.pad(x, pads, mode)
        beside = np.zeros(whole.shape[-len(layer.axes) :], int)
        for place, (before, after) in enumerate(pads[-len(layer.axes) :]):
            line = np.arange(beside.shape[place])
            outside = (line < before) | (line >= beside.shape[place] - after)
            beside += outside.reshape(-1, *(1,) * (beside.ndim - 1 - place))
        return np.where(beside < 2, whole, 0).astype(x.dtype)

    return _run(layer, arrays, crossed)


def _in_mode(layer: Conv, arrays: Arrays, asked: str, mode: Any) -> Array:
    if layer.padding_mode != asked:
        return ours.forward(layer, arrays)
    return _run(layer, arrays, lambda x, pads: np.pad(x, pads, mode))


def _run(layer: Conv, arrays: Arrays, pad: Any) -> Array:
    """The layer on an x that is padded by hand; a padding that crops is left to the layer."""
    x = arrays["x"]
    pads = [(max(0, axis.before), max(0, axis.after)) for axis in layer.axes]
    rest = moved(layer, lambda axis: _padded(axis, min(0, axis.before), min(0, axis.after)))
    bare = msgspec.structs.replace(rest, padding_mode="zeros")
    return ours.forward(bare, {**arrays, "x": pad(x, [(0, 0)] * (x.ndim - len(pads)) + pads)})


def _reversed(values: list[int]) -> list[int]:
    return values[::-1]
