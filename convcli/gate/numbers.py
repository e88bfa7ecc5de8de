"""A network by its numbers: what `check` holds against budgets and a baseline, and `diff` against another network."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from convcli.layers import Shape
from convcli.records import LayerRecord, Memory, NetworkRecord, Totals

KEYS = ("params", "macs", "flops", "activation_bytes", "weight_bytes")


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that budgets speak of. UNSET: nobody knows, or the report does not say.

    activation_bytes: those of a layer's output, and of all outputs together.
    """

    params: int | UnsetType = UNSET
    macs: int | UnsetType = UNSET
    flops: int | UnsetType = UNSET
    activation_bytes: int | UnsetType = UNSET
    weight_bytes: int | UnsetType = UNSET


class LayerNumbers(Numbers, frozen=True, kw_only=True):
    """One layer."""

    name: str
    type: str
    output: Shape | UnsetType = UNSET
    line: int | UnsetType = UNSET


class NetworkNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """One network. complete: false where a layer's cost is not known; its totals are lower bounds then."""

    source: str = ""
    name: str = ""
    input: Shape | None = None
    layers: tuple[LayerNumbers, ...] = ()
    totals: Numbers = Numbers()
    complete: bool = True


def numbers_of(record: NetworkRecord) -> NetworkNumbers:
    """The numbers of a report's network."""
    totals, memory = record.totals, record.totals.memory
    return NetworkNumbers(
        source=record.source,
        name=record.name,
        input=record.input,
        layers=tuple(map(_layer, record.layers)),
        totals=_numbers(totals, UNSET if memory is UNSET else memory.activation_bytes),
        complete=totals.complete,
    )


def _layer(record: LayerRecord) -> LayerNumbers:
    numbers = _numbers(record, UNSET if record.memory is UNSET else record.memory.output_bytes)
    known = {key: getattr(numbers, key) for key in KEYS}
    return LayerNumbers(name=record.name, type=record.type, output=record.output, line=record.line, **known)


def _numbers(record: LayerRecord | Totals, activation_bytes: int | UnsetType) -> Numbers:
    memory: Memory | UnsetType = record.memory
    weight_bytes = UNSET if memory is UNSET else memory.weight_bytes
    return Numbers(
        params=record.params,
        macs=record.macs,
        flops=record.flops,
        activation_bytes=activation_bytes,
        weight_bytes=weight_bytes,
    )
