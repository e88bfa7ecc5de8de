"""The data of gradient checks: the layer's arrays and dy, such that no sum of any gradient can round.

A gradient in the weight sums over the batch and all positions, one in the input over output channels and taps: one
amplitude is chosen for the largest of these sums, and where even ones would be too much, dy is thinned with zeros.
Offsets stay off the kinks of the bilinear shares: their fractions are 1/4, 1/2 and 3/4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from convcli.layers import DeformRoIPool, Shape
from convcli.verifier import region_gradients
from convcli.verifier.bounds import groups_of
from convcli.verifier.case import Case, Fill
from convcli.verifier.draws import (
    LARGEST,
    LOGIT,
    QUARTERS,
    biases,
    check_coordinates,
    integers,
    largest_bias,
    terms,
    thinned,
    weights,
)
from convcli.verifier.fills import NEAR, ordinary
from convcli.verifier.gradient_sizes import (
    FOURTHS,
    Size,
    Units,
    conv_units,
    deform_steps,
    deform_units,
    dense,
    largest_size,
)

if TYPE_CHECKING:
    from convcli.backends import Array

PACK_X = 2  # a pack's input moves a sampling point by one of these and a fraction, so by less than 3 cells
PACK_MOVE = 3


def structural_gradients(case: Case, bits: int) -> Fill:
    """Small non-zero integers and quarters, and `dy`; quanta by the gradients' names. Raises Unfillable."""
    return GRADIENTS[case.layer.kind](case, bits)


def ordinary_gradients(case: Case) -> Fill:
    """Normal floats and a normal `dy`; offsets off the kinks. For layers without parts."""
    if isinstance(case.layer, DeformRoIPool):
        return region_gradients.ordinary(case)
    fill = ordinary(case)
    arrays = {**fill.arrays, "dy": case.draw("ordinary dy").standard_normal((*case.batch, *case.layer.output(case.x)))}
    if "offset" in arrays:
        arrays["offset"] = arrays["offset"] | 1  # odd multiples of the step are never whole
    return Fill(arrays, fill.scales)


def _conv(case: Case, bits: int) -> Fill:
    return _filled(case, conv_units(case), 2.0**bits, {})


def _deform(case: Case, bits: int) -> Fill:
    check_coordinates(case.x, bits)
    side = {"offset": _off_the_kinks(case)}
    grid = FOURTHS
    if "mask" in case.layer.side_inputs(case.x):
        largest = int(grid.most * QUARTERS)
        side["mask"] = case.draw("mask").integers(1, largest + 1, case.shape("mask"), dtype=np.int8)
    else:
        grid = grid._replace(mask=1, most=1.0)
    units = deform_units(case, side["offset"], grid)
    return _filled(case, units, 2.0**bits, side, dict.fromkeys(side, QUARTERS), deform_steps(grid))


def _filled(
    case: Case,
    units: Units,
    room: float,
    side: Mapping[str, Array],
    scales: dict[str, int] | None = None,
    steps: Mapping[str, int] | None = None,
) -> Fill:
    """x, weight and bias in the largest size, with what is there already. steps: 1/q of each gradient, or 1."""
    size = largest_size(units, *dense(case), room)
    arrays = {"x": integers(case, "x", case.shape("x"), size.x), "weight": all_weights(case, size.w), **side}
    if "bias" in case.layer.tensors(case.x):
        arrays["bias"] = biases(case, "bias", case.shape("bias")[0], largest_bias(case.shape("bias")[0], room))
    return with_dy(case, arrays, scales or {}, {name: 1 / (steps or {}).get(name, 1) for name in arrays}, size)


