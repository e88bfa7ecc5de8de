"""Products of matrices in pieces so small that OpenBLAS multiplies them as they are.

Before a product OpenBLAS packs both matrices: it copies them, block by block, into the order in which its kernel reads.
On a map of 7x7 every weight that is packed is used 49 times, and packing is a fifth of it all. Up to 10^6
multiplications its kernels for AVX-512 pack nothing.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from convcli.kernels.windows import runs

if TYPE_CHECKING:
    from convcli.kernels.arguments import Array

UNPACKED = 10**6  # multiplications in a product that OpenBLAS does not pack
ROWS = 32  # of a piece: with half or twice as many it takes longer
SUM_BYTES = 2**17  # what is added to a sum at a time may take
NARROW = 100  # up to so many columns, or numbers to sum up, pieces win


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """a (..., M, K) @ b (..., K, N) -> (..., M, N); where K or N is small in pieces of ROWS rows and some of K."""
    (rows, k), columns = a.shape[-2:], b.shape[-1]
    if rows * k * columns <= UNPACKED or rows % ROWS or not in_pieces(a, b):
        return np.matmul(a, b, out=out)
    if out is None:
        out = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), rows, columns), a.dtype)
    fewest = -(-k // (UNPACKED // (ROWS * columns)))
    most = -(-k // fewest)  # about equal: a short run is slow
    right, into = np.ascontiguousarray(b)[..., None, :, :], out.reshape(*out.shape[:-2], -1, ROWS, columns)

    some = max(1, SUM_BYTES // (ROWS * columns * out.itemsize))
    for part, run in itertools.product(runs(rows // ROWS, some), runs(k, most)):
        left = a[..., run].reshape(*a.shape[:-2], -1, ROWS, run.stop - run.start)[..., part, :, :]
        if run.start:
            into[..., part, :, :] += left @ right[..., run, :]
        else:
            np.matmul(left, right[..., run, :], out=into[..., part, :, :])
    return out


def in_pieces(a: Array, b: Array) -> bool:
    """Whether pieces are faster: few columns, or few numbers to sum up, and a kernel that packs nothing.

    That is for floats of 32 bits, OpenBLAS, AVX-512, and rows that lie in memory; columns of a tall matrix do, too.
    """
    (rows, k), columns = a.shape[-2:], b.shape[-1]
    few = columns <= NARROW or (k <= NARROW and ROWS * k * columns <= UNPACKED)
    there = a.strides[-1] == a.itemsize or (a.strides[-2] == a.itemsize and rows > 4 * k)
    return few and there and a.dtype == b.dtype == np.float32 and unpacked()


@cache
def unpacked() -> bool:
    """Whether numpy's products are OpenBLAS', on a processor with AVX-512."""
    built = np.show_config(mode="dicts")
    simd = built["SIMD Extensions"]
    known = {*simd.get("baseline", ()), *simd.get("found", ())}
    return "openblas" in built["Build Dependencies"]["blas"]["name"] and not known.isdisjoint({"X86_V4", "AVX512_SKX"})
