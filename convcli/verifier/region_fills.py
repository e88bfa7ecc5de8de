"""The exact and the ordinary data of RoI pooling, and of its packs, whose offsets are predicted inside.

A mean is a sum and a division: x is a multiple of the odd part of every count, so that the division is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from convcli.backends import numpy as ours
from convcli.layers import DeformRoIPool, FullyConnected
from convcli.verifier.case import Case, Fill, Unfillable
from convcli.verifier.draws import LARGEST, LOGIT, QUARTERS
from convcli.verifier.region_boxes import CELLS, GRIDS, QUARTER, Boxes, boxes, note, offsets, some_masks, whole

if TYPE_CHECKING:
    from convcli.backends import Array

TRIES, CLEAR = 32, 200  # fills, and places for a box or an offset, that are drawn before one is given up
APART = 1_000_003  # between their seeds
FEW = 3  # a pack's x is 1 to FEW times the samples of a bin
FINEST = 2.0**-9  # ordinary samples stay so far from whole coordinates: further than their rounding moves them


def pool(case: Case, bits: int) -> Fill:
    """The exact data of a pool, in which most bins hold something. Raises Unfillable."""
    return lively(case, bits, _pool, _shows)


def moved_pool(case: Case, bits: int) -> Fill:
    """The same, all bins of a box moving as one."""
    return lively(case, bits, partial(_pool, alike=True), _shows)


def pack(case: Case, bits: int) -> Fill:
    """The exact data of a pack, likewise."""
    return lively(case, bits, _pack, _shows)


def lively(case: Case, bits: int, make: Callable[[Case, int], Fill], shows: Callable[[Case, Fill], bool]) -> Fill:
    """The first of TRIES fills that `shows` something: in few cells, sums come to 0 and boxes miss, by chance."""
    for number in range(TRIES):
        again = msgspec.structs.replace(case, seed=case.seed + number * APART)
        fill = make(again, bits)
        if shows(case, fill):
            break
    return fill


def _shows(case: Case, fill: Fill) -> bool:
    """More outputs hold something than have sums that come to 0."""
    arrays = values(fill)
    y = ours.forward(case.layer, arrays)
    *_, magnitude = ours.magnitudes(case.layer, arrays).values()
    return enough(y, magnitude)


def enough(found: Array, magnitude: Array) -> bool:
    """There are elements with a product, and most of them are not 0."""
    live = magnitude != 0
    return bool(live.any() and 2 * np.count_nonzero(live & (found == 0)) <= np.count_nonzero(live))


def values(fill: Fill) -> dict[str, Array]:
    """The arrays in double precision."""
    return {name: np.asarray(array, np.float64) / fill.scales.get(name, 1) for name, array in fill.arrays.items()}


def _pool(case: Case, bits: int, *, alike: bool = False) -> Fill:
    """x small whole numbers, masks quarters up to 5/4, coordinates quarters. alike: all bins of a box move as one."""
    found = boxes(case, QUARTER, bits)
    masked = "mask" in case.layer.side_inputs(case.x)
    fine = 5 if masked else 1
    most = int(2.0**bits * QUARTER.share / (found.most * found.odd * fine))
    if most < 1:
        raise Unfillable("no data without rounding: a bin has too many samples")
    arrays: dict[str, Array] = {"x": x_of(case, min(most, LARGEST), found.odd)}
    scales: dict[str, int] = {}
    with_sides(case, found, arrays, scales, alike=alike)
    if masked:
        quarters = case.draw("mask quarters").integers(1, QUARTERS + 2, case.shape("mask"), dtype=np.int8)
        arrays["mask"], scales["mask"] = quarters * some_masks(case, "mask"), QUARTERS
    quantum = QUARTER.share / (found.most * (QUARTERS if masked else 1))
    return Fill(arrays, scales, {"": quantum}, note(case.layer))  # type: ignore[arg-type]


def long_pool(case: Case, bits: int, width: int, scale: int, odd: Array) -> Fill:
    """Every sample is a cell's centre, x is `odd`, whole numbers of `width` bits over `scale`, masks are 0 or 1."""
    found = boxes(case, CELLS, bits)
    if found.most * found.odd * (1 << width) > 2**bits:
        raise Unfillable("no data without rounding: a bin has too many samples")
    arrays: dict[str, Array] = {"x": odd * found.odd}
    scales = {"x": scale}
    with_sides(case, found, arrays, scales)
    if "mask" in case.layer.side_inputs(case.x):
        arrays["mask"] = some_masks(case, "whole mask")
    return Fill(arrays, scales, {"": 1 / (scale * found.most)}, note(case.layer))  # type: ignore[arg-type]


def x_of(case: Case, a: int, times: int) -> Array:
    """1 to a, times a number: positive, for no mean of few cells to come to 0."""
    return case.draw("x").integers(1, a + 1, case.shape("x"), dtype=np.int64) * times


def with_sides(
    case: Case, found: Boxes, arrays: dict[str, Array], scales: dict[str, int], *, alike: bool = False
) -> None:
    """The boxes, and the offsets where the layer has any."""
    arrays["rois"], scales["rois"] = whole(found.rois)
    if "offset" in case.layer.side_inputs(case.x):
        arrays["offset"], scales["offset"] = whole(offsets(case, found, alike=alike))


