"""The data of gradient checks: the layer's arrays and dy, such that no sum of any gradient can round.

A gradient in the weight sums over the batch and all positions, one in the input over output channels and taps: one
amplitude is chosen for the largest of these sums, and where even ones would be too much, dy is thinned with zeros.
Offsets stay off the kinks of the bilinear shares: their fractions are 1/4, 1/2 and 3/4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convcli.layers import Conv, ConvTranspose, DeformConv, DeformConvPack, Layer, Shape
from convcli.verifier.case import Case, Fill, Unfillable
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

if TYPE_CHECKING:
    from convcli.backends import Array

LARGEST_MASK = 5  # quarters
PACK_X = 2  # a pack's input moves a sampling point by one of these and a fraction, so by less than 3 cells
PACK_MOVE = 3
SHARE, SLOPE = QUARTERS**2, QUARTERS  # bilinear shares are multiples of 1/16, their slopes of 1/4


class Size(NamedTuple):
    """Data within `a`, dy within `dy`; dy is not 0 at `outs` channels of each group in each of `positions` places."""

    a: int
    dy: int
    outs: int
    positions: int


Units = Callable[[Size], dict[str, float]]


def structural_gradients(case: Case, bits: int) -> Fill:
    """Small non-zero integers and quarters, and `dy`; quanta by the gradients' names. Raises Unfillable."""
    return GRADIENTS[case.layer.kind](case, bits)


def ordinary_gradients(case: Case) -> Fill:
    """Normal floats and a normal `dy`; offsets off the kinks. For layers without parts."""
    fill = ordinary(case)
    arrays = {**fill.arrays, "dy": case.draw("ordinary dy").standard_normal((*case.batch, *case.layer.output(case.x)))}
    if "offset" in arrays:
        arrays["offset"] = arrays["offset"] | 1  # odd multiples of the step are never whole
    return Fill(arrays, fill.scales)


