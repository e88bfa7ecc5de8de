"""A report as tables: the one description of columns, rows, totals and notes that text and markdown draw.

A table holds values, not their spelling: an int is a number to be aligned, a tuple a shape. None is an empty cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from convcli.records import Backward, Convention, LayerRecord, Memory, NetworkRecord, Report, Totals
from convcli.units import counted, printable, scaled, shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Pair(msgspec.Struct, frozen=True):
    """A number before and after."""

    before: int
    after: int


class Signed(msgspec.Struct, frozen=True):
    """A difference."""

    number: int


Cell = int | str | tuple[int | float, ...] | Pair | Signed | None
EXTRAS = ("macs_kept", "macs_zero_insert", "interpolation_macs", "modulation_macs", "coordinate_flops")


class Column(msgspec.Struct, frozen=True):
    """A heading; numbers align right. rank: the higher, the sooner a narrow terminal drops it; 0 always stays.

    folds: its text may be broken into lines of that width, 0 for never. bar: the unit of amounts that HTML draws as
    bars, those of one unit on one scale.
    """

    title: str
    right: bool = True
    rank: int = 0
    folds: int = 0
    bar: str = ""


class Row(msgspec.Struct, frozen=True):
    """One line. kind: "layer", "part" (of the layer above), "extra" (a number of the layer above) or "total"."""

    cells: tuple[Cell, ...]
    kind: str = "layer"
    depth: int = 0
    status: str = ""


class Table(msgspec.Struct, frozen=True):
    """A heading (one among several), rows, and the lines below them.

    lines: written out as they stand, in place of rows or above them; without columns there are no rows.
    level: of a heading that others stand below, as Markdown counts them.
    """

    heading: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    level: int = 0


class Page(msgspec.Struct, frozen=True):
    """All there is to show."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


class Field(msgspec.Struct, frozen=True):
    """A column with where its values come from: a layer, and the totals."""

    column: Column
    of: Callable[[LayerRecord], Any]
    total: Callable[[Totals], Any] = lambda _: UNSET


def _words(title: str, rank: int = 0, folds: int = 0) -> Column:
    return Column(title, right=False, rank=rank, folds=folds)


def _tensors(layer: LayerRecord) -> str | UnsetType:
    """weight=64x3x7x7,bias=64; a composite's stand at its parts."""
    if layer.tensors is UNSET or layer.parts:
        return UNSET
    return ",".join(f"{name}={shape(sizes)}" for name, sizes in layer.tensors.items()) or UNSET


def moved_bytes(memory: Memory | UnsetType) -> int | UnsetType:
    """Bytes of the inputs, the output and the weights together."""
    if memory is UNSET:
        return UNSET
    known = [value for value in (memory.input_bytes, memory.output_bytes, memory.weight_bytes) if value is not UNSET]
    return sum(known) if known else UNSET


def _memory(name: str) -> Callable[[LayerRecord | Totals], Any]:
    return lambda record: UNSET if record.memory is UNSET else getattr(record.memory, name)


def _backward(name: str) -> Callable[[LayerRecord | Totals], Any]:
    return lambda record: UNSET if record.backward is UNSET else getattr(record.backward, name)


def _field(name: str) -> Callable[[LayerRecord], Any]:
    return lambda layer: UNSET if layer.receptive_field is UNSET else getattr(layer.receptive_field, name)


def _intensity(layer: LayerRecord) -> str | UnsetType:
    return UNSET if layer.arithmetic_intensity is UNSET else f"{layer.arithmetic_intensity:.3f}"


_LAYER = Field(_words("layer", folds=28), lambda layer: printable(layer.name))
_TYPE = Field(_words("type", 8), lambda layer: printable(layer.type))
_INPUT = Field(_words("input", 6), lambda layer: layer.input)
_OUTPUT = Field(_words("output", 3), lambda layer: layer.output, lambda totals: totals.output)
_LAST = Field(_words("output"), lambda layer: layer.output)
_PARAMS = Field(Column("params", bar="parameters"), lambda layer: layer.params, lambda totals: totals.params)
_MACS = Field(Column("macs", bar="MACs"), lambda layer: layer.macs, lambda totals: totals.macs)
_FLOPS = Field(Column("flops", bar="FLOPs"), lambda layer: layer.flops, lambda totals: totals.flops)
_REACH = Field(_words("receptive field", 4), _field("size"))

