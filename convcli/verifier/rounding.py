"""Right implementations that round differently: other orders of summation, wider or fused sums, Winograd.

The verifier must raise no alarm at any of them. Each is a backend, as the wrong ones are.
Winograd's F(2, 3): Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends import Facts
from convcli.backends import numpy as ours
from convcli.backends.compose import composed
from convcli.kernels.windows import last
from convcli.layers import Conv, DeformRoIPool, Layer, Shape
from convcli.verifier.mutants.mutant import biased, products

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

Sum = Callable[[list["Array"]], "Array"]
Primitive = Callable[[Layer, "Arrays"], "Array"]
BLOCK = 4
FROM_TILE = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])  # B^T
FROM_KERNEL = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2  # G
TO_OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])  # A^T


class Correct(msgspec.Struct, frozen=True):
    """A right backend: composites part by part, every part by `primitive`. ROUNDS: so much that INEXACT is no alarm."""

    name: str
    says: str
    primitive: Primitive
    ROUNDS: bool = False

    def versions(self) -> dict[str, str]:
        """Our own."""
        return ours.versions()

    def forward(self, layer: Layer, arrays: Arrays) -> Array:
        """y, right but for rounding."""
        return composed(layer, arrays, self.primitive)

    def facts(self, layer: Layer, shape: Shape) -> Facts:
        """The true facts."""
        batch, x = layer.split(shape)
        return Facts(layer.output_shape(shape), layer.tensors(x), layer.counts(x, prod(batch)).macs)


def terms_of(layer: Layer, arrays: Arrays) -> list[Array]:
    """Arrays of y's shape that add up to y without its bias: the layer's products; of a pool, each row of x alone.

    A pool is linear in x: its other rows are 0.
    """
    if not isinstance(layer, DeformRoIPool):
        return products(layer, arrays)
    x = arrays["x"]
    return [ours.forward(layer, {**arrays, "x": x * row[:, None]}) for row in np.eye(x.shape[-2], dtype=x.dtype)]


def summed(order: Sum) -> Primitive:
    """The layer's terms, each rounded, added up by `order`; then the bias."""

    def primitive(layer: Layer, arrays: Arrays) -> Array:
        y = order(terms_of(layer, arrays))
        return biased(layer, y, arrays).astype(arrays["x"].dtype, copy=False)

    return primitive


def in_sequence(terms: list[Array]) -> Array:
    """One after the other."""
    y = terms[0].copy()
    for term in terms[1:]:
        y += term
    return y


def from_the_end(terms: list[Array]) -> Array:
    """The last one first."""
    return in_sequence(terms[::-1])


def as_a_tree(terms: list[Array]) -> Array:
    """Neighbours first, then neighbouring sums, as a tree."""
    while len(terms) > 1:
        terms = [in_sequence(terms[i : i + 2]) for i in range(0, len(terms), 2)]
    return terms[0]


def in_blocks(terms: list[Array]) -> Array:
    """Blocks of four, then the blocks."""
    return in_sequence([in_sequence(terms[i : i + BLOCK]) for i in range(0, len(terms), BLOCK)])


def in_lanes(terms: list[Array]) -> Array:
    """Four running sums, as the lanes of a vector."""
    return in_sequence([in_sequence(terms[lane::BLOCK]) for lane in range(min(BLOCK, len(terms)))])


def in_double(layer: Layer, arrays: Arrays) -> Array:
    """Everything in double precision, rounded once."""
    y = ours.forward(layer, {name: array.astype(np.float64) for name, array in arrays.items()})
    return y.astype(arrays["x"].dtype)


def fused_chain(layer: Layer, arrays: Arrays) -> Array:
    """Products kept exact (in double precision) until they are added, the bias first: a chain of FMAs."""
    dtype = arrays["x"].dtype
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    terms = terms_of(layer, exact)
    y = biased(layer, np.zeros_like(terms[0]), exact).astype(dtype)
    for term in terms:
        y = (y.astype(np.float64) + term).astype(dtype)
    return y


