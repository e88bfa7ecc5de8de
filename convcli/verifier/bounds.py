"""How far apart two correct implementations may be, from first principles (Higham, Accuracy and Stability, 2002, 3.1).

|y - y*| <= gamma_n * S element by element, S = conv(|x|, |w|) + |b|, gamma_n = n*u / (1 - n*u). Errors of random signs
stay within 6*u*sqrt(n)*sqrt(conv(x^2, w^2) + b^2) (ibid. 2.8): what is beyond that is right by the bound, but odd.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from convcli.layers import (
    NO_GRADIENT,
    Conv,
    ConvTranspose,
    DeformConv,
    DeformConvPack,
    DeformRoIPool,
    Layer,
    Shape,
)
from convcli.verifier.draws import terms
from convcli.verifier.region_boxes import samples

if TYPE_CHECKING:
    from convcli.backends import Array

BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}  # of the mantissa, the hidden one included
INTERPOLATION = 4  # roundings of one bilinear sample: a product, three sums; the shares themselves are exact
MODULATION = 1
SIGMAS = 6
SQUARES, TILES = "squares", "tiles"  # what else than S an error may be measured by
REGION = 8  # roundings of a pooled value beside its sum: two shares, their product, the mean, the mask, gamma * size
SLOPE = 3  # roundings of a sample's slope: a difference, a product, a sum


def gamma(n: int, dtype: str) -> float | None:
    """n*u / (1 - n*u) with u = 2**-bits; None when so many roundings have no bound."""
    nu = n * unit(dtype)
    return nu / (1 - nu) if nu < 1 else None


def gammas(n: Array, dtype: str) -> Array:
    """The same of every element; infinite where there is no bound."""
    nu = n * unit(dtype)
    return np.where(nu < 1, nu / np.where(nu < 1, 1 - nu, 1), np.inf)


def level(n: Array, squares: Array, dtype: str) -> Array:
    """6*u*sqrt(n)*sqrt(squares): what random errors hardly ever reach. squares: the sum of all products squared."""
    return SIGMAS * unit(dtype) * np.sqrt(n) * np.sqrt(squares)


def unit(dtype: str) -> float:
    """u, the largest relative error of one rounding."""
    return float(2.0 ** -BITS[dtype])


def coarse(n: int) -> tuple[str, float]:
    """(the precision that will do for S, what its own rounding may have taken): S <= factor * computed S.

    Every product has n roundings and those of its three operands, a mask among them.
    """
    taken = gamma(n + 3, "float32")
    return ("float32", 1 / (1 - taken)) if taken is not None and taken < 0.5 else ("float64", 1.0)


def roundings(layer: Layer, x: Shape) -> int:
    """The most roundings that one product suffers on its way into an output: one each for itself and for every sum.

    The largest number of terms stands for all positions. For layers without parts.
    """
    if isinstance(layer, DeformRoIPool):
        return 4 * samples(layer) + REGION
    count = terms(layer, x) + ("bias" in layer.tensors(x))
    if isinstance(layer, DeformConv):
        count += INTERPOLATION + MODULATION * layer.modulated
    return count


def gradient_roundings(layer: Layer, x: Shape, images: int) -> dict[str, int]:
    """For every array's gradient the most roundings that one of its products suffers. For layers without parts.

    dW and db add up all samples and positions; dx the output channels and taps, once more for every padding cell that
    copies the same input cell; with offsets, at worst every sample of the image falls on the one cell.
    """
    if isinstance(layer, DeformRoIPool):
        reads = 4 * samples(layer)
        return {
            name: REGION + (reads * prod(layer.output(x)) if name == "x" else reads + x[1])
            for name in ("x", *(name for name in layer.side_inputs(x) if name not in NO_GRADIENT))
        }
    channels, *space = layer.output(x)
    taps, positions = prod(axis.kernel for axis in layer.axes), images * prod(space)
    outs = channels // groups_of(layer)
    if isinstance(layer, DeformConv):
        column, mixed = outs, x[0] // layer.offset_groups
        found = {
            "x": column + taps * prod(space) + 1 + MODULATION,
            "weight": positions + INTERPOLATION + MODULATION,
            "offset": column + SLOPE + MODULATION + mixed,
            "mask": column + INTERPOLATION + mixed,
        }
    else:
        copies = 1
        if isinstance(layer, Conv) and layer.padding_mode != "zeros":
            copies = prod(1 + max(0, axis.before) + max(0, axis.after) for axis in layer.axes)
        cells = images * prod(x[1:])
        found = {
            "x": outs * taps * copies,
            "weight": min(positions, cells) if isinstance(layer, ConvTranspose) else positions,
        }
    return {**found, "bias": positions}


def groups_of(layer: Layer) -> int:
    """In how many groups its channels are."""
    return layer.groups or 1 if isinstance(layer, Conv | ConvTranspose | DeformConvPack) else 1