FIELDS: dict[str, tuple[Field, ...]] = {
    "shape": (
        _LAYER,
        _TYPE,
        _INPUT,
        _LAST,
        _REACH,
        Field(_words("jump", 5), _field("jump")),
        Field(_words("start", 7), _field("start")),
    ),
    "params": (
        _LAYER,
        _TYPE,
        Field(_words("tensors", 3, folds=20), _tensors),
        Field(Column("parameters", bar="parameters"), lambda layer: layer.params, lambda totals: totals.params),
        Field(Column("bytes", bar="bytes"), _memory("weight_bytes"), _memory("weight_bytes")),
    ),
    "flops": (
        _LAYER,
        _TYPE,
        _OUTPUT,
        _MACS,
        Field(
            Column("macs_nonpad", rank=5, bar="MACs"),
            lambda layer: layer.macs_nonpad,
            lambda totals: totals.macs_nonpad,
        ),
        Field(Column("bias adds", rank=9), lambda layer: layer.bias_adds, lambda totals: totals.bias_adds),
        _FLOPS,
        Field(
            Column("elementwise flops", rank=8, bar="FLOPs"),
            lambda layer: layer.elementwise_flops,
            lambda totals: totals.elementwise_flops,
        ),
        Field(Column("backward macs", rank=4, bar="MACs"), _backward("macs"), _backward("macs")),
        Field(Column("backward flops", rank=4, bar="FLOPs"), _backward("flops"), _backward("flops")),
        Field(Column("bytes moved", rank=7, bar="bytes"), lambda layer: moved_bytes(layer.memory)),
        Field(Column("FLOPs/byte", rank=6), _intensity),
    ),
    "summary": (
        _LAYER,
        _TYPE,
        _OUTPUT,
        _PARAMS,
        _MACS,
        _FLOPS,
        _REACH,
        Field(Column("output bytes", rank=5, bar="bytes"), _memory("output_bytes"), _memory("activation_bytes")),
    ),
}


def page(report: Report) -> Page:
    """The tables of a calculator's report: one per network, and what is said once for all of them."""
    several = len(report.reports) > 1
    tables = tuple(_table(record, report.command, several=several) for record in report.reports)
    grand = (in_all(report),) if several and report.command != "shape" else ()
    return Page(tables, (*grand, *convention_lines(report)))


def in_all(report: Report) -> str:
    """The totals of several networks together, in words."""
    numbers = amounts(_together([record.totals for record in report.reports]), report.command)
    return f"{counted(len(report.reports), 'network')} together: {numbers}"


def convention_lines(report: Report) -> tuple[str, ...]:
    """What the numbers mean, in one line; `shape` counts nothing."""
    if report.command == "shape":
        return ()
    words = f"bytes for {report.dtype}"
    whose = "" if report.convention.params is UNSET else f"params: {report.convention.params}; "
    return (f"{whose}{words}" if report.command == "params" else f"{macs_words(report.convention)}; {whose}{words}",)


def macs_words(convention: Convention) -> str:
    """macs: dense, products with padding zeros included; flops = 2*macs"""
    padding = ", products with padding zeros included" if convention.macs == "dense" else ""
    return f"macs: {convention.macs}{padding}; flops = {convention.flops}"


def heading(record: NetworkRecord) -> str:
    """net.yaml: resnet-stem"""
    return ": ".join(printable(part) for part in (record.source, record.name) if part) or "network"


def sentence(record: NetworkRecord, command: str) -> str:
    """One network's totals in words: 53 layers, 1x3x224x224 -> 1x2048x7x7: 25,557,032 parameters (102.2 MB)"""
    ends = [shape(end) for end in (record.input, record.totals.output) if end is not None and end is not UNSET]
    flow = " -> ".join(ends) if len(ends) == 2 else f"output {ends[0]}" if ends and command == "shape" else ""
    start = ", ".join(part for part in (counted(len(record.layers), "layer"), flow) if part)
    layout = "" if record.input_layout is UNSET else f" (shapes are {record.input_layout})"
    numbers = amounts(record.totals, command)
    return f"{start}{layout}: {numbers}" if numbers else f"{start}{layout}"


