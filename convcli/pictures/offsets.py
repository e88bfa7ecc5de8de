"""Offsets and masks of a deformable layer for a picture: none, random ones, or those of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from convcli.errors import SpecError
from convcli.layers import Shape

SPREAD = 0.7  # cells: the deviation of random offsets


class Sample(msgspec.Struct, frozen=True):
    """How far a point is moved, in cells, and what its value is multiplied by."""

    down: float
    right: float
    mask: float = 1.0


Samples = Callable[[int, int, Shape], Sample]  # of an offset group, a tap and an output cell


def samples(source: str, seed: int, needed: Mapping[str, Shape], taps: int) -> tuple[Samples, str]:
    """(the offsets, where they are from in words). needed: the shapes of `offset` and, modulated, `mask`.

    source: zero, random, or a file.npz with arrays of these names and shapes, a batch axis before them or none.
    """
    if source == "zero":
        return (lambda _group, _tap, _cell: Sample(0.0, 0.0)), "offsets of 0"
    if source == "random":
        return _random(seed, modulated="mask" in needed), f"random offsets, seed {seed}: a normal deviation of {SPREAD}"
    if Path(source).suffix.lower() != ".npz":
        raise SpecError(f"--offsets {source} is not known", field="--offsets", allowed="zero, random, or a file.npz")
    return _given(source, needed, taps), f"the offsets of {Path(source).name}"


def _random(seed: int, *, modulated: bool) -> Samples:
    def sample(group: int, tap: int, cell: Shape) -> Sample:
        """The same for a cell however many others are drawn."""
        dice = Random(f"{seed} {group} {tap} {cell}")  # noqa: S311 - a picture
        return Sample(dice.gauss(0, SPREAD), dice.gauss(0, SPREAD), dice.random() if modulated else 1.0)

    return sample


def _given(path: str, needed: Mapping[str, Shape], taps: int) -> Samples:
    """Channel group*2*taps + 2*tap is down, + 1 is right, as in torchvision."""
    found = arrays(path, needed)
    offset, mask = found["offset"], found.get("mask")

    def sample(group: int, tap: int, cell: Shape) -> Sample:
        channel = group * taps + tap
        down, right = float(offset[2 * channel][cell]), float(offset[2 * channel + 1][cell])
        return Sample(down, right, 1.0 if mask is None else float(mask[channel][cell]))

    return sample


def arrays(path: str, needed: Mapping[str, Shape]) -> dict[str, Any]:
    """The arrays of a file.npz, with the shapes that are needed; of a batch of them the first."""
    return {name: _array(path, name, shape) for name, shape in needed.items()}


def _array(path: str, name: str, shape: Shape) -> Any:
    from zipfile import BadZipFile

    import numpy as np  # for this alone

    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as found:
            array = found.get(name)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise SpecError(f"cannot read {path}: {error}", field="--offsets") from error
    if array is None:
        raise SpecError(f"{path} holds no array {name!r}", field="--offsets", allowed=f"{name} of {list(shape)}")
    if array.dtype.kind not in "fiu":
        raise SpecError(f"{name} of {path} holds no real numbers", field="--offsets", allowed="floats")
    if array.ndim == len(shape) + 1 and len(array):
        array = array[0]
    if array.shape != shape:
        allowed = f"{list(shape)}, or a batch of them"
        raise SpecError(f"{name} of {path} has the shape {list(array.shape)}", field="--offsets", allowed=allowed)
    return array
