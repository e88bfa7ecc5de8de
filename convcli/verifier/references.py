"""Our side of the bound stage: what every element should be, and the scales that its error is measured with."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from convcli.backends import numpy as ours
from convcli.layers import NO_GRADIENT, Layer
from convcli.verifier.bounds import SQUARES, TILES
from convcli.verifier.exchange import Sample, Stored, save


class Reference(msgspec.Struct, frozen=True):
    """Our side of a bound check: y in the dtype, y in float64 (for the dtypes in WIDE the same file), S.

    roundings: of every element, in a shape that broadcasts. squares: the sum of all products squared, if asked for.
    """

    file: Stored
    reference: Stored
    magnitude: Stored
    roundings: Stored
    squares: Stored = None


def other_scales(
    layer: Layer, sample: Sample, dtype: str, what: str, coarse: str, directory: str, label: str
) -> dict[str, Stored]:
    """Instead of S the sum of all products squared (SQUARES), or S over a whole tile (TILES); "" is the output's.

    A tile of a fast algorithm (Winograd, FFT) adds products of its other outputs to each and takes them away again, so
    that all cells of a channel count as its largest. Without dy the layer's output, else every gradient.
    """
    arrays = {name: array.astype(coarse) for name, array in sample.load(dtype).items()}
    rank = len(layer.axes)
    for name, array in arrays.items():
        if what == SQUARES and name not in {"offset", *NO_GRADIENT}:
            np.square(array, out=array)
        elif what == TILES and name in {"x", "dy"}:
            array[...] = _largest_cell(array, rank)
    dy = arrays.pop("dy", None)
    found = ours.magnitudes(layer, arrays) if dy is None else ours.gradient_magnitudes(layer, arrays, dy)
    if what == TILES:
        found = {name: _largest_cell(s, rank) if s.ndim > rank else s for name, s in found.items()}
    return {name: save(directory, f"{label}.{what}.{name}", s) for name, s in found.items()}


def _largest_cell(array: Any, rank: int) -> Any:
    return np.max(np.abs(array), axis=tuple(range(-rank, 0)), keepdims=True)
