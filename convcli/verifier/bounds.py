"""How far apart two correct implementations may be, from first principles (Higham, Accuracy and Stability, 2002, 3.1).

|y - y*| <= gamma_n * S element by element, S = conv(|x|, |w|) + |b|, gamma_n = n*u / (1 - n*u).
"""

from __future__ import annotations

from convcli.layers import DeformConv, Layer, Shape
from convcli.verifier.fills import terms

BITS = {"float64": 53, "float32": 24, "float16": 11}  # of the mantissa, the hidden one included
INTERPOLATION = 4  # roundings of one bilinear sample: a product, three sums; the shares themselves are exact
MODULATION = 1


def gamma(n: int, dtype: str) -> float | None:
    """n*u / (1 - n*u) with u = 2**-bits; None when so many roundings have no bound."""
    nu = n * 2.0 ** -BITS[dtype]
    return nu / (1 - nu) if nu < 1 else None


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
    count = terms(layer, x) + ("bias" in layer.tensors(x))
    if isinstance(layer, DeformConv):
        count += INTERPOLATION + MODULATION * layer.modulated
    return count
