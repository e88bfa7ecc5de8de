"""The data of a companion's checks: drawn from the layer's configuration and the seed alone."""

from __future__ import annotations

from math import isqrt, prod
from typing import TYPE_CHECKING

import numpy as np

from convcli.backends.companions.functions import POSITIVE
from convcli.layers.elementwise import Elementwise
from convcli.layers.joins import Arithmetic
from convcli.layers.linear import Embedding, Linear, MatMul
from convcli.layers.norm import BatchNorm
from convcli.layers.rearrange import Reduce
from convcli.verifier.case import Case, Fill, Unfillable

if TYPE_CHECKING:
    from convcli.backends import Array

QUARTERS = 4  # functions with steps are asked between them too
STATISTICS = ("running_mean", "running_var")


def whole(case: Case, bits: int) -> Fill:
    """Non-zero integers whose sums need no more than `bits` bits; quarters for functions of an element."""
    most = _largest(case, bits)
    if most < 1:
        raise Unfillable(f"its sums are too long for {bits} bits")
    arrays: dict[str, Array] = {}
    for name in _names(case):
        rng, shape = case.draw(f"whole {name}"), case.shape(name)
        sizes = rng.integers(1, most + 1, shape, dtype=np.int32)
        arrays[name] = sizes * rng.choice(np.array([-1, 1], np.int32), shape)
    if isinstance(case.layer, Embedding):
        arrays["x"] = _indices(case, bits)
    scales = dict.fromkeys(arrays, QUARTERS) if isinstance(case.layer, Elementwise) else {}
    return Fill(arrays, scales)


def ordinary(case: Case) -> Fill:
    """Normal floats, above 0 where a function asks for that; divisors and variances not near 0."""
    arrays: dict[str, Array] = {}
    for name in _names(case):
        drawn = case.draw(f"ordinary {name}").standard_normal(case.shape(name))
        away = np.copysign(np.abs(drawn) + 0.5, drawn)  # at least half a unit off 0
        divides = isinstance(case.layer, Arithmetic) and case.layer.function == "div" and name != "x"
        positive = isinstance(case.layer, Elementwise) and case.layer.function in POSITIVE
        arrays[name] = np.abs(away) if positive else away if divides else drawn
    if isinstance(case.layer, BatchNorm) and not case.layer.instance:
        for name in STATISTICS:
            arrays[name] = case.draw(f"ordinary {name}").standard_normal(case.x[0])
        arrays["running_var"] = np.abs(arrays["running_var"]) + 0.5
    return Fill(arrays)


def _names(case: Case) -> tuple[str, ...]:
    return ("x", *case.layer.side_inputs(case.x), *case.layer.tensors(case.x))


def _indices(case: Case, bits: int) -> Array:
    rows = min(getattr(case.layer, "num_embeddings", 1), 1 << bits)
    return case.draw("whole x").integers(0, rows, case.shape("x"), dtype=np.int32)


def _largest(case: Case, bits: int) -> int:
    """The largest number that keeps every sum of products below 2**bits."""
    layer, room = case.layer, 1 << bits
    if isinstance(layer, Linear | MatMul):
        return isqrt(room // (case.x[-1] + 1))
    if isinstance(layer, Arithmetic):
        terms = len(layer.inputs)
        return int(room ** (1 / terms)) - 1 if layer.function == "mul" else room // terms
    if isinstance(layer, Reduce) and layer.function == "sum":
        return room // max(1, prod(case.x[dim] for dim in layer.dims))
    return 8 * QUARTERS if isinstance(layer, Elementwise) else min(room, 1 << 15)
