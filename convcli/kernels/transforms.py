"""Convolutions that multiply less by going through another basis, and that round by nature: asked for by name alone.

fft: a correlation is the product of the input's spectrum with the kernel's conjugate one, whatever the kernel's size.
winograd: F(4, 3) along every axis, 4 outputs of a 3-tap kernel by 6 products where the definition takes 12.
Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks".
"""

from __future__ import annotations

from functools import reduce
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from convcli.axis import Axis
from convcli.errors import SpecError
from convcli.kernels.windows import last, padded, windows

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array, Call

TILE, OUTPUTS = 6, 4
FROM_TILE = np.array(  # B^T: 6 cells of the input in the basis of the products
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
FROM_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24  # G
TO_OUTPUTS = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])  # A^T


def fft(call: Call) -> Array:
    """y = F^-1[F x * conj(F w)], summed over the channels: a product of matrices (O, C) @ (C, N) per frequency."""
    floating(call, "fft")
    cells, g = padded(call), call.groups
    n, channels = cells.shape[:2]
    sizes = [smooth(size) for size in cells.shape[2:]]
    places = tuple(range(-len(sizes), 0))
    wide = np.zeros((*call.weight.shape[:2], *[axis.span for axis in call.axes]), cells.dtype)
    wide[last(*[slice(None, None, axis.dilation) for axis in call.axes])] = call.weight
    # a cyclic correlation at least as long as the input: where the kernel reaches around, there is no output
    half = [*sizes[:-1], sizes[-1] // 2 + 1]  # the spectrum of real numbers mirrors itself
    x = np.fft.rfftn(cells, sizes, places).reshape(n, g, channels // g, prod(half))
    w = np.fft.rfftn(wide, sizes, places).reshape(g, len(wide) // g, channels // g, prod(half))
    y = w.conj().transpose(3, 0, 1, 2) @ x.transpose(3, 1, 2, 0)  # (frequencies, g, O/g, N)
    spectrum = y.transpose(3, 1, 2, 0).reshape(n, len(wide), *half)
    full = np.fft.irfftn(spectrum, sizes, places)
    steps = [slice(0, (out - 1) * a.stride + 1, a.stride) for out, a in zip(call.out, call.axes, strict=True)]
    return np.ascontiguousarray(full[last(*steps)], cells.dtype)


def smooth(size: int) -> int:
    """The next number 2^a * 3^b * 5^c: transforms of that length are fast, of one next to it up to ten times slower."""
    odd = (3**b * 5**c for b in range(size.bit_length()) for c in range(size.bit_length()))
    found: int = min(factor << (-(-size // factor) - 1).bit_length() for factor in odd)
    return found


def winograd(call: Call) -> Array:
    """Y = A^T [(G w) * (B^T d)], summed over the channels, for tiles d of 6 cells per axis that make 4 outputs.

    Along all axes at once each transform is one matrix, the Kronecker product of the axes' own.
    """
    floating(call, "winograd")
    if {(axis.kernel, axis.stride, axis.dilation) for axis in call.axes} != {(3, 1, 1)}:
        raise SpecError(
            "winograd is for kernels of 3 taps", field="method", allowed="kernel_size 3, stride 1 and dilation 1"
        )
    rank, g, (n, channels) = len(call.axes), call.groups, call.x.shape[:2]
    counts = [-(-out // OUTPUTS) for out in call.out]
    cells = padded(call)
    short = [OUTPUTS * count + 2 - size for count, size in zip(counts, cells.shape[2:], strict=True)]
    cells = np.pad(cells, [(0, 0), (0, 0), *[(0, end) for end in short]])
    d = windows(cells, (Axis(TILE, OUTPUTS),) * rank, tuple(counts))  # (N, C, *6 per axis, *tiles)
    d = np.moveaxis(d.reshape(n, channels, TILE**rank, prod(counts)), (2, 1), (0, 1))  # (6^rank, C, N, tiles)
    v = along_all(FROM_TILE, rank, d) @ d.reshape(TILE**rank, channels * n * prod(counts))
    taps = call.weight.reshape(-1, 3**rank).T
    u = along_all(FROM_KERNEL, rank, d) @ taps
    u = u.reshape(TILE**rank, g, len(call.weight) // g, channels // g)
    products = u @ v.reshape(TILE**rank, g, channels // g, n * prod(counts))
    y = along_all(TO_OUTPUTS, rank, d) @ products.reshape(TILE**rank, len(call.weight) * n * prod(counts))
    y = y.reshape(*(OUTPUTS,) * rank, len(call.weight), n, *counts)
    axes = [place for i in range(rank) for place in (rank + 2 + i, i)]  # the tiles of an axis, then the cells in one
    y = y.transpose(rank + 1, rank, *axes).reshape(n, len(call.weight), *[OUTPUTS * count for count in counts])
    return np.ascontiguousarray(y[last(*[slice(out) for out in call.out])])


def along_all(matrix: Array, rank: int, like: Array) -> Array:
    """The matrix of the transform along `rank` axes at once, in the dtype of `like`."""
    whole: Array = reduce(np.kron, [matrix] * rank)
    return whole.astype(like.dtype)


def floating(call: Call, name: str) -> None:
    """SpecError for integers: sums of floats are not theirs."""
    if call.x.dtype.kind != "f":
        raise SpecError(f"{name} rounds, and x is {call.dtype}", field="method", allowed="floats with this method")
