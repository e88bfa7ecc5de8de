"""The door of RoI pooling: arrays and keywords as a caller gives them become one settled `RoICall`.

Behind it lie the boxes in cells of x, the samples of every bin, and which cells a sample reads.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from convcli.axis import whole
from convcli.errors import SpecError
from convcli.kernels.arguments import Array, Numbers, plain

Whole = npt.NDArray[np.intp]
DTYPES = "float16, float32 or float64"
LARGEST_GRID = 2**15  # samples of a bin along an axis; a box that asks for more is a slip


class RoICall(msgspec.Struct, frozen=True):
    """One call, settled: x (N, C, H, W), images (R,), start and size (R, 2) of the boxes, grid (R, 2); rows first.

    offset (R, 2, rows, columns) as given, or None; mask (R, 1, rows, columns), or None. measure: how the shares of the
    cells count: as they are; "absolute", for a sum of |products|; "unit", each as 1: what a rounded coordinate moves.
    """

    x: Array
    images: Whole
    start: Array
    size: Array
    grid: Whole
    offset: Array | None
    mask: Array | None
    bins: tuple[int, int]
    gamma: float
    dtype: Any
    measure: str = ""

    @property
    def out(self) -> tuple[int, ...]:
        """(R, C, rows, columns)"""
        return (len(self.images), self.x.shape[1], *self.bins)

    @property
    def widths(self) -> Array:
        """(R, 2): width and height of the boxes, as offsets have their channels."""
        return self.size[:, ::-1]

    def output_gradient(self, dy: npt.ArrayLike) -> Array:
        """dy (R, C, rows, columns) in the dtype that is summed in."""
        g = np.asarray(dy)
        if g.shape != self.out:
            raise _wrong("dy", g, f"{self.out}, the output's shape")
        if g.dtype != self.dtype:
            raise SpecError(f"dy is {g.dtype}, x is {self.dtype}", field="dy", allowed="one dtype for all arrays")
        return g.astype(self.x.dtype, copy=False)

    def coordinates(self, axis: int, regions: Whole) -> Array:
        """(r, rows, columns, samples of a bin along `axis`) for regions that have equally many; axis 0 is down."""
        start, size = (array[regions, axis].reshape(-1, 1, 1, 1) for array in (self.start, self.size))
        grid = int(self.grid[regions[0], axis])
        if self.offset is not None:
            start = start + (self.gamma * size) * self.offset[regions, 1 - axis][..., None]  # channel 0 is to the right
        step = size / self.bins[axis]
        place = np.arange(self.bins[axis], dtype=size.dtype).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        sample = np.arange(grid, dtype=size.dtype) + size.dtype.type(0.5)
        there: Array = np.broadcast_to(
            start + place * step + sample * step / max(grid, 1), (len(regions), *self.bins, grid)
        )
        return there


class Reads(NamedTuple):
    """What samples at (..., g) read along an axis of cells: arrays (..., 2*g), the nearer cell to 0, then the other.

    cells: which; shares: how much of each; slopes: the derivative of its share in the coordinate, to the right.
    """

    cells: Whole
    shares: Array
    slopes: Array


def reads(there: Array, size: int, measure: str = "") -> Reads:
    """0 below -1 and above `size`, also at NaN; between there and the outermost cells' centres those cells alone."""
    inside = (there >= -1) & (there <= size)
    at = np.where(inside, np.maximum(there, 0), 0)
    low = np.minimum(np.floor(at), size - 1)
    edge = low >= size - 1
    part = np.where(edge, 0, at - low).astype(there.dtype)
    moves = (inside & (there >= 0) & ~edge).astype(there.dtype)
    shares = np.stack((1 - part, part), axis=-1) * inside[..., None]
    slopes = np.stack((-moves, moves), axis=-1)
    if measure:
        slopes = np.abs(slopes)
    if measure == "unit":
        shares = np.broadcast_to(inside[..., None].astype(there.dtype), shares.shape)
    first = low.astype(np.intp)
    cells = np.stack((first, np.minimum(first + 1, size - 1)), axis=-1)
    wide = (*there.shape[:-1], 2 * there.shape[-1])
    return Reads(cells.reshape(wide), shares.reshape(wide).astype(there.dtype, copy=False), slopes.reshape(wide))


