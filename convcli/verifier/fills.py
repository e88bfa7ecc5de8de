"""The data of a check: drawn from the layer's configuration and the seed alone, never from order, jobs or threads.

`structural` data are exact: every value is a whole number over a power of two, small enough that each product and each
partial sum, in any order, is a multiple of the quantum q and at most 2**bits * q. `ordinary` data are normal floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from convcli.backends import numpy as ours
from convcli.layers import DeformRoIPool
from convcli.verifier import region_fills
from convcli.verifier.case import Case, Fill, Unfillable
from convcli.verifier.draws import (
    LOGIT,
    QUARTERS,
    amplitude,
    biases,
    check_coordinates,
    integers,
    largest_bias,
    terms,
    thinned,
    weights,
)
from convcli.verifier.samples import seen_taps

if TYPE_CHECKING:
    from convcli.backends import Array

FEW = 64  # positions, over all images
NEAR = 8  # exact offsets: most within 8 quarters of a cell, so two cells, around their tap
PACK_X = 4  # a pack's input: its predictor turns two of these into an offset
UNITS = 1 << 10  # no exact data are finer than 1 / UNITS, nor are their products
FRACTION_BITS = 10  # ordinary offsets: coordinates and bilinear shares stay exact


def structural(case: Case, bits: int) -> Fill:
    """Small non-zero integers, biases distinct and never 0: exact where `bits` bits of mantissa are kept.

    Raises Unfillable.
    """
    return STRUCTURAL[case.layer.kind](case, bits)


def ordinary(case: Case) -> Fill:
    """Normal floats; offsets within two cells in steps of 2**-10, masks from 0 to 1. For layers without parts."""
    if isinstance(case.layer, DeformRoIPool):
        return region_fills.ordinary_pool(case)
    arrays: dict[str, Array] = {}
    scales: dict[str, int] = {}
    for name in ("x", *case.layer.side_inputs(case.x), *case.layer.tensors(case.x)):
        rng, shape = case.draw(f"ordinary {name}"), case.shape(name)
        if name == "offset":
            bits = min(FRACTION_BITS, 22 - max(case.x[1:]).bit_length())
            if bits < 1:
                raise Unfillable("the input is too large for exact coordinates in float32")
            arrays[name], scales[name] = rng.integers(-2 << bits, (2 << bits) + 1, shape, dtype=np.int32), 1 << bits
        else:
            arrays[name] = rng.random(shape) if name == "mask" else rng.standard_normal(shape)
    return Fill(arrays, scales)


def _sums(case: Case, bits: int, *, room: float | None = None, each: Callable[[int], float] = lambda a: a * a) -> Fill:
    """x and weight within one amplitude."""
    products = terms(case.layer, case.x)
    room = 2.0**bits if room is None else room
    most = largest_bias(case.shape("bias")[0], room) if "bias" in case.layer.tensors(case.x) else 0
    a, keep = amplitude(products, each, most, room)
    arrays = {"x": integers(case, "x", case.shape("x"), a), "weight": weights(case, a, keep)}
    if most:
        arrays["bias"] = biases(case, "bias", case.shape("bias")[0], most)
    return Fill(arrays, quanta={"": 1.0}, note=thinned(products, keep))


def _deform(case: Case, bits: int) -> Fill:
    """Bilinear shares are multiples of 1/16 and masks of 1/4, up to 5/4."""
    masked = "mask" in case.layer.side_inputs(case.x)
    check_coordinates(case.x, bits)
    q = 1 / 64 if masked else 1 / 16
    plain = _sums(case, bits, room=2.0**bits * q, each=lambda a: a * a * (1.25 if masked else 1))
    side = {"offset": _quarters(case)}
    if masked:
        side["mask"] = case.draw("mask").integers(0, 16, case.shape("mask"), dtype=np.int8)
        side["mask"] = np.where(side["mask"] == 0, 0, side["mask"] % 5 + 1).astype(np.int8)
    one_sample_each(case, side)
    return Fill({**plain.arrays, **side}, dict.fromkeys(side, QUARTERS), {"": q}, plain.note)


def _separable(case: Case, bits: int) -> Fill:
    """What lies between the parts is exact as well: it is part of the last sum."""
    first, second = (case.part(part) for part in case.layer.parts(case.x))
    names = case.layer.tensors(case.x)
    room = 2.0**bits
    inner = terms(first.layer, first.x)
    inner_bias = largest_bias(first.shape("weight")[0], room / 64) if "depthwise.bias" in names else 0
    bias = largest_bias(second.shape("weight")[0], room) if "pointwise.bias" in names else 0
    a, keep = amplitude(second.x[0], lambda a: (inner * a * a + inner_bias) * a, bias, room)
    arrays = {
        "x": integers(case, "x", case.shape("x"), a),
        "depthwise.weight": weights(first, a, inner),
        "pointwise.weight": weights(second, a, keep),
    }
    if inner_bias:
        arrays["depthwise.bias"] = biases(case, "depthwise.bias", first.shape("bias")[0], inner_bias)
    if bias:
        arrays["pointwise.bias"] = biases(case, "pointwise.bias", second.shape("bias")[0], bias)
    return Fill(arrays, quanta={"depthwise": 1.0, "pointwise": 1.0}, note=thinned(second.x[0], keep))


def _pack(case: Case, bits: int) -> Fill:
    """A sparse predictor: each offset is a quarter of two inputs and a bias, each mask 0, 1/2 or 1."""
    predictor, deform = (case.part(part) for part in case.layer.parts(case.x))
    check_coordinates(case.x, bits, logits="mask" in deform.layer.side_inputs(deform.x))
    side = deform.layer.side_inputs(deform.x)
    q = 1 / 32 if "mask" in side else 1 / 16
    plain = _sums(deform, bits, room=2.0**bits * q, each=lambda a: PACK_X * a)
    weight, bias = _predictor(predictor, side["offset"][0])
    arrays = {
        "x": integers(case, "x", case.shape("x"), PACK_X),
        "offset_conv.weight": weight,
        "offset_conv.bias": bias,
        **{f"deform_conv.{name}": array for name, array in plain.arrays.items() if name != "x"},
    }
    scales = {"offset_conv.weight": QUARTERS, "offset_conv.bias": QUARTERS}
    _bring_in(predictor, deform, arrays)
    return Fill(arrays, scales, {"offset_conv": 1 / QUARTERS, "deform_conv": q}, plain.note)


def _bring_in(predictor: Case, deform: Case, arrays: dict[str, Array]) -> None:
    """A tap that samples nothing at any of a FEW positions is moved inside at the first of them, for good: by its bias.

    Over many positions chance sees to it.
    """
    if prod((*deform.batch, *deform.layer.output(deform.x)[1:])) > FEW:
        return
    part = {name: np.asarray(arrays[f"offset_conv.{name}"], np.float64) / QUARTERS for name in ("weight", "bias")}
    said = ours.forward(predictor.layer, {"x": arrays["x"].astype(np.float64), **part})
    offset, logits = np.split(said, [deform.shape("offset")[-3]], axis=-3)
    mask = logits >= 0 if logits.size else None
    count = offset.shape[-3]
    weight, bias = (arrays[f"offset_conv.{name}"] for name in ("weight", "bias"))
    for tap in np.flatnonzero(~seen_taps(deform.layer, offset, mask, deform.x)):
        rows = [2 * tap, 2 * tap + 1, *([count + tap] if mask is not None else [])]
        weight[rows] = 0
        inside = [QUARTERS * cells for cells in to_the_middle(deform, int(tap))]
        bias[rows] = [*inside, *([LOGIT * QUARTERS] if mask is not None else [])]


def _predictor(case: Case, offsets: int) -> tuple[Array, Array]:
    """(weight, bias) in quarters. Offset rows have two weights of 1/4, mask rows one of 1024 or none."""
    shape = case.shape("weight")
    rows, products = shape[0], prod(shape[1:])
    rng = case.draw("predictor")
    weight = np.zeros((rows, products), np.int16)
    bias = np.where(rng.random(rows) < 0.5, -1, 1) * rng.integers(1, 3, rows)
    units = np.where(np.arange(rows) < offsets, 1, LOGIT * QUARTERS)
    for row in range(rows if products else 0):
        places = rng.choice(products, min(products, 2 if row < offsets else 1), replace=False)
        weight[row, places] = rng.choice([-1, 1], len(places)) * units[row]
    silent = (np.arange(rows) >= offsets) & (rng.random(rows) < 1 / 3)
    weight[silent], bias[silent] = 0, 0
    return weight.reshape(shape), (bias * units).astype(np.int16)


def _quarters(case: Case) -> Array:
    """Offsets in quarters: most within two cells, every sixteenth anywhere, well outside too."""
    shape = case.shape("offset")
    rng = case.draw("offset")
    far = QUARTERS * (max(case.x[1:]) + 2)
    offsets = rng.integers(-NEAR, NEAR + 1, shape, dtype=np.int32)
    anywhere = rng.integers(-far, far + 1, shape, dtype=np.int32)
    return np.where(rng.random(shape, dtype=np.float32) < 1 / 16, anywhere, offsets)


def one_sample_each(case: Case, side: dict[str, Array]) -> None:
    """Give every tap of every group of offsets a sample inside the input: where it has none, at its first position."""
    seen = seen_taps(case.layer, side["offset"] / QUARTERS, side.get("mask"), case.x)
    offset = side["offset"].reshape(-1, *side["offset"].shape[-3:])
    for tap in np.flatnonzero(~seen):
        offset[0, [2 * tap, 2 * tap + 1], 0, 0] = [QUARTERS * cells for cells in to_the_middle(case, int(tap))]
        if "mask" in side:
            side["mask"].reshape(-1, *side["mask"].shape[-3:])[0, tap, 0, 0] = QUARTERS


def to_the_middle(case: Case, tap: int) -> list[int]:
    """By how many cells a tap must move, per axis, to be in the middle of the input at the first position."""
    kernel = tuple(axis.kernel for axis in case.layer.axes)
    place = np.unravel_index(tap % prod(kernel), kernel)
    return [
        size // 2 - (int(at) * axis.dilation - axis.before)
        for at, axis, size in zip(place, case.layer.axes, case.x[1:], strict=True)
    ]


STRUCTURAL: Mapping[str, Callable[[Case, int], Fill]] = MappingProxyType(
    {
        "conv": _sums,
        "conv_transpose": _sums,
        "deform_conv": _deform,
        "separable": _separable,
        "deform_conv_pack": _pack,
        "deform_roi_pool": region_fills.pool,
        "deform_roi_pool_pack": region_fills.pack,
    }
)