def _pack(case: Case, bits: int) -> Fill:
    """Without offsets every sample is a cell, and every mean whole; each offset follows from one of them."""
    first, *linear, last = (case.part(part) for part in case.layer.parts(case.x))
    found = boxes(first, CELLS, bits, alike=True)
    tamed = taming(found.most)
    arrays: dict[str, Array] = {"x": x_of(case, FEW, found.most)}
    scales: dict[str, int] = {}
    arrays["rois"], scales["rois"] = whole(found.rois)
    unit = found.unit / QUARTERS if len(found.unit) else np.ones((1, 2))
    quanta = {"roi_pool": 1 / found.most}
    names = [part.name for part in case.layer.parts(case.x)][1:-1]
    for name, part in zip(names, linear, strict=True):
        weight, bias, quanta[name] = predictor(name, part, unit[0, ::-1], tamed, centre=2 * found.most)
        for word, array in (("weight", weight), ("bias", bias)):
            arrays[f"{name}.{word}"], scales[f"{name}.{word}"] = whole(array)
    masked = "mask" in last.layer.side_inputs(last.x)
    quanta["deform_roi_pool"] = (tamed / QUARTERS) ** 2 / found.most / (2 if masked else 1)
    if FEW * found.most**2 / quanta["deform_roi_pool"] > 2.0**bits * found.most:
        raise Unfillable("no data without rounding: a bin has too many samples")
    return Fill(arrays, scales, quanta, note(case.layer))  # type: ignore[arg-type]


def taming(count: int) -> float:
    """A power of 2 that brings what a mean of `count` cells is off its centre, and biases add to it, down to some 4."""
    return float(2.0 ** -max(0, (max(1, (2 * count + 2) // 4) - 1).bit_length()))


def predictor(
    name: str, part: Case, unit: Array, tamed: float, *, centre: int, phase: float = 0.0, silent: bool = False
) -> tuple[Array, Array, float]:
    """(weight, bias, quantum) of one linear layer: each row looks at one input.

    Hidden rows keep whole numbers; the last ones make offsets, `unit` (right, down) times small numbers, or the logits
    of masks of 0, 1/2 or 1. centre: what the means are about, taken off by the first. phase: a constant that offsets
    have beside. silent: logits are biases alone.
    """
    shape, rng = part.shape("weight"), part.draw(f"predictor {name}")
    layer: FullyConnected = part.layer  # type: ignore[assignment]
    rows = np.arange(shape[0])
    weight, places = np.zeros(shape), rng.integers(0, shape[1], shape[0])
    weight[rows, places] = np.where(rng.random(shape[0]) < 1 / 2, -1, 1) if name.endswith(".0") or not layer.relu else 1
    bias = rng.integers(0, 2, shape[0]).astype(float)
    if name.endswith(".0"):
        bias -= weight.sum(axis=1) * centre
    if layer.relu:
        return weight, bias, 1.0
    if name.startswith("mask"):
        return weight * (0 if silent else LOGIT), rng.integers(-1, 2, shape[0]) * float(LOGIT), 1.0
    each = np.repeat(unit, shape[0] // 2)
    return weight * each[:, None] * tamed, (bias + phase) * each, float(unit.min()) * tamed


def ordinary_pool(case: Case) -> Fill:
    """Normal floats; boxes and offsets so that no sample is near a whole coordinate, where a rounding tells."""
    layer: DeformRoIPool = case.layer  # type: ignore[assignment]
    rng = case.draw("ordinary boxes")
    moved = "offset" in layer.side_inputs(case.x)
    rois, offset = np.zeros((layer.rois, 5)), np.zeros((layer.rois, 2, *layer.output_size))
    for number in range(layer.rois):
        rois[number, 0] = rng.integers(0, max(1, case.x[0]))
        for axis, (bins, cells) in enumerate(zip(layer.output_size, case.x[2:], strict=True)):
            way = 1 - axis
            start, size, moves = _clear(layer, rng, bins, cells, axis, moved=moved)
            rois[number, [1 + way, 3 + way]] = (np.array([start, start + size]) + 1 / 2) / layer.spatial_scale
            offset[number, way] = moves
    arrays: dict[str, Array] = {"x": case.draw("ordinary x").standard_normal(case.shape("x")), "rois": rois}
    if moved:
        arrays["offset"] = offset
    if layer.modulated:
        arrays["mask"] = case.draw("ordinary mask").random(case.shape("mask"))
    return Fill({name: array.astype(np.float32).astype(np.float64) for name, array in arrays.items()})


def _clear(
    layer: DeformRoIPool, rng: np.random.Generator, bins: int, cells: int, axis: int, *, moved: bool
) -> tuple[float, float, Array]:
    """(start, size, offsets of every bin) along an axis, all samples clear of whole coordinates."""
    far, ratio = FINEST * max(1.0, cells / 256), layer.sampling_ratio
    offset = np.zeros(layer.output_size)
    for _ in range(CLEAR):
        step = rng.uniform(0.3, max(1.0, cells / bins)) if ratio else rng.uniform(0.3, max(GRIDS) - 0.3)
        size, grid = bins * step, ratio or int(np.ceil(step))
        start = rng.uniform(-1 - size / 4, max(0.0, cells - size * 3 / 4))
        at = start + step * (np.arange(bins)[:, None] + (np.arange(grid) + 0.5) / grid)  # (bins, samples)
        if abs(step - round(step)) < far and not ratio:
            continue
        own = at[:, None] if axis == 0 else at[None]  # (rows, columns, samples), as far as they differ
        for _ in range(CLEAR if moved else 1):
            there = own + (layer.gamma * size * offset)[..., None]
            touching = (np.abs(there - np.rint(there)) < far).any(axis=-1)
            if not touching.any() and (not moved or offset.all()):
                return start, size, offset
            offset = np.where(touching | (offset == 0), rng.standard_normal(layer.output_size), offset)
    raise Unfillable("no boxes whose samples are all clear of whole coordinates")
