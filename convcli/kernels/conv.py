"""Convolution as deep learning has it (a cross-correlation): forms that agree bit for bit where nothing rounds."""

from __future__ import annotations

from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from convcli.axis import Axis, Padding
from convcli.errors import SpecError
from convcli.kernels.arguments import Array, Call, Numbers, convolution_call, known, result
from convcli.kernels.banded import banded, fitting
from convcli.kernels.columns import im2col, small
from convcli.kernels.depthwise import depthwise
from convcli.kernels.products import product
from convcli.kernels.rows import by_rows, sharing
from convcli.kernels.transforms import fft, winograd
from convcli.kernels.windows import last, padded, tap_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS = frozenset({"fft", "winograd"})  # the methods that round where nothing else does: auto never takes them
MATRIX_ELEMENTS = 2**24  # C of y = Cx is for looking at: larger ones are refused


def conv(  # noqa: PLR0913 - PyTorch's arguments
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    stride: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    method: str = "auto",
) -> Array:
    """y[n, o, p] = bias[o] + sum over i, t of weight[o, i, t] * x[n, i, stride*p + dilation*t - before]

    x (N, C, *in) or (C, *in), weight (O, C/groups, *kernel), bias (O,) -> y (N, O, *out) or (O, *out), in x's dtype.
    One to three spatial axes. padding: a number, one per axis, a (before, after) pair per axis (negative pairs crop),
    "same", "valid", "same_upper", "same_lower". padding_mode: zeros, reflect, replicate, circular. method: a key of
    METHODS. float16 is summed in float32, integers in int64, wrapping around.
    Raises SpecError, naming the argument, for shapes, dtypes and values that do not fit.
    """
    run = known("method", method, METHODS)
    return result(
        METHODS,
        run,
        convolution_call(x, weight, bias, groups, padding_mode, stride=stride, padding=padding, dilation=dilation),
    )


def loops(call: Call) -> Array:
    """The definition, one product at a time in Python's own numbers: float64, or integers without a limit."""
    x, weight = call.x, call.weight
    y = np.empty((len(x), len(weight), *call.out), np.int64 if x.dtype.kind == "i" else np.float64)
    outs, channels = len(weight) // call.groups, weight.shape[1]
    for n, o, *p in np.ndindex(*y.shape):
        first = o // outs * channels
        total = 0
        for t in np.ndindex(*call.kernel):
            cell: list[Any] = [
                source(*there, call.padding_mode) for there in zip(call.axes, p, t, call.space, strict=True)
            ]
            if None not in cell:
                for i in range(channels):
                    total += weight.item(o, i, *t) * x.item(n, first + i, *cell)
        y[(n, o, *p)] = wrapped(total)
    return y


def source(axis: Axis, position: int, tap: int, size: int, mode: str) -> int | None:
    """The input cell that `tap` reads at output `position`; None where the padding is a zero."""
    cell = position * axis.stride + tap * axis.dilation - axis.before
    if 0 <= cell < size:
        return cell
    if mode == "reflect":
        return -cell if cell < 0 else 2 * (size - 1) - cell
    if mode == "replicate":
        return 0 if cell < 0 else size - 1
    return cell % size if mode == "circular" else None


def wrapped(total: float) -> float:
    """An integer as int64 arithmetic leaves it; a float as it is."""
    return (total + 2**63) % 2**64 - 2**63 if isinstance(total, int) else total


