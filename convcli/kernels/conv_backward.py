"""The gradients of the convolution y = Cx: C^T dy in the input, the correlation of x with dy in the weight.

dx[n, i, stride*p + dilation*t - before] += weight[o, i, t] * dy[n, o, p] is a transposed convolution with the same
weight. dw[o, i, t] += dy[n, o, p] * x[n, i, stride*p + dilation*t - before] is a transposed layer's too, with x and dy
exchanged.
"""

from __future__ import annotations

from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from convcli.axis import Axis, Padding
from convcli.kernels import transposed
from convcli.kernels.arguments import (
    Array,
    Call,
    Numbers,
    convolution_call,
    known,
    output_gradient,
    per_sample,
    quiet,
)
from convcli.kernels.columns import COLUMN_BYTES, columns, small
from convcli.kernels.conv import auto as auto_conv
from convcli.kernels.conv import reached, source, wrapped
from convcli.kernels.products import product
from convcli.kernels.rows import weight_by_rows
from convcli.kernels.windows import blocks, copied, last, padded, tap_boxes, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Method = Callable[[Call, Array], tuple[Array, Array]]

Index = tuple[int, ...]


def conv_backward(  # noqa: PLR0913 - PyTorch's arguments
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    *,
    stride: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    method: str = "auto",
) -> tuple[Array, Array, Array]:
    """dx = C^T dy, dw[o, i, t] = sum of dy[n, o, p] * x[n, i, stride*p + dilation*t - before], db[o] = sum of dy[n, o]

    dy has the shape of `conv`'s output, (N, O, *out) or (O, *out); x, weight and the keywords are `conv`'s. Returns
    (dx, dw, db) in the shapes of x, weight and bias (O,), in x's dtype. A padding that copies cells adds their
    gradients to the cells they were copied from. method: a key of METHODS["conv_backward"]. float16 is summed in
    float32, integers in int64, wrapping around.
    Raises SpecError, naming the argument, for shapes, dtypes and values that do not fit.
    """
    run = METHODS[known("method", method, METHODS)]
    call = convolution_call(x, weight, None, groups, padding_mode, stride=stride, padding=padding, dilation=dilation)
    return gradients(run, call, output_gradient(dy, call, len(call.weight)))


def gradients(method: Method, call: Call, dy: Array) -> tuple[Array, Array, Array]:
    """(dx, dw, db) of a layer with a bias, each rounded once to x's dtype."""
    with quiet():
        dx, dw = method(call, dy)
        return per_sample(call, dx), dw.astype(call.dtype, copy=False), bias_gradient(call, dy)


def bias_gradient(call: Call, dy: Array) -> Array:
    """db (O,): the bias is added at every position of every sample.

    The positions are added up by a product with ones, which BLAS does in a third of the time of numpy's sum.
    """
    n, outs, positions = len(dy), dy.shape[1], prod(dy.shape[2:])
    by_sample = dy.reshape(n, outs, positions) @ np.ones(positions, dy.dtype)
    db: Array = by_sample.sum(axis=0, dtype=dy.dtype)
    return db.astype(call.dtype, copy=False)


def loops(call: Call, dy: Array) -> tuple[Array, Array]:
    """The definition, one product at a time in Python's own numbers: float64, or integers without a limit."""
    dx, dw = exact_zeros(call.x), exact_zeros(call.weight)
    for y, w, x in products(call, dy.shape):
        dx[x] += call.weight.item(w) * dy.item(y)
        dw[w] += dy.item(y) * call.x.item(x)
    return exact_sums(dx, dy), exact_sums(dw, dy)


def products(call: Call, y_shape: Index) -> Iterator[tuple[Index, Index, Index]]:
    """The places in y, weight and x of every product weight * x that the convolution adds to y."""
    outs, channels = len(call.weight) // call.groups, call.weight.shape[1]
    for n, o, *p in np.ndindex(*y_shape):
        first = o // outs * channels
        for t in np.ndindex(*call.kernel):
            cell: list[Any] = [
                source(*there, call.padding_mode) for there in zip(call.axes, p, t, call.space, strict=True)
            ]
            if None not in cell:
                for i in range(channels):
                    yield (n, o, *p), (o, i, *t), (n, first + i, *cell)


