"""How large the data of gradient checks may be: the largest sum in every gradient, for whole x, weight and dy.

A gradient in the weight sums over the batch and all positions, one in the input over output channels and taps.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from convcli.layers import Conv, ConvTranspose
from convcli.verifier.bounds import groups_of
from convcli.verifier.case import Case, Unfillable
from convcli.verifier.draws import LARGEST, QUARTERS
from convcli.verifier.samples import visits

if TYPE_CHECKING:
    from convcli.backends import Array


class Grid(NamedTuple):
    """Where samples lie: bilinear shares are multiples of 1/share, slopes of 1/slope, masks of 1/mask up to `most`."""

    share: int
    slope: int
    mask: int
    most: float


FOURTHS = Grid(QUARTERS**2, QUARTERS, QUARTERS, 5 / 4)  # a quarter, half or three quarters past a cell
HALVES = Grid(4, 2, 1, 1.0)  # half past a cell, masks 0 or 1: they leave the more bits to the other operands


class Size(NamedTuple):
    """Data within x, w, dy; dy is not 0 at `outs` channels of each group in each of `positions` places."""

    x: int
    w: int
    dy: int
    outs: int
    positions: int


Units = Callable[[Size], dict[str, float]]


def largest_size(units: Units, outs: int, positions: int, room: float) -> Size:
    """The largest amplitude whose sums have room; when not even ones have, dy is thinned to what fits."""
    for a in range(LARGEST, 0, -1):
        size = Size(a, a, a, outs, positions)
        if max(units(size).values()) <= room:
            return size
    return thinned_size(units, size, room)


def thinned_size(units: Units, size: Size, room: float) -> Size:
    """The size with dy at so few channels and positions that all sums have room. Raises Unfillable."""
    while max(units(size).values()) > room:
        thinner = [size._replace(outs=max(1, size.outs // 2)), size._replace(positions=max(1, size.positions // 2))]
        worst = max(units(size), key=units(size).__getitem__)
        smaller = [one for one in thinner if units(one)[worst] < units(size)[worst]]
        if size.outs == size.positions == 1:
            raise Unfillable("no data without rounding: the gradient of a single output is too large a sum")
        size = max(smaller or [min(thinner)], key=lambda one: (one.positions, one.outs))  # few positions use few taps
    return size


def conv_units(case: Case) -> Units:
    """Of a size's data, the largest sum of |products| in every gradient of a plain or transposed layer."""
    layer, taps = case.layer, prod(axis.kernel for axis in case.layer.axes)
    copies, cells = 1, prod((*case.batch, *case.x[1:]))
    if isinstance(layer, Conv) and layer.padding_mode != "zeros":
        copies = prod(1 + max(0, axis.before) + max(0, axis.after) for axis in layer.axes)

    def units(size: Size) -> dict[str, float]:
        positions = min(size.positions, cells) if isinstance(layer, ConvTranspose) else size.positions
        return {
            "x": size.outs * min(taps, size.positions) * copies * size.w * size.dy,
            "weight": positions * size.x * size.dy,
            "bias": size.positions * size.dy,
        }

    return units


def deform_units(case: Case, offset: Array, grid: Grid) -> Units:
    """The same of a deformable layer, in the gradients' own quanta."""
    hits = max(1, int(visits(case.layer, offset / QUARTERS, case.x).max(initial=0)))
    channels = case.x[0] // getattr(case.layer, "offset_groups", 1)
    steps, taps = deform_steps(grid), prod(axis.kernel for axis in case.layer.axes)

    def units(size: Size) -> dict[str, float]:
        column = size.outs * size.w * size.dy
        sums = {
            "x": min(hits, taps * size.positions) * column * grid.most,
            "weight": size.positions * size.x * size.dy * grid.most,
            "bias": size.positions * size.dy,
            "offset": 2 * channels * column * size.x * grid.most,
            "mask": channels * column * size.x,
        }
        return {name: total * steps[name] for name, total in sums.items()}

    return units


def deform_steps(grid: Grid) -> dict[str, int]:
    """1/q of every gradient of a deformable layer on whole x, weight and dy."""
    fine = grid.share * grid.mask
    return {"x": fine, "weight": fine, "bias": 1, "offset": grid.slope * grid.mask, "mask": grid.share}


def dense(case: Case) -> tuple[int, int]:
    """(output channels of a group, positions of all samples)"""
    channels, *space = case.layer.output(case.x)
    return channels // groups_of(case.layer), prod((*case.batch, *space))