def taps(call: Call) -> Array:
    """One product per tap: every position of the output sees the same weights of that tap."""
    cells, g = padded(call), call.groups
    n, outs, positions = len(cells), len(call.weight), prod(call.out)
    weight = call.weight.reshape(g, outs // g, *call.weight.shape[1:])
    y = np.zeros((n, g, outs // g, positions), cells.dtype)
    for tap, box in tap_boxes(call.axes, call.out):
        y += weight[last(*tap)] @ cells[last(*box)].reshape(n, g, weight.shape[2], positions)
    return y.reshape(n, outs, *call.out)


def pointwise(call: Call) -> Array:
    """A kernel of one tap is a product of matrices: weight (O, C) @ x (C, positions), on x itself."""
    cells, g, outs = reached(call), call.groups, len(call.weight)
    weight = call.weight.reshape(g, outs // g, call.weight.shape[1])
    y = product(weight, cells.reshape(len(cells), g, weight.shape[2], prod(call.out)))
    return y.reshape(len(cells), outs, *call.out)


def reached(call: Call) -> Array:
    """x (N, C, *out): the cell that a kernel of one tap meets at every position; padding comes after the stride."""
    if call.padding_mode != "zeros":
        ((_, box),) = tap_boxes(call.axes, call.out)
        copied: Array = padded(call)[last(*box)]
        return copied
    firsts = [max(0, -(-axis.before // axis.stride)) for axis in call.axes]  # the first position on a cell of x
    steps = zip(firsts, call.axes, call.out, strict=True)
    cells = call.x[
        last(*[slice(p * a.stride - a.before, max(0, n * a.stride - a.before), a.stride) for p, a, n in steps])
    ]
    axes = tuple(
        Axis(1, before=first, after=out - first - size)
        for first, out, size in zip(firsts, call.out, cells.shape[2:], strict=True)
    )
    return padded(msgspec.structs.replace(call, x=cells, axes=axes))


def matrix(call: Call) -> Array:
    """C written out, then y = Cx."""
    cells = padded(call)
    bare = tuple(Axis(axis.kernel, axis.stride, axis.dilation) for axis in call.axes)
    c = conv_matrix(call.weight, bare, cells.shape[2:], call.out, groups=call.groups)
    return (cells.reshape(len(cells), c.shape[1]) @ c.T).reshape(len(cells), len(call.weight), *call.out)


def conv_matrix(
    weight: Array,
    axes: tuple[Axis, ...],
    in_space: tuple[int, ...],
    out_space: tuple[int, ...] = (),
    *,
    groups: int = 1,
) -> Array:
    """The matrix C (O*prod(out), C*prod(in)) of y = Cx for weight (O, C/groups, *kernel); both vectors channel first.

    Zero padding only; out_space follows from in_space when it is left out.
    Raises SpecError when C would have more than MATRIX_ELEMENTS elements.
    """
    out_space = out_space or tuple(axis.out(size) for axis, size in zip(axes, in_space, strict=True))
    outs, channels = len(weight), weight.shape[1] * groups
    rows, columns = outs * prod(out_space), channels * prod(in_space)
    if rows * columns > MATRIX_ELEMENTS:
        raise SpecError(
            f"the matrix would be {rows} x {columns}",
            field="method",
            allowed=f"at most {MATRIX_ELEMENTS} elements with 'matrix'",
        )
    c = np.zeros((groups, outs // groups, prod(out_space), groups, channels // groups, prod(in_space)), weight.dtype)
    by_group = weight.reshape(groups, outs // groups, channels // groups, *weight.shape[2:])
    positions = np.indices(out_space).reshape(len(axes), -1)
    for tap in np.ndindex(*weight.shape[2:]):
        steps = zip(positions, tap, axes, strict=True)
        cells = np.array([p * a.stride + t * a.dilation - a.before for p, t, a in steps])
        inside = np.all((cells >= 0) & (cells < np.array(in_space)[:, None]), axis=0)
        p = np.flatnonzero(inside)
        q = np.ravel_multi_index(tuple(cells[:, inside]), in_space)
        for j in range(groups):
            c[j, :, p, j, :, q] = by_group[(j, ..., *tap)]
    return c.reshape(rows, columns)


def auto(call: Call) -> Array:
    """One tap is a plain product; few channels are banded products, one by one they may be none; the rest is im2col.

    What is small is im2col too, in a handful of calls to numpy; rows of a kernel share their columns in grouped layers.
    Where bands spread what is not finite, they go.
    """
    if prod(call.kernel) == 1:
        return pointwise(call)
    if small(call):
        return im2col(call)
    if fitting(call):
        y = banded(call)
        if np.isfinite(np.vdot(y, y)):
            return y
    if 1 < call.groups == call.x.shape[1] == len(call.weight):
        return depthwise(call)
    return by_rows(call) if sharing(call) else im2col(call)


METHODS: Mapping[str, Callable[[Call], Array]] = MappingProxyType(
    {"auto": auto, "loops": loops, "taps": taps, "im2col": im2col, "matrix": matrix, "fft": fft, "winograd": winograd}
)
