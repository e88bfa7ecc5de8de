"""A report's numbers exchanged for those that another calculator would say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import UNSET

from convcli.conventions import named
from convcli.conventions.told import told
from convcli.errors import SpecError

if TYPE_CHECKING:
    from convcli.conventions.tool import Tool
    from convcli.plan import Plan
    from convcli.records import NetworkRecord, Scope

T = TypeVar("T")
OURS = (
    "macs_nonpad", "macs_kept", "macs_zero_insert", "interpolation_macs", "modulation_macs", "coordinate_flops",
    "elementwise_flops", "bias_adds", "arithmetic_intensity",
)  # fmt: skip


def words(scope: Scope) -> dict[str, str]:
    """What the numbers of a report like another tool's mean. Raises SpecError for what no tool says."""
    known = named(scope.like)
    if scope.backward or scope.convention != "dense":
        said = "--backward" if scope.backward else f"--convention {scope.convention}"
        raise SpecError(f"--like {known.name} goes with no {said}: it counts forward passes, its own way")
    if scope.command == "params" and not known.params:
        raise SpecError(f"{known.title} counts no parameters", allowed="the commands flops and summary")
    whose = known.title if known.params else f"convcli, {known.name} counts none"
    flops = "macs" if known.flops == 1 else f"{known.flops}*macs"
    return {"macs": known.title, "flops": flops, "params": whose}


def relabelled(planned: Plan, record: NetworkRecord, scope: Scope) -> NetworkRecord:
    """The record with the MACs, FLOPs and parameters that the tool of `scope.like` would say."""
    known = named(scope.like)
    steps = told(planned, known)
    layers = []
    for layer, step in zip(record.layers, steps, strict=True):
        parts = tuple(
            _with(part, int(said.macs), said.params, known)
            for part, said in zip(layer.parts or (), step.parts, strict=False)
        )
        layers.append(msgspec.structs.replace(_with(layer, step.macs, step.params, known), parts=parts))
    macs, params = int(sum(step.exact for step in steps)), sum(step.params for step in steps)
    return msgspec.structs.replace(record, layers=tuple(layers), totals=_with(record.totals, macs, params, known))


def _with(record: T, macs: int, params: int, known: Tool) -> T:
    """A layer's record, or totals: what it has of numbers, in the tool's convention; what only we count is left out."""
    numbers: dict[str, Any] = {name: UNSET for name in OURS if hasattr(record, name)}
    told = {"macs": macs, "flops": known.flops * macs, "params": params}
    numbers |= {name: value for name, value in told.items() if getattr(record, name) is not UNSET}
    return msgspec.structs.replace(record, **numbers)  # type: ignore[type-var]
