"""`explain`: the formulas section by section, each line a chain of equals; pictures and tables below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from convcli.explaining.working import written
from convcli.report.sheet import Case, Sheet
from convcli.report.table import Column, Row, Table
from convcli.units import counted, printable, shape, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.record import Explanation, LayerExplanation, NetworkExplanation
    from convcli.explaining.subject import Grid
    from convcli.explaining.working import Working

ABOUT = "each = is one step; macs count products with padding zeros, flops = 2*macs, bytes for float32"
ROOM = 100  # columns that a chain may take in one line


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A formula, flat: csv's row."""

    source: str
    network: str
    layer: str
    type: str
    section: str
    of: str
    formula: str
    numbers: tuple[str, ...]
    result: int | float


def sheet(record: Explanation) -> Sheet:
    """Per layer a heading with its equation, then a table without rows for every section, and one for every grid."""
    layers = [(network, name, layer) for network in record.reports for name, layer in _layers(network)]
    return Sheet(
        "explain",
        tuple(table for network, name, layer in layers for table in _tables(network, name, layer)),
        tuple(_case(network, layer) for network in record.reports for layer in network.layers),
        tuple(line for network, name, layer in layers for line in _lines(network, name, layer)),
        ABOUT,
        f"{counted(sum(len(network.layers) for network in record.reports), 'layer')} explained",
        0,
        verdict=False,
    )


def _layers(network: NetworkExplanation) -> Iterator[tuple[str, LayerExplanation]]:
    """(name, layer) of every layer and part, a part as layer/part."""
    for layer in network.layers:
        yield layer.name, layer
        yield from ((f"{layer.name}/{part.name}", part) for part in layer.parts)


def _tables(network: NetworkExplanation, name: str, layer: LayerExplanation) -> Iterator[Table]:
    where = ": ".join(filter(None, [printable(network.source), printable(network.name)]))
    place = f"  {where}" if where else ""
    flow = f"{shape(layer.input)} -> {shape(layer.output)}"
    yield Table(
        f"{printable(name)}  {layer.type}  {flow}{place}", (), (), lines=tuple(filter(None, [layer.equation])), level=3
    )
    for section in layer.sections:
        lines = [printable(line) for line in section.text]
        lines += [line for grid in section.tables if grid.drawn for line in _picture(grid)]
        lines += [line for step in section.steps for line in chain(step)]
        yield Table(section.title, (), (), lines=tuple(lines), level=4)
        yield from (_grid(grid) for grid in section.tables if not grid.drawn)


def chain(step: Working) -> Iterator[str]:
    """of = formula = numbers = result, in one line where there is room, else a line for each."""
    parts = [part for part in (step.formula, *step.numbers, written(step.result)) if part]
    whole = " = ".join((step.of, *dict.fromkeys(parts)))
    if width(whole) <= ROOM:
        yield whole
        return
    first, *others = dict.fromkeys(parts)
    yield f"{step.of} = {first}"
    yield from (f"  = {part}" for part in others)


def _grid(grid: Grid) -> Table:
    right = [all(isinstance(row[place], int) for row in grid.rows) for place in range(len(grid.columns))]
    columns = tuple(Column(title, right=number) for title, number in zip(grid.columns, right, strict=True))
    return Table(grid.title, columns, tuple(Row(row) for row in grid.rows), level=5)


def _picture(grid: Grid) -> Iterator[str]:
    """The cells, each column as wide as its widest cell."""
    rows = [grid.columns, *grid.rows]
    sizes = [max(len(str(cell)) for cell in cells) for cells in zip(*rows, strict=True)]
    yield grid.title
    for row in rows:
        yield "  " + " ".join(str(cell).rjust(size) for cell, size in zip(row, sizes, strict=True)).rstrip()


def _case(network: NetworkExplanation, layer: LayerExplanation) -> Case:
    """What there is to say of a layer in a line or two: its output and its sums."""
    told = {step.of: written(step.result) for section in layer.sections for step in section.steps}
    detail = [f"{name} = {told[name]}" for name in ("params", "macs", "flops") if name in told]
    flow = f"{shape(layer.input)} -> {shape(layer.output)}"
    name = printable(layer.name)
    return Case(network.source, name, detail=(flow, *detail), line=UNSET if layer.line is UNSET else layer.line)


def _lines(network: NetworkExplanation, name: str, layer: LayerExplanation) -> Iterator[Line]:
    for section in layer.sections:
        for step in section.steps:
            yield Line(
                source=network.source,
                network=network.name,
                layer=name,
                type=layer.type,
                section=section.title,
                of=step.of,
                formula=step.formula,
                numbers=step.numbers,
                result=step.result,
            )
