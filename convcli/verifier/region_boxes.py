"""Boxes and offsets of RoI pooling of which every coordinate, and so every share of a cell, is a dyadic number.

A box of `bins * grid * step` cells has its samples `step` apart; it begins so that all of them lie on a lattice
`phase + unit * k`. What moves a bin, gamma * size * offset, is a multiple of the lattice's unit again: of the odd part
of the size times that, for gamma, the offset and what else is in the size are powers of 2.
"""

from __future__ import annotations

from math import frexp, lcm
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from convcli.layers import DeformRoIPool, DeformRoIPoolPack, Layer
from convcli.verifier.case import Case, Unfillable
from convcli.verifier.draws import QUARTERS

if TYPE_CHECKING:
    from convcli.backends import Array

NEAR = 2.0  # cells that most offsets move a bin by, at the most
GRIDS = (1, 2, 3, 4)  # samples to a bin, where the box decides


class Lattice(NamedTuple):
    """Samples lie at phase + unit * k; steps: how far apart they may be. odd: reversed and empty boxes too."""

    unit: float
    phase: float
    steps: tuple[float, ...]
    odd: bool = False

    @property
    def share(self) -> float:
        """What the shares of the cells are multiples of, in two directions."""
        return min(self.unit, self.phase or 1.0) ** 2


QUARTER = Lattice(1 / QUARTERS, 0, (1 / 2, 1, 3 / 2, 2), odd=True)
OFF_KINKS = Lattice(1 / 2, 1 / 4, (1, 2))
CELLS = Lattice(1, 0, (1, 2))
HALF_WAY = Lattice(1, 1 / 2, (1, 2))


class Boxes(NamedTuple):
    """rois (R, 5) and grid, size, start (R, 2), rows first, in cells; offsets move a bin by unit (R, 2) times size."""

    rois: Array
    grid: Array
    size: Array
    start: Array
    unit: Array

    @property
    def counts(self) -> Array:
        """(R,): samples to a bin; 1 where there are none."""
        return np.asarray(np.maximum(1, self.grid.prod(axis=1)))

    @property
    def odd(self) -> int:
        """A number that every count divides, powers of 2 apart."""
        return lcm(*[_odd(int(count)) for count in self.counts])

    @property
    def most(self) -> int:
        """The most samples to a bin."""
        return int(self.counts.max(initial=1))


def dyadic(layer: Layer) -> Layer:
    """The layer with the powers of 2 that are nearest to its gamma and spatial_scale: their products do not round."""
    if not isinstance(layer, DeformRoIPool | DeformRoIPoolPack):
        return layer
    scale, gamma = (_power(value) for value in (layer.spatial_scale, layer.gamma))
    return msgspec.structs.replace(layer, spatial_scale=scale, gamma=gamma)


def note(layer: DeformRoIPool | DeformRoIPoolPack) -> str:
    """What an exact fill says of the numbers that `dyadic` chose."""
    return f"with gamma {layer.gamma:g} and spatial_scale {layer.spatial_scale:g}"


def boxes(case: Case, lattice: Lattice, bits: int, *, alike: bool = False) -> Boxes:
    """Random ones for a dyadic layer, most of them on the input. alike: all of one size. Raises Unfillable."""
    layer: DeformRoIPool | DeformRoIPoolPack = case.layer  # type: ignore[assignment]
    rng, count = case.draw("boxes"), layer.rois
    grid, size, start = (np.zeros((count, 2)) for _ in range(3))
    for axis, (bins, cells) in enumerate(zip(layer.output_size, case.x[2:], strict=True)):
        pairs = _pairs(layer, lattice, bins, cells)
        chosen = rng.integers(0, len(pairs), count)
        if alike:
            chosen[:] = chosen[:1]
        grid[:, axis], step = np.array([pairs[i] for i in chosen]).reshape(-1, 2).T
        if lattice.odd:
            other = [-1.0, 0.0] if layer.sampling_ratio else [0.0]  # torchvision refuses boxes of fewer than no samples
            step = np.where((rng.random(count) < 1 / 12) & (np.arange(count) > 0), rng.choice(other, count), step)
        size[:, axis] = bins * grid[:, axis] * step
        if not layer.sampling_ratio:
            grid[step <= 0, axis] = 0
        low = np.minimum(0, (cells - size[:, axis]) / 2) - 1
        high = np.maximum(cells - size[:, axis], (cells - size[:, axis]) / 2)
        near = low + rng.random(count) * (high - low)
        near[:1] = (cells - size[:1, axis]) / 2  # one that surely is on the input
        first = lattice.phase - step / 2
        start[:, axis] = first + np.floor((near - first) / lattice.unit) * lattice.unit
    far = float((np.abs(start) + np.abs(size)).max(initial=max(case.x[2:]))) + 4
    if bits < 11 or far * 4 * QUARTERS > 2**bits:
        raise Unfillable("no data without rounding: sampling points need more bits")
    scale, gamma = layer.spatial_scale, abs(layer.gamma)
    images = rng.integers(0, max(1, case.x[0]), count)
    corners = (start + 1 / 2) / scale
    rois = np.column_stack([images, corners[:, ::-1], (corners + size / scale)[:, ::-1]]).reshape(count, 5)
    power = np.array([[_power_in(length) for length in row] for row in size]).reshape(count, 2)
    return Boxes(rois, grid.astype(np.intp), size, start, lattice.unit / (gamma or 1) / power)


