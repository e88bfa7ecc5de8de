"""The second exact fill: data that need many bits, so that an implementation which cuts its inputs is found out.

Small integers survive a cut to TF32, float16 or bfloat16. Here one operand is an odd integer of 13 bits (28 in double
precision), and the other is 1 or -1; then the roles are swapped. Products are as long as the long operand, and sums
still fit the mantissa.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from convcli.backends import numpy as ours
from convcli.layers import Layer
from convcli.verifier import region_fills
from convcli.verifier.case import Case, Fill
from convcli.verifier.draws import QUARTERS, amplitude, check_coordinates, integers, terms, thinned, weights
from convcli.verifier.fills import one_sample_each
from convcli.verifier.formats import CUTS, cut

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

ROLES = ("x", "weight")
WIDTHS = {53: 28, 24: 13, 11: 9, 8: 6}  # bits of the long operand: more than float32; TF32, float16; bfloat16; FP8 keep
BELOW = 15  # the numbers are below 2**-15, where float16 has 9 bits left: fewer than TF32, more than bfloat16


def full_mantissa(case: Case, bits: int, role: str) -> Fill:
    """The operand `role` ("x" or "weight") long, the other of ones: exact where `bits` bits of mantissa are kept.

    bits: a key of WIDTHS. Biases are long in both. Offsets are whole and masks 0 or 1, so that every sample is a cell.
    For layers without parts. Raises Unfillable.
    """
    width = WIDTHS[bits]
    scale = 1 << (width + BELOW) if bits >= 24 else 1
    biased = "bias" in case.layer.tensors(case.x)
    longest = (1 << width) - 1
    products = terms(case.layer, case.x)
    _, keep = amplitude(products, lambda a: a * longest, longest if biased else 0, 2.0**bits)
    arrays: dict[str, Array] = {"x": integers(case, "x", case.shape("x"), 1), "weight": weights(case, 1, keep)}
    arrays[role] = arrays[role] * odd(case, f"long {role}", case.shape(role), width)
    scales = {role: scale}
    if biased:
        signs = integers(case, "bias", case.shape("bias"), 1)
        arrays["bias"], scales["bias"] = signs * odd(case, "long bias", case.shape("bias"), width), scale
    side = case.layer.side_inputs(case.x)
    if side:
        moved = {name: _whole_side(case, name, (*case.batch, *shape), bits) for name, shape in side.items()}
        one_sample_each(case, moved)
        arrays |= moved
        scales |= dict.fromkeys(side, QUARTERS)
    return Fill(arrays, scales, {"": 1 / scale}, thinned(products, keep))


def long_pool(case: Case, bits: int) -> Fill:
    """The same of RoI pooling, which has one operand; its samples are cells."""
    width = WIDTHS[bits]
    scale = 1 << (width + BELOW) if bits >= 24 else 1
    return region_fills.long_pool(case, bits, width, scale, odd(case, "long x", case.shape("x"), width))


def odd(case: Case, name: str, shape: tuple[int, ...], width: int) -> Array:
    """Odd numbers of exactly `width` bits."""
    top = 1 << (width - 1)
    return case.draw(name).integers(0, top // 2, shape, dtype=np.int64) * 2 + 1 + top


def _whole_side(case: Case, name: str, shape: tuple[int, ...], bits: int) -> Array:
    """Offsets of up to two cells, masks mostly 1; in quarters, as the structural fill has them."""
    rng = case.draw(f"whole {name}")
    if name == "offset":
        check_coordinates(case.x, bits)
        return rng.integers(-2, 3, shape, dtype=np.int32) * QUARTERS
    return (rng.random(shape) < 3 / 4).astype(np.int32) * QUARTERS


def narrowings() -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """What may have been done to numbers: the known formats first, then every length, the longest first."""
    yield from CUTS.items()
    for bits in range(WIDTHS[24] - 1, 0, -1):
        for way, rounded in (("rounded", np.rint), ("cut off", np.trunc)):
            yield f"{bits - 1} bits after the point, {way}", partial(cut, bits=bits, rounded=rounded)


def input_precision(layer: Layer, arrays: Arrays, y: Array) -> str:
    """What explains y: the input precision, and which arrays were cut to it; "" when nothing does."""
    names = [name for name in ("x", "weight", "bias") if name in arrays]
    for words, narrowed in narrowings():
        for chosen in (names[:2], names, names[2:]):
            if chosen and np.array_equal(ours.forward(layer, _cut(arrays, chosen, narrowed)), y):
                return f"{' and '.join(chosen)} cut to {words}"
    return ""


def gradient_precision(layer: Layer, arrays: Arrays, long: tuple[str, ...], wrong: Arrays) -> str:
    """What explains gradients, by the arrays' names: the precision that the operands `long` were cut to."""
    found, left = [], dict(wrong)
    for words, narrowed in narrowings():
        changed = _cut(arrays, long, narrowed)
        gradients = ours.backward(layer, changed, changed.pop("dy")) if left else {}
        same = [name for name, gradient in left.items() if np.array_equal(gradients[name], gradient)]
        left = {name: gradient for name, gradient in left.items() if name not in same}
        found += [f"{' and '.join(long)} cut to {words} in the gradient of {', '.join(same)}"] if same else []
    return "; ".join(found)


def _cut(arrays: Arrays, names: Sequence[str], narrowed: Callable[[Array], Array]) -> dict[str, Array]:
    return {name: narrowed(array) if name in names else array for name, array in arrays.items()}