def _separable(case: Case, bits: int) -> Fill:
    """Every gradient is a polynomial: what lies between the parts is part of the last sum."""
    first, second = (case.part(part) for part in case.layer.parts(case.x))
    names, taps, inner = case.layer.tensors(case.x), terms(first.layer, first.x), terms(first.layer, first.x)
    middle, outs = first.shape("weight")[0], second.shape("weight")[0]
    most = largest_bias(middle, 64) if "depthwise.bias" in names else 0

    def units(size: Size) -> dict[str, float]:
        between = size.outs * size.w * size.dy
        return {
            "x": between * taps * middle // first.x[0] * size.w,
            "depthwise.weight": size.positions * between * size.x,
            "depthwise.bias": size.positions * between,
            "pointwise.weight": size.positions * size.dy * (inner * size.x * size.w + most),
            "pointwise.bias": size.positions * size.dy,
        }

    size = largest_size(units, *dense(case), 2.0**bits)
    arrays = {
        "x": integers(case, "x", case.shape("x"), size.x),
        "depthwise.weight": all_weights(first, size.w),
        "pointwise.weight": all_weights(second, size.w),
    }
    if most:
        arrays["depthwise.bias"] = biases(case, "depthwise.bias", middle, most)
    if "pointwise.bias" in names:
        arrays["pointwise.bias"] = biases(case, "pointwise.bias", outs, largest_bias(outs, 2.0**bits))
    return with_dy(case, arrays, {}, dict.fromkeys(arrays, 1.0), size)