def amounts(totals: Totals, command: str) -> str:
    """25,557,032 parameters (102.2 MB), 4.089 GMACs, 8.178 GFLOPs; lower bounds say "at least"."""
    words = []
    if totals.params is not UNSET:
        weights = "" if totals.memory is UNSET else _bytes(totals.memory.weight_bytes, " ({})")
        words.append(f"{counted(totals.params, 'parameter')}{weights}")
    if totals.macs is not UNSET:
        words.append(scaled(totals.macs, "MACs"))
    if totals.flops is not UNSET:
        words.append(scaled(totals.flops, "FLOPs"))
    if totals.backward is not UNSET:
        cost = totals.backward
        words.append(f"backward {scaled(cost.macs, 'MACs')}, {scaled(cost.flops, 'FLOPs')}")
    if command in {"summary", "flops"} and totals.memory is not UNSET:
        words.append(_bytes(totals.memory.activation_bytes, "{} of outputs"))
    text = ", ".join(word for word in words if word)
    return text if totals.complete or not text else f"at least {text}"


def _bytes(number: int | UnsetType, words: str) -> str:
    return "" if number is UNSET else words.format(scaled(number, "B"))


def _table(record: NetworkRecord, command: str, *, several: bool) -> Table:
    fields = FIELDS[command]
    rows = [row for layer in record.layers for row in _rows(layer, fields, extras=command == "flops")]
    if command != "shape":
        rows.append(_total(record.totals, fields))
    used = [i for i in range(len(fields)) if i == 0 or any(row.cells[i] is not None for row in rows)]
    return Table(
        heading(record) if several else "",
        tuple(fields[i].column for i in used),
        tuple(msgspec.structs.replace(row, cells=tuple([row.cells[i] for i in used])) for row in rows),
        (sentence(record, command),),
    )


def _rows(layer: LayerRecord, fields: tuple[Field, ...], depth: int = 0, *, extras: bool) -> Iterator[Row]:
    """The layer's own row, its kind's extra numbers, then its parts; a composite's extra numbers stand at its parts."""
    yield Row(tuple([_known(field.of(layer)) for field in fields]), "part" if depth else "layer", depth)
    if layer.parts:
        for part in layer.parts:
            yield from _rows(part, fields, depth + 1, extras=extras)
    elif extras:
        yield from _extra_rows(layer, fields, depth + 1)


def _extra_rows(layer: LayerRecord, fields: tuple[Field, ...], depth: int) -> Iterator[Row]:
    """The kind's own numbers, each in the column of its unit."""
    for name in EXTRAS:
        value = getattr(layer, name)
        if value is not UNSET:
            unit = _FLOPS if name.endswith("flops") else _MACS
            cells = (name, *(value if field is unit else None for field in fields[1:]))
            yield Row(cells, "extra", depth)


def _total(totals: Totals, fields: tuple[Field, ...]) -> Row:
    name = "total" if totals.complete else "total, at least"
    return Row((name, *(_known(field.total(totals)) for field in fields[1:])), "total")


def _known(value: Any) -> Cell:
    """The value as a cell, None for one that is not set."""
    cell: Cell = None if value is UNSET else value
    return cell


def _together(totals: list[Totals]) -> Totals:
    """Several networks' totals as one."""
    return Totals(
        params=_sum([part.params for part in totals]),
        macs=_sum([part.macs for part in totals]),
        flops=_sum([part.flops for part in totals]),
        backward=_backward_together([part.backward for part in totals if part.backward is not UNSET]),
        memory=_memory_together([part.memory for part in totals if part.memory is not UNSET]),
        complete=all(part.complete for part in totals),
    )


def _memory_together(memories: list[Memory]) -> Memory:
    return Memory(
        weight_bytes=_sum([memory.weight_bytes for memory in memories]),
        activation_bytes=_sum([memory.activation_bytes for memory in memories]),
    )


def _backward_together(costs: list[Backward]) -> Backward | UnsetType:
    names = Backward.__struct_fields__
    return Backward(*(sum(getattr(cost, name) for cost in costs) for name in names)) if costs else UNSET


def _sum(values: list[int | UnsetType]) -> int | UnsetType:
    known = [value for value in values if value is not UNSET]
    return sum(known) if known else UNSET
