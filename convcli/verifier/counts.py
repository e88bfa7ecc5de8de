"""How many roundings each element suffers: the terms that are really added up there, position by position.

A product with a padding cell of zeros is exact and adds nothing. On plain layers an input cell, a tap and an output
meet axis by axis, so that counts are products of what each axis counts; on deformable ones the offsets decide.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convcli.axis import Axis
from convcli.backends.numpy_regions import region_reads
from convcli.layers import ConvTranspose, DeformConv, DeformRoIPool, Layer, Shape
from convcli.verifier.bounds import INTERPOLATION, MODULATION, REGION, gradient_roundings, groups_of, roundings
from convcli.verifier.samples import inside, visits

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Meetings(NamedTuple):
    """One axis: how many products have each output, tap and input cell."""

    outputs: Array
    taps: Array
    cells: Array


def meetings(layer: Layer, axis: Axis, size: int) -> Meetings:
    """cell = output*stride + tap*dilation - before, the padding's copies included; transposed the other way round."""
    if isinstance(layer, ConvTranspose):
        mirrored = _met(axis, axis.transposed_out(size), size, np.arange(axis.transposed_out(size)), 0)
        return Meetings(mirrored.cells, mirrored.taps, mirrored.outputs)
    mode = getattr(layer, "padding_mode", "zeros")
    if mode == "zeros":
        return _met(axis, size, axis.out(size), np.arange(size), 0)
    copies = np.pad(np.arange(size), (axis.before, axis.after), mode=MODES[mode])  # type: ignore[call-overload]
    return _met(axis, size, axis.out(size), copies, axis.before)


def _met(axis: Axis, size: int, outs: int, cells: Array, before: int) -> Meetings:
    output, tap = np.indices((outs, axis.kernel)).reshape(2, -1)
    place = output * axis.stride + tap * axis.dilation - axis.before + before
    there = (place >= 0) & (place < len(cells))
    counted = ((output[there], outs), (tap[there], axis.kernel), (cells[place[there]], size))
    return Meetings(*(np.bincount(which, minlength=length) for which, length in counted))


def output_counts(layer: Layer, arrays: Arrays) -> Array:
    """Of every output, in a shape that broadcasts to y: a product, its sums, the bias, what sampling takes."""
    if isinstance(layer, DeformRoIPool):
        return np.asarray(roundings(layer, _image(layer, arrays)))
    x = _image(layer, arrays)
    biased, channels = int("bias" in arrays), x[0] // groups_of(layer)
    if not isinstance(layer, DeformConv):
        met = [meetings(layer, axis, size) for axis, size in zip(layer.axes, x[1:], strict=True)]
        return channels * _outer([one.outputs for one in met]) + biased
    seen = inside(layer, arrays["offset"], x).sum(axis=2)  # (N, og, *out)
    each = np.repeat(seen, x[0] // seen.shape[1], axis=1)  # by input channel
    summed = each.reshape(len(seen), groups_of(layer), channels, *seen.shape[2:]).sum(axis=2)
    whole = np.repeat(summed, len(arrays["weight"]) // groups_of(layer), axis=1) + biased
    whole = whole + INTERPOLATION + MODULATION * ("mask" in arrays)
    return whole if arrays["x"].ndim > len(x) else whole[0]


def gradient_counts(layer: Layer, arrays: Arrays, images: int) -> dict[str, Array]:
    """Of every gradient's elements, in shapes that broadcast; its most where the place does not tell."""
    x = _image(layer, arrays)
    most = {name: np.asarray(n) for name, n in gradient_roundings(layer, x, images).items()}
    if isinstance(layer, DeformRoIPool):
        return {**most, "x": region_reads(layer, arrays) + REGION}
    outs, kernel = layer.output(x)[0] // groups_of(layer), tuple(axis.kernel for axis in layer.axes)
    if not isinstance(layer, DeformConv):
        met = [meetings(layer, axis, size) for axis, size in zip(layer.axes, x[1:], strict=True)]
        known = {"x": outs * _outer([one.cells for one in met]), "weight": images * _outer([one.taps for one in met])}
        return {**most, **known}
    more = MODULATION * ("mask" in arrays)
    seen = inside(layer, arrays["offset"], x).sum(axis=(0, 3, 4))  # (og, T)
    by_channel = np.repeat(seen, x[0] // len(seen), axis=0).reshape(groups_of(layer), 1, -1, *kernel)
    dw = np.repeat(by_channel, outs, axis=1).reshape(arrays["weight"].shape) + INTERPOLATION + more
    hits = visits(layer, arrays["offset"], x)
    dx = np.repeat(hits + (hits > 0) * (outs + 1 + more), x[0] // hits.shape[1], axis=1)
    return {**most, "x": dx.reshape(arrays["x"].shape), "weight": dw}


def _outer(counts: list[Array]) -> Array:
    return np.asarray(reduce(np.multiply.outer, counts, np.ones((), int)))


def _image(layer: Layer, arrays: Arrays) -> Shape:
    return layer.split(arrays["x"].shape)[1]