def _pairs(
    layer: DeformRoIPool | DeformRoIPoolPack, lattice: Lattice, bins: int, cells: int
) -> list[tuple[int, float]]:
    """(samples to a bin, how far apart): those whose boxes are not much longer than the input, or the shortest."""
    if layer.sampling_ratio:
        found = [(layer.sampling_ratio, step) for step in lattice.steps]
    else:  # ceil(grid * step) is the grid again
        found = [(grid, step) for grid in GRIDS for step in lattice.steps if step == 1 or (grid, step) == (1, 1 / 2)]
    fitting = [(grid, step) for grid, step in found if bins * grid * step <= 1.25 * cells + 1]
    return fitting or [min(found, key=lambda pair: pair[0] * pair[1])]


def offsets(case: Case, found: Boxes, *, alike: bool = False) -> Array:
    """(R, 2, rows, columns), channel 0 to the right: most move a bin by up to NEAR cells, every sixteenth anywhere.

    alike: one for all bins of a box.
    """
    layer: DeformRoIPool = case.layer  # type: ignore[assignment]
    rng, shape = case.draw("offset"), (layer.rois, 2, *layer.output_size)
    unit, size = found.unit[:, ::-1], found.size[:, ::-1]
    move = np.abs(layer.gamma) * np.abs(unit * size)  # of one unit, in cells
    most = np.maximum(1, np.floor(NEAR / np.where(move > 0, move, NEAR)))[..., None, None]
    times = np.rint((2 * rng.random(shape) - 1) * most)
    times = np.where(rng.random(shape) < 1 / 16, np.rint(times * 5), times)
    if len(times):
        times[(0, slice(None), *middle(layer))] = _inside(case, found, rng)
    if alike:
        row, column = middle(layer)
        times = np.broadcast_to(times[..., row : row + 1, column : column + 1], shape)
    return np.asarray(times * unit[..., None, None])


def samples(layer: DeformRoIPool) -> int:
    """The most samples to a bin that any data have."""
    return (layer.sampling_ratio or max(GRIDS)) ** 2


def middle(layer: DeformRoIPool | DeformRoIPoolPack) -> tuple[int, int]:
    """The bin in the middle of a box."""
    rows, columns = layer.output_size
    return rows // 2, columns // 2


def _inside(case: Case, found: Boxes, rng: np.random.Generator) -> list[float]:
    """By how many units the first box's middle bin moves, right and down, so that its samples stay on the input."""
    layer: DeformRoIPool = case.layer  # type: ignore[assignment]
    chosen = []
    for axis in (1, 0):
        bins, place, cells = layer.output_size[axis], middle(layer)[axis], case.x[2 + axis]
        bin_, first = found.size[0, axis] / bins, found.start[0, axis]
        unit = layer.gamma * found.size[0, axis] * found.unit[0, axis]
        ends = first + place * bin_, first + (place + 1) * bin_
        ways = [float(times) for times in rng.permutation([-1, 1]).tolist() + rng.permutation([-2, 2]).tolist()]
        chosen.append(next((t for t in ways if ends[0] + t * unit > -1 and ends[1] + t * unit < cells), 0.0))
    return chosen


def some_masks(case: Case, name: str) -> Array:
    """Masks of 1 and, one in four, 0; 1 at the middle bin of the first box."""
    layer: DeformRoIPool = case.layer  # type: ignore[assignment]
    mask = (case.draw(name).random(case.shape("mask")) < 3 / 4).astype(np.int8)
    if len(mask):
        mask[(0, 0, *middle(layer))] = 1
    return mask


def whole(values: Array) -> tuple[Array, int]:
    """(array, scale) with values = array / scale, both whole. Raises Unfillable where that takes too many bits."""
    for power in range(60):
        scaled = np.ldexp(values, power)
        if (scaled == np.rint(scaled)).all():
            if np.abs(scaled).max(initial=0) >= 2.0**53:
                break
            return scaled.astype(np.int64), 1 << power
    raise Unfillable("no data without rounding: boxes and offsets need more bits")


def _power(value: float) -> float:
    """The power of 2 that is nearest, with its sign; 0 for 0."""
    if not value:
        return 0.0
    mantissa, exponent = frexp(abs(value))
    return float(np.copysign(np.ldexp(1.0, exponent if mantissa >= 3 / 4 else exponent - 1), value))


def _power_in(length: float) -> float:
    """The largest power of 2 that a length is a multiple of; 1 for 0."""
    if not length:
        return 1.0
    numerator, denominator = abs(float(length)).as_integer_ratio()
    return (numerator & -numerator) / denominator


def _odd(count: int) -> int:
    return count // (count & -count)
