"""Which cells a kernel touches: the padded input, its windows as a view, its taps as boxes, positions in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.axis import Axis
    from convcli.kernels.arguments import Array, Call

Box = tuple[slice, ...]
NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def padded(call: Call, *, channels_last: bool = False) -> Array:
    """(N, C, *in) -> (N, C, *(before + in + after)), padded or cropped; x itself when there is nothing to do.

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
    # a negative padding crops, even past the input's other end: only the cells from `first` to `stop` remain
    ends = [
        (max(0, -a.before), max(0, -a.before, min(size, size + a.after)), a.before)
        for a, size in zip(axes, space, strict=True)
    ]
    there = [slice(first + shift, stop + shift) for first, stop, shift in ends]
    copied(x[last(*[slice(first, stop) for first, stop, _ in ends])], whole[last(*there)])
    return whole


def last(*index: int | slice) -> tuple[Any, ...]:
    """The index of an array's last axes, whatever comes before them."""
    return (..., *index)


def windows(cells: Array, axes: tuple[Axis, ...], out: tuple[int, ...]) -> Array:
    """Padded cells (N, C, *in) -> (N, C, *kernel, *out), a view: entry [n, c, t, p] is cell stride*p + dilation*t."""
    steps = cells.strides[2:]
    shape = (*cells.shape[:2], *[axis.kernel for axis in axes], *out)
    by_tap = [step * axis.dilation for step, axis in zip(steps, axes, strict=True)]
    by_position = [step * axis.stride for step, axis in zip(steps, axes, strict=True)]
    return as_strided(cells, shape, (*cells.strides[:2], *by_tap, *by_position), writeable=False)


def copied(source: Array, into: Array) -> None:
    """into[...] = source; rows that lie side by side in both are an item each: half the time where they are short."""
    if source.size and source.strides[-1] == into.strides[-1] == source.itemsize:
        row = f"V{source.shape[-1] * source.itemsize}"
        source, into = source.view(row), into.view(row)
    into[...] = source


def tap_boxes(
    axes: tuple[Axis, ...], counts: tuple[int, ...], first: tuple[int, ...] = (0, 0, 0)
) -> Iterator[tuple[tuple[int, ...], Box]]:
    """(tap, box) for every tap of the kernel: the box is the strided cells it touches from `counts` positions on.

    The cells are those of the padded input, the positions begin at `first`.
    """
    for tap in np.ndindex(*[axis.kernel for axis in axes]):
        starts = [p * a.stride + t * a.dilation for p, t, a in zip(first, tap, axes, strict=False)]
        yield (
            tap,
            tuple(slice(s, s + (n - 1) * a.stride + 1, a.stride) for s, n, a in zip(starts, counts, axes, strict=True)),
        )


def blocks(counts: tuple[int, ...], most: int) -> Iterator[Box]:
    """The grid `counts` cut in its order into boxes of at most `most` points: single steps, a run, then whole axes."""
    if 0 in counts:
        return
    place, inner = len(counts) - 1, 1
    while place > 0 and inner * counts[place] <= most:
        inner *= counts[place]
        place -= 1
    run = max(1, most // inner)
    rest = [slice(0, count) for count in counts[place + 1 :]]
    for head in np.ndindex(*counts[:place]):
        for first in range(0, counts[place], run):
            yield (*[slice(i, i + 1) for i in head], slice(first, min(first + run, counts[place])), *rest)


def runs(count: int, most: int) -> Iterator[slice]:
    """0 .. count cut into slices of at most `most`; for nothing an empty one."""
    return (slice(first, min(first + most, count)) for first in range(0, max(1, count), most))
