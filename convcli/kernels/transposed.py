"""Transposed convolution, forward: x = C^T y, the adjoint of the convolution y = Cx, in forms that must agree.

full[n, o, stride*p + dilation*t] += weight[i, o, t] * x[n, i, p]; y is `full` without its first `before` and its last
`after - output_padding` cells, or with zeros appended where these are negative, plus the bias.
"""

from __future__ import annotations

import itertools
from math import gcd, prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from convcli.axis import Axis, Padding
from convcli.kernels.arguments import Array, Call, Numbers, known, result, transposed_call
from convcli.kernels.columns import SMALL
from convcli.kernels.conv import auto as auto_conv
from convcli.kernels.conv import conv, conv_matrix, wrapped
from convcli.kernels.products import product
from convcli.kernels.windows import blocks, last, tap_boxes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PRODUCT_BYTES = 2**20  # what a block of products may take before it is added up


def conv_transpose(  # noqa: PLR0913 - PyTorch's arguments
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    *,
    stride: Numbers = 1,
    padding: Padding = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
    method: str = "auto",
) -> Array:
    """y[n, o, stride*p + dilation*t - before] += weight[i, o, t] * x[n, i, p], on top of bias[o]

    x (N, C, *in) or (C, *in), weight (C, O/groups, *kernel), bias (O,) -> y (N, O, *out) or (O, *out), in x's dtype.
    One to three spatial axes. padding takes cells away: a number, one per axis, or (negative too, as in ONNX) a
    (before, after) pair per axis, "same", "valid", "same_upper", "same_lower". output_padding, less than the larger
    of stride and dilation, gives cells back at the end. method: a key of METHODS.
    Raises SpecError, naming the argument, for shapes, dtypes and values that do not fit.
    """
    run = known("method", method, METHODS)
    call = transposed_call(
        x, weight, bias, groups, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    return result(METHODS, run, call)


def loops(call: Call) -> Array:
    """The definition from the output's side: every cell asks which (position, tap) pairs land on it."""
    x, weight = call.x, call.weight
    per_group, channels = weight.shape[1], len(weight) // call.groups
    y = np.empty((len(x), per_group * call.groups, *call.out), np.int64 if x.dtype.kind == "i" else np.float64)
    for n, o, *q in np.ndindex(*y.shape):
        j, k = divmod(o, per_group)
        total = 0
        for t in np.ndindex(*call.kernel):
            p: list[Any] = [origin(*there) for there in zip(call.axes, q, t, call.space, strict=True)]
            if None not in p:
                for i in range(j * channels, (j + 1) * channels):
                    total += weight.item(i, k, *t) * x.item(n, i, *p)
        y[(n, o, *q)] = wrapped(total)
    return y


def origin(axis: Axis, cell: int, tap: int, size: int) -> int | None:
    """The position p with stride*p + dilation*tap - before = cell; None when no input cell is there."""
    position, rest = divmod(cell + axis.before - tap * axis.dilation, axis.stride)
    return position if not rest and 0 <= position < size else None


def scatter(call: Call) -> Array:
    """One product per block of positions, weight^T (O*T, C) @ x (C, positions); then every tap's share is added."""
    n, channels = call.x.shape[:2]
    g, per_group = call.groups, call.weight.shape[1]
    weight = call.weight.reshape(g, channels // g, per_group * prod(call.kernel)).swapaxes(1, 2)
    x = np.moveaxis(call.x.reshape(n, g, channels // g, *call.space), 0, 2)
    cells_out = [(size - 1) * axis.stride + axis.span for axis, size in zip(call.axes, call.space, strict=True)]
    full = np.zeros((g, per_group, n, *cells_out), x.dtype)
    most = max(128, PRODUCT_BYTES // max(1, x.itemsize * g * weight.shape[1]))
    for box in blocks((n, *call.space), most):
        cells = x[last(*box)]
        products = product(weight, cells.reshape(g, channels // g, prod(cells.shape[2:])))
        shares: Any = products.reshape(g, per_group, *call.kernel, *cells.shape[2:])
        first = tuple(run.start for run in box[1:])
        for tap, there in tap_boxes(call.axes, cells.shape[3:], first):
            full[last(box[0], *there)] += shares[(slice(None), slice(None), *tap)]
    return cropped(np.moveaxis(full, 2, 0).reshape(n, g * per_group, *cells_out), call)


def cropped(full: Array, call: Call) -> Array:
    """The cells from `before` on, as many as the output has; zeros where there are none."""
    y = np.zeros((*full.shape[:2], *call.out), full.dtype)
    here, there = [], []
    for axis, size, out in zip(call.axes, full.shape[2:], call.out, strict=True):
        first = max(0, axis.before)
        stop = max(first, min(size, axis.before + out))
        there.append(slice(first, stop))
        here.append(slice(first - axis.before, stop - axis.before))
    y[last(*here)] = full[last(*there)]
    return y


def matrix(call: Call) -> Array:
    """C^T x with C, written out, the matrix of the convolution that this layer is the adjoint of."""
    c = conv_matrix(call.weight, call.axes, call.out, call.space, groups=call.groups)
    return (call.x.reshape(len(call.x), len(c)) @ c).reshape(len(call.x), call.weight.shape[1] * call.groups, *call.out)


def zero_insertion(call: Call) -> Array:
    """Put stride - 1 zeros between the cells, then a convolution with the kernel rotated by 180 degrees."""
    x, axes = call.x, call.axes
    stuffed = np.zeros((*x.shape[:2], *[axis.inserted(i) for axis, i in zip(axes, call.space, strict=True)]), x.dtype)
    stuffed[last(*[slice(None, None, axis.stride) for axis in axes])] = x
    padding = [(axis.on_inserted.before, axis.on_inserted.after) for axis in axes]
    return conv(stuffed, rotated(call), padding=padding, dilation=[axis.dilation for axis in axes], groups=call.groups)


def rotated(call: Call) -> Array:
    """(C, O/groups, *kernel) -> (O, C/groups, *kernel): the weight, every kernel turned by 180 degrees."""
    (channels, per_group), g = call.weight.shape[:2], call.groups
    weight = call.weight.reshape(g, channels // g, per_group, *call.kernel).swapaxes(1, 2)
    return np.flip(weight.reshape(g * per_group, channels // g, *call.kernel), tuple(range(2, 2 + len(call.axes))))


def phases(call: Call) -> Array:
    """One plain convolution per phase of the stride: the outputs first, first + stride, ... see the same taps of x."""
    weight = rotated(call)
    y = np.zeros((len(call.x), len(weight), *call.out), call.x.dtype)
    per_axis = [list(_phases(*there)) for there in zip(call.axes, call.space, call.out, strict=True)]
    for chosen in itertools.product(*per_axis):
        places, taps, axes, out = zip(*chosen, strict=True)
        part = Call(call.x, weight[last(*taps)], None, axes, out, call.groups, call.dtype, batched=True)
        y[last(*places)] = auto_conv(part)
    return y


def _phases(axis: Axis, size: int, out: int) -> Iterator[tuple[slice, slice, Axis, int]]:
    """(outputs, taps of the rotated kernel, the axis of their convolution, its outputs) per phase with taps."""
    common = gcd(axis.stride, axis.dilation)
    step, dilation = axis.stride // common, axis.dilation // common
    for tap in range(min(step, axis.kernel)):  # the phase's first tap; every step-th after it falls on the same phase
        count = -(-(axis.kernel - tap) // step)
        first = (tap * axis.dilation - axis.before) % axis.stride
        outputs = -(-(out - first) // axis.stride)
        if outputs > 0:
            before = (count - 1) * dilation - (first + axis.before - tap * axis.dilation) // axis.stride
            after = outputs - 1 + (count - 1) * dilation - size + 1 - before
            end = axis.kernel - tap
            taps = slice(end - 1 - (count - 1) * step, end, step)
            yield slice(first, None, axis.stride), taps, Axis(count, 1, dilation, before, after), outputs


def few_phases(call: Call) -> bool:
    """Whether the phases take less than adding up every tap's share; in small layers calls to numpy decide.

    In microseconds, as they fit 200 random layers: of a phase and its columns; of a tap and its shares.
    """
    steps = (axis.stride // gcd(axis.stride, axis.dilation) for axis in call.axes)
    count = prod(min(step, axis.kernel) for step, axis in zip(steps, call.axes, strict=True))
    taps, positions, outs = prod(call.kernel), len(call.x) * prod(call.space), call.weight.shape[1] * call.groups
    columns, shares = call.x.size * taps, positions * outs * taps
    return bool(12 * count + columns / 2000 <= 20 + 2 * taps + shares / 500)


def auto(call: Call) -> Array:
    """The phases copy the weights and reread x: that pays on large maps, with channels to fill a product."""
    numbers = len(call.x) * prod(call.out) * call.weight.shape[1]
    if max(numbers * call.groups, call.x.size, call.weight.size) <= SMALL:
        return phases(call) if few_phases(call) else scatter(call)
    large = call.weight.size <= numbers
    return phases(call) if large and (call.groups > 1 or call.weight.shape[1] >= 16) else scatter(call)


METHODS: Mapping[str, Callable[[Call], Array]] = MappingProxyType(
    {
        "auto": auto,
        "loops": loops,
        "scatter": scatter,
        "phases": phases,
        "matrix": matrix,
        "zero_insertion": zero_insertion,
    }
)