def from_the_bias(layer: Layer, arrays: Arrays) -> Array:
    """The bias, then the products one after the other."""
    terms = terms_of(layer, arrays)
    return in_sequence([biased(layer, np.zeros_like(terms[0]), arrays).astype(terms[0].dtype), *terms])


def by_tiles(layer: Layer, arrays: Arrays) -> Array:
    """F(2, 3) along every axis where all kernels are 3 at stride 1; other layers as ours.

    Y = A^T [(G g) * (B^T d)], summed over the channels, for tiles d of 4 cells that make 2 outputs.
    """
    if not (isinstance(layer, Conv) and layer.kind == "conv" and _fits(layer)):
        return ours.forward(layer, arrays)
    rank, groups, dtype = len(layer.axes), layer.groups or 1, arrays["x"].dtype
    x, g = arrays["x"], arrays["weight"]
    out = [axis.out(size) for axis, size in zip(layer.axes, x.shape[-rank:], strict=True)]
    pads = [(axis.before, axis.after + n % 2) for axis, n in zip(layer.axes, out, strict=True)]
    d = np.pad(x, [(0, 0)] * (x.ndim - rank) + pads)
    d = np.lib.stride_tricks.sliding_window_view(d, (4,) * rank, tuple(range(-rank, 0)))
    d = d[last(*(slice(None, None, 2),) * rank, *(slice(None),) * rank)]  # (..., C, *tiles, 4...)
    for place in range(-rank, 0):
        d, g = _along(FROM_TILE, d, place), _along(FROM_KERNEL, g, place)
    tiles = d.shape[-2 * rank : -rank]
    d = d.reshape(-1, groups, x.shape[-1 - rank] // groups, prod(tiles), 4**rank)
    g = g.reshape(groups, len(g) // groups, -1, 4**rank)
    y = np.einsum("ngcpk,gock->ngopk", d, g, dtype=dtype).reshape(-1, *tiles, *(4,) * rank)
    for place in range(-rank, 0):
        y = _along(TO_OUTPUT, y, place)
    y = np.transpose(y, (0, *(axis for i in range(rank) for axis in (1 + i, 1 + rank + i))))
    y = y.reshape(*x.shape[: -1 - rank], -1, *(2 * tile for tile in tiles))[last(*(slice(n) for n in out))]
    return biased(layer, y, arrays).astype(dtype)


def _fits(layer: Conv) -> bool:
    plain = all((axis.kernel, axis.stride, axis.dilation) == (3, 1, 1) for axis in layer.axes)
    whole = all(min(axis.before, axis.after) >= 0 for axis in layer.axes)
    return plain and whole and layer.padding_mode == "zeros"


def _along(matrix: Any, array: Array, place: int) -> Array:
    """The matrix times every line of `array` along one axis."""
    return np.moveaxis(np.tensordot(array, matrix.astype(array.dtype), axes=(place, 1)), -1, place)


CORRECT: Mapping[str, Correct] = MappingProxyType(
    {
        right.name: right
        for right in (
            Correct("sequential", "product after product", summed(in_sequence)),
            Correct("backwards", "the last product first", summed(from_the_end)),
            Correct("pairwise", "sums as a tree", summed(as_a_tree)),
            Correct("blocked", "sums of blocks of four", summed(in_blocks)),
            Correct("interleaved", "four running sums", summed(in_lanes)),
            Correct("bias_first", "sums that begin with the bias", from_the_bias),
            Correct("fused", "products unrounded, a chain of FMAs", fused_chain),
            Correct("wide", "double precision, rounded once", in_double),
            Correct("winograd", "Winograd's F(2, 3)", by_tiles, ROUNDS=True),
        )
    }
)


def __getattr__(name: str) -> Correct:
    if name not in CORRECT:
        raise AttributeError(f"there is no right implementation {name!r}")
    return CORRECT[name]
