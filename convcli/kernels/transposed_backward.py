"""The gradients of the transposed convolution y = C^T x: C dy in the input, the same correlation in the weight.

C is the matrix of the convolution that this layer is the adjoint of: there dy goes in and x's gradient comes out. So
dx is that convolution of dy with the same weight, and dw is its weight's gradient, with x for the gradient.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import numpy.typing as npt

from convcli.kernels.arguments import Array, Call, Numbers, known, output_gradient, transposed_call
from convcli.kernels.conv import METHODS as CONV
from convcli.kernels.conv_backward import (
    by_columns,
    by_taps,
    exact_sums,
    exact_zeros,
    gradients,
    products,
    weight_gradient,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convcli.axis import Padding
    from convcli.kernels.conv_backward import Method


def conv_transpose_backward(  # noqa: PLR0913 - PyTorch's arguments
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    *,
    stride: Numbers = 1,
    padding: Padding = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
    method: str = "auto",
) -> tuple[Array, Array, Array]:
    """dx = C dy, dw[i, o, t] = sum of x[n, i, p] * dy[n, o, stride*p + dilation*t - before], db[o] = sum of dy[n, o]

    dy has the shape of `conv_transpose`'s output, (N, O, *out) or (O, *out); x, weight and the keywords are
    `conv_transpose`'s. Returns (dx, dw, db) in the shapes of x, weight and bias (O,), in x's dtype. method: a key of
    METHODS["conv_transpose_backward"]. float16 is summed in float32, integers in int64, wrapping around.
    Raises SpecError, naming the argument, for shapes, dtypes and values that do not fit.
    """
    run = METHODS[known("method", method, METHODS)]
    call = transposed_call(
        x, weight, None, groups, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    return gradients(run, call, output_gradient(dy, call, call.weight.shape[1] * call.groups))


def adjoint(call: Call, dy: Array) -> Call:
    """The convolution of dy whose output has x's shape; output_padding is where its windows end too early."""
    return msgspec.structs.replace(call, x=dy, out=call.space)


def loops(call: Call, dy: Array) -> tuple[Array, Array]:
    """The definition, one product at a time in Python's own numbers: float64, or integers without a limit."""
    dx, dw = exact_zeros(call.x), exact_zeros(call.weight)
    for x, w, y in products(adjoint(call, dy), call.x.shape):
        dx[x] += call.weight.item(w) * dy.item(y)
        dw[w] += dy.item(y) * call.x.item(x)
    return exact_sums(dx, dy), exact_sums(dw, dy)


def taps(call: Call, dy: Array) -> tuple[Array, Array]:
    """One product per tap: dx += weight[tap] @ dy[its cells], dw[tap] = x @ dy[its cells]^T."""
    convolution = adjoint(call, dy)
    return CONV["taps"](convolution), by_taps(convolution, call.x)


def im2col(call: Call, dy: Array) -> tuple[Array, Array]:
    """dx = weight @ columns of dy, dw = x @ columns^T, block by block."""
    convolution = adjoint(call, dy)
    return CONV["im2col"](convolution), by_columns(convolution, call.x)


def auto(call: Call, dy: Array) -> tuple[Array, Array]:
    """dx as the convolution picks its form; dw by what there is to sum over."""
    convolution = adjoint(call, dy)
    return CONV["auto"](convolution), weight_gradient(convolution, call.x)


METHODS: Mapping[str, Method] = MappingProxyType({"auto": auto, "loops": loops, "taps": taps, "im2col": im2col})