def roi_call(
    x: npt.ArrayLike,
    rois: npt.ArrayLike,
    offset: npt.ArrayLike | None,
    mask: npt.ArrayLike | None,
    *,
    output_size: Numbers,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> RoICall:
    """x (N, C, H, W), rois (R, 5), offset (R, 2, rows, columns), mask (R, 1, rows, columns); floats of one dtype."""
    a, boxes = np.asarray(x), np.asarray(rois)
    bins = _bins(output_size)
    if a.ndim != 4 or 0 in a.shape[2:]:
        raise _wrong("x", a, "(N, C, H, W) with at least one cell on each spatial axis")
    if a.dtype.kind != "f" or a.dtype.itemsize not in {2, 4, 8}:
        raise SpecError(f"x is {a.dtype}", field="x", allowed=DTYPES)
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise _wrong("rois", boxes, "(R, 5): image, x1, y1, x2, y2")
    given = {"rois": boxes}
    for name, array, channels in (("offset", offset, 2), ("mask", mask, 1)):
        if array is not None:
            given[name] = np.asarray(array)
            if given[name].shape != (len(boxes), channels, *bins):
                raise _wrong(name, given[name], f"{(len(boxes), channels, *bins)}")
    for name, array in given.items():
        if array.dtype != a.dtype:
            raise SpecError(f"{name} is {array.dtype}, x is {a.dtype}", field=name, allowed="one dtype for all arrays")
    work = np.dtype(np.float64 if a.dtype.itemsize == 8 else np.float32)
    wide = {name: array.astype(work, copy=False) for name, array in given.items()}
    images = _images(wide["rois"], len(a))
    scale, ratio = (
        _number("spatial_scale", spatial_scale),
        whole("sampling_ratio", plain("sampling_ratio", sampling_ratio), least=0),
    )
    corners = wide["rois"][:, [2, 1, 4, 3]] * work.type(scale) - work.type(0.5)  # rows first
    size = corners[:, 2:] - corners[:, :2]
    return RoICall(
        a.astype(work, copy=False),
        images,
        corners[:, :2],
        size,
        _grid(size, bins, ratio),
        wide.get("offset"),
        wide.get("mask"),
        bins,
        float(work.type(_number("gamma", gamma))),
        a.dtype,
    )


def _bins(output_size: Numbers) -> tuple[int, int]:
    said = plain("output_size", output_size)
    both = (said, said) if isinstance(said, int) else said
    if len(both) != 2:
        raise SpecError(f"output_size={output_size!r}", field="output_size", allowed="one number, or (rows, columns)")
    rows, columns = (whole("output_size", cells, least=1) for cells in both)
    return rows, columns


def _images(rois: Array, count: int) -> Whole:
    if not np.isfinite(rois).all():
        raise SpecError("rois holds an infinity or a NaN", field="rois", allowed="finite numbers")
    found = rois[:, 0]
    wrong = (found != np.floor(found)) | (found < 0) | (found >= count)
    if wrong.any():
        value = found[np.flatnonzero(wrong)[0]]
        raise SpecError(
            f"rois names image {value:g} of {count}", field="rois", allowed="image numbers from 0 in the first column"
        )
    images: Whole = found.astype(np.intp)
    return images


def _grid(size: Array, bins: tuple[int, int], ratio: int) -> Whole:
    """(R, 2): samples of a bin along each axis; none where a box that is told by its size has none."""
    if ratio:
        return np.full(size.shape, ratio, np.intp)
    found = np.maximum(np.ceil(size / np.array(bins, size.dtype)), 0)
    if (found > LARGEST_GRID).any():
        number = int(np.flatnonzero((found > LARGEST_GRID).any(axis=1))[0])
        raise SpecError(
            f"box {number} of rois has more than {LARGEST_GRID} cells to a bin",
            field="rois",
            allowed="smaller boxes, or a sampling_ratio",
        )
    grid: Whole = found.astype(np.intp)
    return grid


def _number(field: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")
    if not isfinite(number) or (field == "spatial_scale" and number <= 0):
        allowed = "a number above 0" if field == "spatial_scale" else "a number"
        raise SpecError(f"{field}={value!r} is not allowed", field=field, allowed=allowed)
    return number


def _wrong(field: str, array: Array, expected: str) -> SpecError:
    return SpecError(f"{field} has the shape {array.shape}", field=field, allowed=expected)
