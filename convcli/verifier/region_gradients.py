"""The data of RoI pooling's gradient checks: every sample off the kinks, sums that fit, proven for the actual data.

Where a sum would be too large, dy is thinned until it fits: how many samples fall on one cell is known only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from convcli.backends import numpy as ours
from convcli.verifier.case import Case, Fill, Unfillable
from convcli.verifier.draws import QUARTERS, integers
from convcli.verifier.region_boxes import CELLS, HALF_WAY, OFF_KINKS, Boxes, Lattice, boxes, note, some_masks, whole
from convcli.verifier.region_fills import (
    FEW,
    enough,
    lively,
    ordinary_pool,
    predictor,
    taming,
    values,
    with_sides,
    x_of,
)

if TYPE_CHECKING:
    from convcli.backends import Array


def pool(case: Case, bits: int) -> Fill:
    """The exact data of a pool's gradients, most of which are not 0. Raises Unfillable."""
    return lively(case, bits, _pool, _shows)


def pack(case: Case, bits: int) -> Fill:
    """The exact data of a pack's gradients, likewise."""
    return lively(case, bits, _pack, _shows)


def _shows(case: Case, fill: Fill) -> bool:
    """Every gradient that has products is not 0 in most of their elements."""
    arrays = values(fill)
    dy = arrays.pop("dy")
    found, sums = ours.backward(case.layer, arrays, dy), ours.gradient_magnitudes(case.layer, arrays, dy)
    return all(enough(found[name], s) or not s.any() for name, s in sums.items())


def _pool(case: Case, bits: int) -> Fill:
    """Whole x and dy, masks quarters, samples a quarter or three quarters past a cell."""
    found = boxes(case, OFF_KINKS, bits)
    arrays: dict[str, Array] = {"x": x_of(case, 5, found.odd)}  # many values: slopes are differences
    scales: dict[str, int] = {}
    with_sides(case, found, arrays, scales)
    if "mask" in case.layer.side_inputs(case.x):
        arrays["mask"] = case.draw("mask of gradients").integers(1, QUARTERS + 2, case.shape("mask"), dtype=np.int8)
        scales["mask"] = QUARTERS
    fine = QUARTERS if "mask" in arrays else 1
    return thinned(case, bits, Fill(arrays, scales, _quanta(case, found, OFF_KINKS, fine)), dy_of(case, found))


def long_pool(case: Case, bits: int, role: str, odd: Array, scale: int) -> Fill:
    """`role`, x or dy, is `odd` over `scale`, the other one ones; samples half past a cell, masks 0 or 1."""
    found = boxes(case, HALF_WAY, bits)
    arrays: dict[str, Array] = {"x": integers(case, "x", case.shape("x"), 1).astype(np.int64) * found.odd}
    scales = {role: scale}
    with_sides(case, found, arrays, scales)
    if "mask" in case.layer.side_inputs(case.x):
        arrays["mask"] = some_masks(case, "whole mask")
    dy = dy_of(case, found, 1)
    if role == "x":
        arrays["x"] = arrays["x"] * odd
    else:
        dy = dy * odd
    quanta = _quanta(case, found, HALF_WAY, 1)
    quanta = {name: q / (scale if role != "x" or name != "x" else 1) for name, q in quanta.items()}
    return thinned(case, bits, Fill(arrays, scales, quanta), dy)


def dy_of(case: Case, found: Boxes, most: int = 3) -> Array:
    """1 to `most` times the samples of a bin, by which it is divided: positive, for no sum of shares to come to 0."""
    few = case.draw("dy").integers(1, most + 1, case.layer.output(case.x))
    return np.asarray(few * found.counts.reshape(-1, 1, 1, 1))


def _quanta(case: Case, found: Boxes, lattice: Lattice, fine: int) -> dict[str, float]:
    """q of the gradients for whole dy / samples; gamma * size is a power of 2 in units of the lattice, times odd."""
    power = lattice.unit / float(found.unit.max(initial=0) or lattice.unit)
    quanta = {"x": lattice.share / fine, "mask": lattice.share, "offset": np.sqrt(lattice.share) * power / fine}
    return {name: float(quanta[name]) for name in ("x", *case.layer.side_inputs(case.x)) if name in quanta}


def _pack(case: Case, bits: int) -> Fill:
    """Means of whole cells predict offsets that end between the lattice's points; masks come from biases alone."""
    first, *linear, last = (case.part(part) for part in case.layer.parts(case.x))
    found = boxes(first, CELLS, bits, alike=True)
    tamed = taming(found.most)
    arrays: dict[str, Array] = {"x": x_of(case, FEW, found.most)}
    scales: dict[str, int] = {}
    arrays["rois"], scales["rois"] = whole(found.rois)
    unit = found.unit[0, ::-1] / 2 if len(found.unit) else np.ones(2)
    for (name, _, _), part in zip(case.layer.parts(case.x)[1:-1], linear, strict=True):
        weight, bias, _ = predictor(name, part, unit, tamed, centre=2 * found.most, phase=tamed / 2, silent=True)
        for word, array in (("weight", weight), ("bias", bias)):
            arrays[f"{name}.{word}"], scales[f"{name}.{word}"] = whole(array)
    masked = "mask" in last.layer.side_inputs(last.x)
    fraction = tamed / 4  # how far past a cell a sample is, at the least
    slope = fraction / (2 if masked else 1)
    chained = slope * tamed / 2  # what comes back through gamma * size * unit = odd / 2
    quanta = {"x": min(fraction**2 / 2, chained) / found.most}
    for name in case.layer.tensors(case.x):
        quanta[name] = slope / float(2 * unit.max()) if name.startswith("offset_fc.4") else chained
        if name.startswith("mask"):
            quanta[name] = fraction**2 / 4
    return thinned(case, bits, Fill(arrays, scales, quanta), dy_of(case, found))


def thinned(case: Case, bits: int, fill: Fill, dy: Array) -> Fill:
    """The fill with as much of dy as leaves room for every sum. Raises Unfillable where one element is too much."""
    arrays = values(fill)
    order = case.draw("kept of dy").permutation(dy.size)
    keep, scale = dy.size, fill.scales.get("dy", 1)
    while True:
        kept = np.zeros(dy.size, bool)
        kept[order[:keep]] = True
        some = dy * kept.reshape(dy.shape)
        sums = ours.gradient_magnitudes(case.layer, arrays, some / scale)
        if all(float(np.max(s, initial=0)) <= 2.0**bits * fill.quanta[name] for name, s in sums.items()):
            break
        if keep <= 1:
            raise Unfillable("no data without rounding: the gradient of a single output is too large a sum")
        keep //= 2
    words = note(case.layer)  # type: ignore[arg-type]
    words += f"; dy thinned to {keep} of {dy.size} elements" if keep < dy.size else ""
    return Fill({**fill.arrays, "dy": some}, fill.scales, fill.quanta, words)


def ordinary(case: Case) -> Fill:
    """As the forward pass has them, which keeps off the kinks; a normal dy."""
    fill = ordinary_pool(case)
    dy = case.draw("ordinary dy").standard_normal(case.layer.output(case.x))
    return msgspec.structs.replace(fill, arrays={**fill.arrays, "dy": dy})