def _pack(case: Case, bits: int) -> Fill:
    """Each offset is one input and a fraction, each mask 0, 1/2 or 1 by its bias: there the sigmoid is exact.

    Masks that hang on the input would send it a gradient times LOGIT, for which there is no room.
    """
    predictor, deform = (case.part(part) for part in case.layer.parts(case.x))
    check_coordinates(case.x, bits, logits="mask" in deform.layer.side_inputs(deform.x))
    side = deform.layer.side_inputs(deform.x)
    weight, bias = _predictor(predictor, side["offset"][0])
    strongest = int(np.abs(weight).sum(axis=(0, *range(2, weight.ndim))).max()) // QUARTERS
    axes, out = case.layer.axes, case.layer.output(case.x)[1:]
    reach = 2 * (PACK_MOVE + 1)
    hits = prod(axis.kernel * min(size, reach // axis.stride + 1) for axis, size in zip(axes, out, strict=True))
    channels = case.x[0] // getattr(case.layer, "offset_groups", 1)
    halves = 2 if "mask" in side else 1
    fine = (
        FOURTHS.share * QUARTERS if "mask" in side else FOURTHS.slope
    )  # a mask's share through the sigmoid's slope of 1/4
    steps = {
        "x": FOURTHS.share * halves,
        "offset_conv.weight": fine,
        "offset_conv.bias": fine,
        "deform_conv.weight": FOURTHS.share * halves,
        "deform_conv.bias": 1,
    }

    def units(size: Size) -> dict[str, float]:
        column = min(size.outs * size.w, columns.max()) * size.dy
        slope = 2 * PACK_X * min(channels * size.outs * size.w, _by_offset_group(columns, channels)) * size.dy
        sums = {
            "x": hits * column + strongest * slope,
            "offset_conv.weight": size.positions * slope * PACK_X,
            "offset_conv.bias": size.positions * slope,
            "deform_conv.weight": size.positions * size.dy * PACK_X,
            "deform_conv.bias": size.positions * size.dy,
        }
        return {name: float(total * steps[name]) for name, total in sums.items()}

    room, full = 2.0**bits, Size(1, 1, 1, *dense(case))
    keep = products = terms(deform.layer, deform.x)
    columns = _columns(deform, keep)
    while max(units(full).values()) > room and keep * full.outs >= 2 * products:  # each still has a weight somewhere
        keep //= 2
        columns = _columns(deform, keep)
    if keep == products:
        columns = columns * LARGEST  # any amplitude's
    size = largest_size(units, *dense(case), room)
    arrays = {
        "x": integers(case, "x", case.shape("x"), PACK_X),
        "offset_conv.weight": weight,
        "offset_conv.bias": bias,
        "deform_conv.weight": weights(deform, size.w if keep == products else 1, keep),
    }
    if "bias" in deform.layer.tensors(deform.x):
        outs = deform.shape("bias")[0]
        arrays["deform_conv.bias"] = biases(case, "deform_conv.bias", outs, largest_bias(outs, 2.0**bits))
    scales = {"offset_conv.weight": QUARTERS, "offset_conv.bias": QUARTERS}
    found = with_dy(case, arrays, scales, {name: 1 / steps[name] for name in arrays}, size)
    words = "; ".join(filter(None, (thinned(products, keep), found.note)))
    return Fill(found.arrays, found.scales, found.quanta, words)


def _columns(case: Case, keep: int) -> Array:
    """(C, T): for each input channel and tap the sum of its weights, all 1 or -1, without their signs."""
    shape, groups = case.shape("weight"), groups_of(case.layer)
    weight = np.abs(weights(case, 1, keep)).reshape(groups, shape[0] // groups, shape[1], -1)
    return np.asarray(weight.sum(axis=1, dtype=np.int64).reshape(case.x[0], -1))


def _by_offset_group(columns: Array, channels: int) -> int:
    """The largest sum of `columns` over the channels that one offset moves."""
    return int(columns.reshape(-1, channels, columns.shape[1]).sum(axis=1).max())


def _predictor(case: Case, offsets: int) -> tuple[Array, Array]:
    """(weight, bias) in quarters: a row of offsets has one weight of 1 and a bias of 1/4 to 3/4, one of masks none."""
    shape = case.shape("weight")
    rows, products = shape[0], prod(shape[1:])
    rng = case.draw("predictor of gradients")
    weight = np.zeros((rows, products), np.int8)
    weight[np.arange(rows), rng.integers(0, products, rows)] = np.where(rng.random(rows) < 0.5, -1, 1) * QUARTERS
    weight[offsets:] = 0
    bias = rng.integers(1, QUARTERS, rows, dtype=np.int32)
    bias[offsets:] = rng.integers(-1, 2, rows - offsets) * LOGIT * QUARTERS
    return weight.reshape(shape), bias


def _off_the_kinks(case: Case) -> Array:
    """Offsets in quarters, never whole: most within two cells, every sixteenth anywhere, well outside too."""
    shape, far = case.shape("offset"), max(case.x[1:]) + 2
    rng, near = case.draw("offset off the kinks"), NEAR // QUARTERS
    anywhere = rng.random(shape, dtype=np.float32) < 1 / 16
    whole = np.where(anywhere, rng.integers(-far, far, shape), rng.integers(-near, near, shape))
    return np.asarray(whole * QUARTERS + rng.integers(1, QUARTERS, shape), np.int32)


def all_weights(case: Case, a: int) -> Array:
    """The layer's weight, none of it 0."""
    return weights(case, a, terms(case.layer, case.x))


def with_dy(case: Case, arrays: dict[str, Array], scales: dict[str, int], quanta: dict[str, float], size: Size) -> Fill:
    """The fill with its dy, and a note of what dy had to give up."""
    outs, positions = dense(case)
    note = ""
    if (outs, positions) != (size.outs, size.positions):
        note = f"dy thinned to {size.outs} of {outs} channels at {size.positions} of {positions} positions"
    return Fill({**arrays, "dy": _dy(case, size)}, scales, quanta, note)


def _dy(case: Case, size: Size) -> Array:
    """(*batch, O, *out), small integers without 0 but for the thinned; no channel's sum is 0."""
    (outs, positions), groups = dense(case), groups_of(case.layer)
    shape: Shape = (*case.batch, *case.layer.output(case.x))
    rows = integers(case, "dy", (positions, groups, outs), size.dy)
    rng = case.draw("kept of dy")
    if size.outs < outs:
        kept = np.arange(outs) < size.outs
        rows *= rng.permuted(np.broadcast_to(kept, rows.shape), axis=2)
    if size.positions < positions:
        rows[rng.permutation(positions)[size.positions :]] = 0
    columns = rows.reshape(positions, groups * outs)
    for channel in np.flatnonzero(columns.sum(axis=0, dtype=np.int64) == 0):
        columns[np.flatnonzero(columns[:, channel])[:1], channel] *= -1
    images = prod(case.batch)
    return np.ascontiguousarray(np.moveaxis(columns.reshape(images, -1, groups * outs), 2, 1)).reshape(shape)


GRADIENTS: Mapping[str, Callable[[Case, int], Fill]] = MappingProxyType(
    {
        "conv": _conv,
        "conv_transpose": _conv,
        "deform_conv": _deform,
        "separable": _separable,
        "deform_conv_pack": _pack,
        "deform_roi_pool": region_gradients.pool,
        "deform_roi_pool_pack": region_gradients.pack,
    }
)
