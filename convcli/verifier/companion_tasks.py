"""What runs in a worker process for a layer between convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from convcli.backends import companions_of
from convcli.backends.companions import values
from convcli.layers import Layer, Shape
from convcli.verifier.answers import format_of, numbers
from convcli.verifier.exchange import Sample, Stored, save


class Truth(msgspec.Struct, frozen=True):
    """Our side: y, the scale of its errors, how many roundings they come from; bits: those that the sums need."""

    file: Stored
    scale: Stored
    roundings: int
    bits: float


def companion_facts(name: str, layer: Layer, shapes: tuple[Shape, ...]) -> Any:
    """What a backend says of a layer without running it; None when it is asked for convolutions alone."""
    found = companions_of(name)
    return None if found is None else found.facts(layer, shapes)


def companion_result(name: str, layer: Layer, sample: Sample, dtype: str, directory: str, label: str) -> Any:
    """The file of a backend's forward; None when it is asked for convolutions alone."""
    found = companions_of(name)
    if found is None:
        return None
    return save(directory, label, numbers(found.forward(layer, sample.load(dtype), *format_of(name, dtype))))


def companion_truth(layer: Layer, sample: Sample, dtype: str, directory: str, label: str) -> Truth:
    """What numpy says in float64."""
    found = values(layer, sample.load(dtype))
    scale = np.abs(found.y) if found.scale is None else np.broadcast_to(found.scale, found.y.shape)
    quantum = 1 / max(sample.scales.values(), default=1)
    largest = float(np.max(scale, initial=0)) / quantum
    files = save(directory, label, found.y), save(directory, f"{label}.scale", scale)
    return Truth(*files, found.roundings, float(np.log2(largest)) if largest else 0.0)


TASKS: dict[str, Callable[..., Any]] = {
    "companion_facts": companion_facts,
    "companion_result": companion_result,
    "companion_truth": companion_truth,
}