def largest_size(units: Units, outs: int, positions: int, room: float) -> Size:
    """The largest amplitude whose sums have room; when not even ones have, dy is thinned to what fits."""
    for a in range(LARGEST, 0, -1):
        size = Size(a, a, outs, positions)
        if max(units(size).values()) <= room:
            return size
    while max(units(size).values()) > room:
        thinner = [size._replace(outs=max(1, size.outs // 2)), size._replace(positions=max(1, size.positions // 2))]
        worst = max(units(size), key=units(size).__getitem__)
        smaller = [one for one in thinner if units(one)[worst] < units(size)[worst]]
        if not smaller:
            raise Unfillable("no data without rounding: the gradient of a single output is too large a sum")
        size = max(smaller, key=lambda one: (one.positions, one.outs))
    return size


def _conv(case: Case, bits: int) -> Fill:
    layer, taps = case.layer, prod(axis.kernel for axis in case.layer.axes)
    copies, cells = 1, prod((*case.batch, *case.x[1:]))
    if isinstance(layer, Conv) and layer.padding_mode != "zeros":
        copies = prod(1 + max(0, axis.before) + max(0, axis.after) for axis in layer.axes)

    def units(size: Size) -> dict[str, float]:
        positions = min(size.positions, cells) if isinstance(layer, ConvTranspose) else size.positions
        return {
            "x": size.outs * taps * copies * size.a * size.dy,
            "weight": positions * size.a * size.dy,
            "bias": size.positions * size.dy,
        }

    return _filled(case, units, 2.0**bits, {})


def _deform(case: Case, bits: int) -> Fill:
    check_coordinates(case.x, bits)
    masked = "mask" in case.layer.side_inputs(case.x)
    offset = _off_the_kinks(case)
    side, most, quarters = {"offset": offset}, 1.0, 1
    if masked:
        side["mask"] = case.draw("mask").integers(1, LARGEST_MASK + 1, case.shape("mask"), dtype=np.int8)
        most, quarters = LARGEST_MASK / QUARTERS, QUARTERS
    hits, channels = _most_visits(case, offset), case.x[0] // getattr(case.layer, "offset_groups", 1)
    steps = {"x": SHARE * quarters, "weight": SHARE * quarters, "bias": 1, "offset": SLOPE * quarters, "mask": SHARE}

    def units(size: Size) -> dict[str, float]:
        column = size.outs * size.a * size.dy
        sums = {
            "x": hits * column * most,
            "weight": size.positions * size.a * size.dy * most,
            "bias": size.positions * size.dy,
            "offset": 2 * channels * column * size.a * most,
            "mask": channels * column * size.a,
        }
        return {name: total * steps[name] for name, total in sums.items()}

    return _filled(case, units, 2.0**bits, side, dict.fromkeys(side, QUARTERS), steps)


def _filled(
    case: Case,
    units: Units,
    room: float,
    side: Mapping[str, Array],
    scales: dict[str, int] | None = None,
    steps: Mapping[str, int] | None = None,
) -> Fill:
    """x, weight and bias in the largest size, with what is there already. steps: 1/q of each gradient, or 1."""
    size = largest_size(units, *_dense(case), room)
    arrays = {"x": integers(case, "x", case.shape("x"), size.a), "weight": _all_weights(case, size.a), **side}
    if "bias" in case.layer.tensors(case.x):
        arrays["bias"] = biases(case, "bias", case.shape("bias")[0], largest_bias(case.shape("bias")[0], room))
    return _with_dy(case, arrays, scales or {}, {name: 1 / (steps or {}).get(name, 1) for name in arrays}, size)


def _separable(case: Case, bits: int) -> Fill:
    """Every gradient is a polynomial: what lies between the parts is part of the last sum."""
    first, second = (case.part(part.layer, part.x) for part in case.layer.parts(case.x))
    names, taps, inner = case.layer.tensors(case.x), terms(first.layer, first.x), terms(first.layer, first.x)
    middle, outs = first.shape("weight")[0], second.shape("weight")[0]
    most = largest_bias(middle, 64) if "depthwise.bias" in names else 0

    def units(size: Size) -> dict[str, float]:
        between = size.outs * size.a * size.dy
        return {
            "x": between * taps * middle // first.x[0] * size.a,
            "depthwise.weight": size.positions * between * size.a,
            "depthwise.bias": size.positions * between,
            "pointwise.weight": size.positions * size.dy * (inner * size.a**2 + most),
            "pointwise.bias": size.positions * size.dy,
        }

    size = largest_size(units, *_dense(case), 2.0**bits)
    arrays = {
        "x": integers(case, "x", case.shape("x"), size.a),
        "depthwise.weight": _all_weights(first, size.a),
        "pointwise.weight": _all_weights(second, size.a),
    }
    if most:
        arrays["depthwise.bias"] = biases(case, "depthwise.bias", middle, most)
    if "pointwise.bias" in names:
        arrays["pointwise.bias"] = biases(case, "pointwise.bias", outs, largest_bias(outs, 2.0**bits))
    return _with_dy(case, arrays, {}, dict.fromkeys(arrays, 1.0), size)


def _pack(case: Case, bits: int) -> Fill:
    """Each offset is one input and a fraction, each mask 0, 1/2 or 1 by its bias: there the sigmoid is exact.

    Masks that hang on the input would send it a gradient times LOGIT, for which there is no room.
    """
    predictor, deform = (case.part(part.layer, part.x) for part in case.layer.parts(case.x))
    check_coordinates(case.x, bits)
    side = deform.layer.side_inputs(deform.x)
    weight, bias = _predictor(predictor, side["offset"][0])
    strongest = int(np.abs(weight).sum(axis=(0, *range(2, weight.ndim))).max()) // QUARTERS
    axes, out = case.layer.axes, case.layer.output(case.x)[1:]
    reach = 2 * (PACK_MOVE + 1)
    hits = prod(axis.kernel * min(size, reach // axis.stride + 1) for axis, size in zip(axes, out, strict=True))
    channels = case.x[0] // getattr(case.layer, "offset_groups", 1)
    halves = 2 if "mask" in side else 1
    fine = SHARE * QUARTERS if "mask" in side else SLOPE  # a mask's share through the sigmoid's slope of 1/4
    steps = {
        "x": SHARE * halves,
        "offset_conv.weight": fine,
        "offset_conv.bias": fine,
        "deform_conv.weight": SHARE * halves,
        "deform_conv.bias": 1,
    }

    def units(size: Size) -> dict[str, float]:
        column = min(size.outs * size.a, columns.max()) * size.dy
        slope = 2 * PACK_X * min(channels * size.outs * size.a, _by_offset_group(columns, channels)) * size.dy
        sums = {
            "x": hits * column + strongest * slope,
            "offset_conv.weight": size.positions * slope * PACK_X,
            "offset_conv.bias": size.positions * slope,
            "deform_conv.weight": size.positions * size.dy * PACK_X,
            "deform_conv.bias": size.positions * size.dy,
        }
        return {name: float(total * steps[name]) for name, total in sums.items()}

    room, dense = 2.0**bits, Size(1, 1, *_dense(case))
    keep = products = terms(deform.layer, deform.x)
    columns = _columns(deform, keep)
    while max(units(dense).values()) > room and keep * dense.outs >= 2 * products:  # each still has a weight somewhere
        keep //= 2
        columns = _columns(deform, keep)
    if keep == products:
        columns = columns * LARGEST  # any amplitude's
    size = largest_size(units, *_dense(case), room)
    arrays = {
        "x": integers(case, "x", case.shape("x"), PACK_X),
        "offset_conv.weight": weight,
        "offset_conv.bias": bias,
        "deform_conv.weight": weights(deform, size.a if keep == products else 1, keep),
    }
    if "bias" in deform.layer.tensors(deform.x):
        outs = deform.shape("bias")[0]
        arrays["deform_conv.bias"] = biases(case, "deform_conv.bias", outs, largest_bias(outs, 2.0**bits))
    scales = {"offset_conv.weight": QUARTERS, "offset_conv.bias": QUARTERS}
    found = _with_dy(case, arrays, scales, {name: 1 / steps[name] for name in arrays}, size)
    words = "; ".join(filter(None, (thinned(products, keep), found.note)))
    return Fill(found.arrays, found.scales, found.quanta, words)


def _columns(case: Case, keep: int) -> Array:
    """(C, T): for each input channel and tap the sum of its weights, all 1 or -1, without their signs."""
    shape, groups = case.shape("weight"), _groups(case.layer)
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


def _most_visits(case: Case, offset: Array) -> int:
    """How many samples, of one image and group of offsets, a cell has a share in at most."""
    layer, (height, width) = case.layer, case.x[1:]
    if not isinstance(layer, DeformConv):
        raise TypeError(f"{layer.kind} has no offsets")
    kernel, out = tuple(axis.kernel for axis in layer.axes), layer.output(case.x)[1:]
    moves = offset.reshape(-1, prod(kernel), 2, *out)
    tap, position = np.indices(kernel).reshape(2, -1), np.indices(out)
    low = []
    for place, axis in enumerate(layer.axes):
        there = position[place] * axis.stride - axis.before + (tap[place] * axis.dilation)[:, None, None]
        low.append(np.clip(moves[:, :, place] // QUARTERS + there, -2, case.x[1 + place] + 1) + 2)
    grid = (height + 5) * (width + 5)
    image = np.arange(len(moves))[:, None, None, None] * grid
    visits = np.zeros(len(moves) * grid, np.int64)
    for step in (0, 1, width + 5, width + 6):
        visits += np.bincount((image + low[0] * (width + 5) + low[1]).ravel() + step, minlength=len(visits))
    inside = visits.reshape(-1, height + 5, width + 5)[:, 2:-3, 2:-3]
    return max(1, int(inside.max(initial=0)))


def _all_weights(case: Case, a: int) -> Array:
    return weights(case, a, terms(case.layer, case.x))


def _dense(case: Case) -> tuple[int, int]:
    """(output channels of a group, positions of all samples)"""
    channels, *space = case.layer.output(case.x)
    return channels // _groups(case.layer), prod((*case.batch, *space))


def _groups(layer: Layer) -> int:
    return layer.groups or 1 if isinstance(layer, Conv | ConvTranspose | DeformConvPack) else 1


def _with_dy(
    case: Case, arrays: dict[str, Array], scales: dict[str, int], quanta: dict[str, float], size: Size
) -> Fill:
    """The fill with its dy, and a note of what dy had to give up."""
    outs, positions = _dense(case)
    note = ""
    if (outs, positions) != (size.outs, size.positions):
        note = f"dy thinned to {size.outs} of {outs} channels at {size.positions} of {positions} positions"
    return Fill({**arrays, "dy": _dy(case, size)}, scales, quanta, note)


def _dy(case: Case, size: Size) -> Array:
    """(*batch, O, *out), small integers without 0 but for the thinned; no channel's sum is 0."""
    (outs, positions), groups = _dense(case), _groups(case.layer)
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
    {"conv": _conv, "conv_transpose": _conv, "deform_conv": _deform, "separable": _separable, "deform_conv_pack": _pack}
)
