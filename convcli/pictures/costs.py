"""What every layer of a network costs, as bars: its MACs, its parameters, and the bytes that its output takes.

`costs_scene(record)` is the picture as a Scene, without reading or writing anything, for whoever has a record of
`summarize`. A row is a layer, in the network's order, its three bars side by side. Of a network of many layers the
largest have rows, and the others one together, so that the bars of a column always add up to its total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from convcli.errors import SpecError
from convcli.pictures import letters
from convcli.pictures.compose import composed
from convcli.pictures.scene import Data, Line, Mark, Rect, Scene, Text
from convcli.records import Scope, network_record
from convcli.units import counted, scaled, shape

if TYPE_CHECKING:
    from convcli.pictures.asked import Asked
    from convcli.plan import Plan
    from convcli.records import LayerRecord, NetworkRecord

MOST_ROWS, MOST_NAMED = 40, 8
NAMES, BAR, GAP = 260.0, 150.0, 26.0  # pixels of the names at the most, of the longest bar, between columns
SIZE, HEADING, LINE, BETWEEN = 12.0, 14.0, 17.0, 4.0  # of letters; from one line of a name to the next; between rows
NOT_KNOWN = "not known"
Amount = int | UnsetType


class Column(msgspec.Struct, frozen=True):
    """One of the costs: what it is called, its unit, the role of its bars, and how much of it a layer has."""

    name: str
    unit: str
    role: str
    of: Callable[[LayerRecord], Amount]


def _bytes(layer: LayerRecord) -> Amount:
    return UNSET if layer.memory is UNSET else layer.memory.output_bytes


COLUMNS = (
    Column("MACs", "", "bar", lambda layer: layer.macs),
    Column("parameters", "", "bar-2", lambda layer: layer.params),
    Column("activations", "B", "bar-3", _bytes),
)


class Row(msgspec.Struct, frozen=True):
    """A layer, or all those without a row of their own. amounts: by column; UNSET is one that nobody knows.

    complete: false where the amounts are only lower bounds.
    """

    name: str
    kind: str
    amounts: tuple[Amount, ...]
    complete: bool = True


def drawn(planned: Plan, layer: str | None, asked: Asked) -> Scene:
    """The bars of a whole network."""
    for flag, value in (("--layer", layer), ("--cell", asked.cell)):
        if value is not None:
            raise SpecError("costs are those of all layers", field=flag, allowed="with another --picture")
    return costs_scene(network_record(planned, Scope()))


def costs_scene(record: NetworkRecord, *, dtype: str = "float32", most: int = MOST_ROWS) -> Scene:
    """The MACs, parameters and output bytes of a `summary`'s layers, at most `most` of them in rows of their own.

    dtype: what the record's bytes were counted for.
    """
    layers, complete = record.layers, record.totals.complete
    totals = [_sum(map(column.of, layers)) for column in COLUMNS]
    unknown = [layer.name for layer in layers if layer.complete is False]
    said = ", ".join(f"{column.name} {_said(n, column, complete)}" for column, n in zip(COLUMNS, totals, strict=True))
    ends = " -> ".join(shape(one) for one in (record.input, record.totals.output or None) if one)
    return composed(
        f"costs of {record.name or record.source or 'the network'}",
        list(_marks(_rows(layers, most), totals, complete=complete)),
        description=f"Bars for {counted(len(layers), 'layer')}; in all: {said}.",
        captions=[", ".join(filter(None, [counted(len(layers), "layer"), ends]))],
        notes=[
            *([f"what these cost is not known, the totals are lower bounds: {_few(unknown)}"] if unknown else []),
            f"activations: the bytes of each output, in {dtype}; a share is that of the total",
        ],
    )


def _rows(layers: Sequence[LayerRecord], most: int) -> list[Row]:
    """The layers in order; of too many the largest of each cost, those with large shares, and all others in one."""
    rows = [
        Row(one.name, one.type, tuple([column.of(one) for column in COLUMNS]), one.complete is UNSET) for one in layers
    ]
    if len(rows) <= most:
        return rows
    totals = [_sum(row.amounts[place] for row in rows) or 1 for place in range(len(COLUMNS))]

    def share(row: Row) -> float:
        return max(amount / total for amount, total in zip(row.amounts, totals, strict=True) if amount is not UNSET)

    def first(place: int) -> int:
        """The layer with the most of a cost; of several the one with the largest share of any."""
        return max(range(len(rows)), key=lambda number: (int(rows[number].amounts[place] or 0), share(rows[number])))

    largest = set(map(first, range(len(COLUMNS))))
    kept = sorted(sorted(range(len(rows)), key=lambda number: (number not in largest, -share(rows[number])))[:most])
    others = [row for number, row in enumerate(rows) if number not in set(kept)]
    sums = tuple([_sum(row.amounts[place] for row in others) for place in range(len(COLUMNS))])
    name = f"the other {counted(len(others), 'layer')}"
    return [*(rows[number] for number in kept), Row(name, "", sums, all(row.complete for row in others))]


def _marks(rows: Sequence[Row], totals: Sequence[int], *, complete: bool) -> Iterator[Mark]:
    """Names at the left, then a column of bars for each cost; later columns begin where earlier ones end."""
    names = [letters.wrapped(row.name, SIZE, NAMES) for row in rows]
    tops, bottom = [], 0.0
    for lines in names:
        tops.append(bottom)
        bottom += len(lines) * LINE + BETWEEN
    for lines, top in zip(names, tops, strict=True):
        yield from (Text(0, top + SIZE + n * LINE, line, "text", SIZE) for n, line in enumerate(lines))
    left = max(letters.width(line, SIZE) for lines in names for line in lines) + GAP
    for place, (column, total) in enumerate(zip(COLUMNS, totals, strict=True)):
        heading = f"{column.name}: {_said(total, column, complete)}"
        yield Text(left, -12, heading, "panel", HEADING, data={"panel": column.name})
        yield Line(left, -4, left, bottom, "axis")
        values = [_value(row, place, total) for row in rows]
        largest = max([amount for row in rows if (amount := row.amounts[place]) is not UNSET], default=0) or 1
        for row, top, value in zip(rows, tops, values, strict=True):
            amount = row.amounts[place]
            part = 0.0 if amount is UNSET else amount / largest
            told = f"{row.name}{f' ({row.kind})' if row.kind else ''}: {_exact(row, place)}"
            data: Data = {
                "panel": column.name,
                "label": row.name,
                "value": value,
                "share": round(part, 6),
                "title": told,
            }
            if amount is not UNSET:
                data["amount"] = amount
            yield Rect(left, top + 2, BAR * part, SIZE, column.role, data)
            yield Text(left + BAR * part + 6, top + SIZE, value, "text" if amount else "label", SIZE)
        wide = max(letters.width(value, SIZE) for value in values) + BAR + 6
        left += max(wide, letters.width(heading, HEADING, bold=True)) + GAP


def _value(row: Row, place: int, total: int) -> str:
    """118.0 M (2.9%)"""
    amount = row.amounts[place]
    if amount is UNSET:
        return NOT_KNOWN
    said = _said(amount, COLUMNS[place], row.complete)
    return f"{said} ({amount / total:.1%})" if amount else said


def _exact(row: Row, place: int) -> str:
    amount, column = row.amounts[place], COLUMNS[place]
    if amount is UNSET:
        return f"{column.name} {NOT_KNOWN}"
    return f"{'' if row.complete else 'at least '}{amount:,} {column.unit and 'bytes of '}{column.name}"


def _said(amount: int, column: Column, complete: bool) -> str:  # noqa: FBT001 - of the row, or of all
    return f"{'' if complete else 'at least '}{scaled(amount, column.unit).rstrip()}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def _sum(amounts: Iterable[Amount]) -> int:
    return sum(amount for amount in amounts if amount is not UNSET)
