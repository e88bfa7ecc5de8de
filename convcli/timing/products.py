"""The matrix products that a layer comes down to: what it cannot be faster than, unless it multiplies less."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from convcli.layers import ConvTranspose, Layer, Part, Shape


class Product(NamedTuple):
    """`times` products (rows, inner) @ (inner, columns)."""

    times: int
    rows: int
    inner: int
    columns: int


def products(layer: Layer, x: Shape, images: int, *, grad: bool = False) -> list[Product]:
    """Of each part in turn; with `grad` the two of its gradients. A group is a product of its own, a batch is columns.

    A convolution is (O/g, C/g * T) @ (C/g * T, N * positions), a transposed one (O/g * T, C/g) @ (C/g, N * cells).
    """
    parts = layer.parts(x) or (Part("", layer, x),)
    weighed = [part for part in parts if part.layer.tensors(part.x)]  # a pool multiplies no matrices
    forward = [_product(part.layer, part.x, prod(part.of((images,)))) for part in weighed]
    if not grad:
        return forward
    return [backward for one in forward for backward in _gradients(one)]


def _product(layer: Layer, x: Shape, images: int) -> Product:
    groups: int = getattr(layer, "groups", 1) or 1
    taps, (outs, *space) = prod(axis.kernel for axis in layer.axes), layer.output(x)
    if isinstance(layer, ConvTranspose):
        return Product(groups, outs // groups * taps, x[0] // groups, images * prod(x[1:]))
    return Product(groups, outs // groups, x[0] // groups * taps, images * prod(space))


def _gradients(one: Product) -> tuple[Product, Product]:
    """dx = weight^T @ dy and dw = dy @ columns^T."""
    return (
        Product(one.times, one.inner, one.rows, one.columns),
        Product(one.times, one.rows, one.columns, one.inner),
    )