def exact_zeros(like: Array) -> npt.NDArray[np.object_]:
    """Zeros that add up as Python's numbers do."""
    return np.full(like.shape, 0, object)


def exact_sums(sums: npt.NDArray[np.object_], dy: Array) -> Array:
    """Python's numbers as float64, or as int64 arithmetic would have left them."""
    dtype = np.int64 if dy.dtype.kind == "i" else np.float64
    return np.array([wrapped(total) for total in sums.ravel().tolist()], dtype).reshape(sums.shape)


def taps(call: Call, dy: Array) -> tuple[Array, Array]:
    """One product per tap: its cells of dx get weight[tap]^T @ dy; dw[tap] = dy @ x[its cells]^T."""
    dcells, g = np.zeros_like(padded(call)), call.groups
    n, channels, outs = *dcells.shape[:2], len(call.weight)
    weight = call.weight.reshape(g, outs // g, channels // g, *call.kernel)
    rows = dy.reshape(n, g, outs // g, prod(call.out))
    for tap, box in tap_boxes(call.axes, call.out):
        dcells[last(*box)] += (weight[last(*tap)].swapaxes(1, 2) @ rows).reshape(n, channels, *call.out)
    return unpadded(dcells, call), by_taps(call, dy)


def im2col(call: Call, dy: Array) -> tuple[Array, Array]:
    """dx adds up blocks of weight^T @ dy (col2im); dw is dy @ columns^T, block by block."""
    return input_gradient(transposed.scatter, call, dy), by_columns(call, dy)


def flipped(call: Call, dy: Array) -> tuple[Array, Array]:
    """dx is a convolution of dy with the kernel turned by 180 degrees, one per phase of the stride; dw as im2col's."""
    return input_gradient(turned, call, dy), by_columns(call, dy)


def turned(call: Call) -> Array:
    """The transposed convolution as one plain convolution; as one per phase where the stride has several."""
    if prod(call.strides) > 1:
        return transposed.phases(call)
    axes = tuple(
        Axis(axis.kernel, 1, axis.dilation, axis.span - 1 - axis.before, axis.before + out - size)
        for axis, size, out in zip(call.axes, call.space, call.out, strict=True)
    )
    return auto_conv(msgspec.structs.replace(call, weight=transposed.rotated(call), axes=axes))


def auto(call: Call, dy: Array) -> tuple[Array, Array]:
    """Each gradient in the form that fits the layer."""
    return input_gradient(input_form(call, dy), call, dy), weight_gradient(call, dy)


def input_form(call: Call, dy: Array) -> Callable[[Call], Array]:
    """Turning the kernel copies it: that pays for itself on large maps, and with channels to fill a product."""
    positions, channels = len(dy) * prod(call.out), call.weight.shape[1]
    if small(call):
        return turned if transposed.few_phases(msgspec.structs.replace(call, x=dy)) else transposed.scatter
    large = channels >= 8 and positions >= 128 * prod(call.strides)
    return turned if large or call.groups > 1 or prod(call.kernel) == 1 else transposed.scatter


def input_gradient(form: Callable[[Call], Array], call: Call, dy: Array) -> Array:
    """dx (N, C, *in) by a form of the transposed convolution."""
    if call.padding_mode == "zeros":
        return form(msgspec.structs.replace(call, x=dy, out=call.space))
    grown = tuple(axis.before + size + axis.after for axis, size in zip(call.axes, call.space, strict=True))
    bare = tuple(Axis(axis.kernel, axis.stride, axis.dilation) for axis in call.axes)
    return unpadded(form(msgspec.structs.replace(call, x=dy, out=grown, axes=bare, padding_mode="zeros")), call)


def unpadded(dcells: Array, call: Call) -> Array:
    """The adjoint of `padded`: a cell of padding adds its gradient to the cell it copies; that of a zero is lost."""
    if call.padding_mode == "zeros":
        return transposed.cropped(dcells, msgspec.structs.replace(call, out=call.space))
    for place, (axis, size) in enumerate(zip(call.axes, call.space, strict=True), start=2):
        wide = np.moveaxis(dcells, place, 0)
        inner, end = wide[axis.before : axis.before + size], axis.before + size
        for here in (*range(axis.before), *range(end, end + axis.after)):
            inner[source(Axis(1, before=axis.before), here, 0, size, call.padding_mode)] += wide[here]
        dcells = np.moveaxis(inner, 0, place)
    return np.ascontiguousarray(dcells)


def weight_gradient(call: Call, dy: Array) -> Array:
    """dw (O, C/groups, *kernel) in the form that fits the layer."""
    return weight_by_rows(call, dy) if call.groups > 1 and not small(call) else by_columns(call, dy)


def by_columns(call: Call, dy: Array) -> Array:
    """dw = dy (O, positions) @ columns^T (positions, C*T), block by block of positions in one bounded buffer.

    The one with more rows comes first, dw turned if need be: the other way round takes 5 to 30 % longer.
    """
    g, outs, rows = call.groups, len(call.weight) // call.groups, prod(call.weight.shape[1:])
    if small(call):
        per_sample = columns(call) @ dy.reshape(len(dy), g, outs, prod(call.out)).swapaxes(2, 3)
        total: Array = per_sample.sum(axis=0, dtype=dy.dtype)
        return total.swapaxes(1, 2).reshape(call.weight.shape)
    turned, dw = outs <= rows, None
    for block, part in column_blocks(call, dy):
        some = product(block, part.swapaxes(1, 2)) if turned else product(part, block.swapaxes(1, 2))
        dw = some if dw is None else np.add(dw, some, out=dw)  # zeros to start from took a third as long again
    if dw is None:  # no sample
        return np.zeros(call.weight.shape, dy.dtype)
    return (dw.swapaxes(1, 2) if turned else dw).reshape(call.weight.shape)


def column_blocks(call: Call, dy: Array) -> Iterator[tuple[Array, Array]]:
    """(columns (groups, C/groups*T, positions), dy (groups, O/groups, positions)) per block of positions.

    With one tap a sample of x is its own columns; one with fewer positions than a block is copied to be with others.
    """
    g, outs, counts = call.groups, len(call.weight) // call.groups, (len(dy), *call.out)
    rows, positions = prod(call.weight.shape[1:]), prod(call.out)
    most = max(512, COLUMN_BYTES // max(1, dy.itemsize * g * rows))
    if prod(call.kernel) == 1 and (len(dy) == 1 or positions >= most):
        yield from zip(reached(call).reshape(-1, g, rows, positions), dy.reshape(-1, g, outs, positions), strict=True)
        return
    view = np.moveaxis(windows(padded(call), call.axes, call.out), 0, 1 + len(call.axes))  # (C, *kernel, N, *out)
    by_group = np.moveaxis(dy.reshape(len(dy), g, outs, *call.out), 0, 2)
    buffer = np.empty(g * rows * min(most, prod(counts)), view.dtype)
    for box in blocks(counts, most):
        cells, part = view[last(*box)], by_group[last(*box)]
        block = buffer[: cells.size].reshape(cells.shape)
        copied(cells, block)
        count = prod(part.shape[2:])
        yield block.reshape(g, rows, count), part.reshape(g, outs, count)


def by_taps(call: Call, dy: Array) -> Array:
    """dw[tap] = dy (O, positions) @ x[the tap's cells]^T (positions, C), added up over the samples."""
    cells, g = padded(call), call.groups
    n, outs, channels, positions = len(dy), len(call.weight) // g, call.weight.shape[1], prod(call.out)
    rows = dy.reshape(n, g, outs, positions)
    dw = np.empty((g, outs, channels, *call.kernel), cells.dtype)
    for tap, box in tap_boxes(call.axes, call.out):
        columns = cells[last(*box)].reshape(n, g, channels, positions)
        dw[last(*tap)] = (rows @ columns.swapaxes(2, 3)).sum(axis=0, dtype=dw.dtype)
    return dw.reshape(call.weight.shape)


METHODS: Mapping[str, Method] = MappingProxyType(
    {"auto": auto, "loops": loops, "taps": taps, "im2col": im2col, "flipped": flipped}
)
