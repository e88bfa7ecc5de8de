"""The catalogue of deliberately wrong implementations: our own kernels with one error each.

Each is a backend: `verify(..., against="convcli.verifier.mutants:offsets_as_x_y")` runs one. They test the verifier,
and a failure elsewhere that has the same wrong output can be named after one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from convcli.verifier.mutants import (
    channels,
    deform,
    gradient,
    memory,
    padding,
    precision,
    region_gradients,
    region_packs,
    regions,
    separable,
    transposed,
    window,
)
from convcli.verifier.mutants.mutant import Mutant, planned

THEMES = (
    padding,
    window,
    channels,
    separable,
    transposed,
    deform,
    regions,
    region_gradients,
    region_packs,
    precision,
    memory,
    gradient,
)
MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {found.name: found for theme in THEMES for found in vars(theme).values() if isinstance(found, Mutant)}
)

__all__ = ["MUTANTS", "Mutant", "planned"]


def __getattr__(name: str) -> Mutant:
    if name not in MUTANTS:
        raise AttributeError(f"there is no wrong implementation {name!r}")
    return MUTANTS[name]
