"""Which cells a kernel touches: the padded input, its windows as a view, its taps as boxes, positions in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convcli.axis import Axis
from convcli.kernels.arguments import Array, Call

Box = tuple[slice, ...]
NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def padded(call: Call, *, channels_last: bool = False) -> Array:
    """X (N, C, *in) -> (N, C, *(before + in + after)); x itself when there is nothing to do.

    channels_last lays the result out with a cell's channels side by side in memory; its shape is the same.
    """
    x = call.x
    if call.padding_mode != "zeros":
        for place, (axis, size) in enumerate(zip(call.axes, call.space, strict=True), start=2):
            cells = np.pad(np.arange(size), (axis.before, axis.after), NUMPY_MODES[call.padding_mode])  # type: ignore[call-overload]
            x = x.take(cells, axis=place)
    elif any(axis.before or axis.after for axis in call.axes):
        return _zero_padded(x, call.axes, channels_last=channels_last)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if channels_last else x


def _zero_padded(x: Array, axes: tuple[Axis, ...], *, channels_last: bool) -> Array:
    n, channels, *space = x.shape
    grown = [axis.before + size + axis.after for axis, size in zip(axes, space, strict=True)]
    if channels_last:
        whole = np.moveaxis(np.zeros((n, *grown, channels), x.dtype), -1, 1)
    else:
        whole = np.zeros((n, channels, *grown), x.dtype)
    # a negative padding crops, even past the input's other end: only the cells from `first` to `last` remain
    ends = [
        (max(0, -a.before), max(0, -a.before, min(size, size + a.after)), a.before)
        for a, size in zip(axes, space, strict=True)
    ]
    there = tuple(slice(first + shift, last + shift) for first, last, shift in ends)
    whole[(..., *there)] = x[(..., *[slice(first, last) for first, last, _ in ends])]
    return whole


def windows(cells: Array, axes: tuple[Axis, ...], out: tuple[int, ...]) -> Array:
    """Padded cells (N, C, *in) -> (N, C, *kernel, *out), a view: entry [n, c, t, p] is cell stride*p + dilation*t."""
    steps = cells.strides[2:]
    shape = (*cells.shape[:2], *[axis.kernel for axis in axes], *out)
    by_tap = [step * axis.dilation for step, axis in zip(steps, axes, strict=True)]
    by_position = [step * axis.stride for step, axis in zip(steps, axes, strict=True)]
    return as_strided(cells, shape, (*cells.strides[:2], *by_tap, *by_position), writeable=False)


def tap_boxes(axes: tuple[Axis, ...], out: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Box]]:
    """(tap, box) for every tap of the kernel: the box is the strided cells of the padded input that the tap touches."""
    for tap in np.ndindex(*[axis.kernel for axis in axes]):
        firsts = [t * axis.dilation for t, axis in zip(tap, axes, strict=True)]
        yield (
            tap,
            tuple(slice(f, f + (n - 1) * a.stride + 1, a.stride) for f, n, a in zip(firsts, out, axes, strict=True)),
        )


def blocks(counts: tuple[int, ...], most: int) -> Iterator[Box]:
    """The grid `counts` cut in its order into boxes of at most `most` points: single steps, a run, then whole axes."""
    place, inner = len(counts) - 1, 1
    while place > 0 and inner * counts[place] <= most:
        inner *= counts[place]
        place -= 1
    run = max(1, most // inner)
    rest = [slice(0, count) for count in counts[place + 1 :]]
    for head in np.ndindex(*counts[:place]):
        for first in range(0, counts[place], run):
            yield (*[slice(i, i + 1) for i in head], slice(first, min(first + run, counts[place])), *rest)
