"""`receptive-field`: the closed form per axis, a picture of the cells that are read, the holes and what makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.report.sheet import Case, Sheet
from convcli.report.table import Column, Row, Table
from convcli.units import counted, printable, shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.receptive.record import AxisField, CellRecord, FieldReport

AXES = {1: "L", 2: "HW", 3: "DHW"}  # PyTorch's letters
WIDEST = 72  # a picture's cells; of a wider field both ends are drawn
ABOUT = "cells of the input from 0; size, jump and start count padding, touched cells are inside the input"
COLUMNS = (
    Column("axis", right=False),
    Column("cell"),
    Column("size"),
    Column("jump", rank=5),
    Column("start", rank=6),
    Column("first", rank=4),
    Column("last", rank=4),
    Column("touched", rank=1),
    Column("holes"),
)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An axis, flat: csv's row. touched: first:end:distance of every run, as Python slices."""

    source: str
    network: str
    layer: str
    type: str
    axis: str
    cell: int | None
    size: int | float
    jump: int | float
    start: int | float
    first: int | None
    last: int | None
    cells: int
    holes: int
    touched: tuple[str, ...]
    causes: tuple[str, ...]
    cure: tuple[str, ...]


def sheet(record: FieldReport) -> Sheet:
    """A table per network: a row per axis, then the pictures and what there is to say."""
    several = len(record.reports) > 1
    tables = tuple(
        Table(_heading(one) if several else "", COLUMNS, tuple(_rows(one)), tuple(_notes(one)))
        for one in record.reports
    )
    return Sheet(
        "receptive-field",
        tables,
        tuple(Case(one.source, _asked(one), detail=tuple(_notes(one)), line=one.line) for one in record.reports),
        tuple(line for one in record.reports for line in _lines(one)),
        ABOUT,
        _last_line(record),
        0,
        verdict=False,
    )


def _heading(one: CellRecord) -> str:
    return ": ".join(printable(part) for part in (one.source, one.name) if part) or "network"


def _asked(one: CellRecord) -> str:
    """third[9, 9]; a layer whose cells all see the same has no place to name."""
    return f"{printable(one.layer)}[{', '.join(map(str, one.at))}]" if one.at else printable(one.layer)


def _rows(one: CellRecord) -> Iterator[Row]:
    numbers = one.receptive_field
    for place, (letter, axis) in enumerate(zip(AXES[len(one.axes)], one.axes, strict=True)):
        first, last = axis.field or (None, None)
        closed = [f"{number[place]:.6g}" for number in (numbers.jump, numbers.start)]
        yield Row((letter, axis.at, str(numbers.size[place]), *closed, first, last, axis.cells, axis.holes))


def _notes(one: CellRecord) -> Iterator[str]:
    """What is the same along several axes is said once."""
    groups = _alike(one)
    for letters, axis in groups:
        yield f"{letters}: {picture(axis)}"
    share = f", {one.untouched:.1%} of the box around them is never touched" if one.holes else ""
    yield f"{_asked(one)} sees {counted(one.cells, 'cell')} of the input {shape(one.input)}{share}"
    for letters, axis in groups:
        if axis.causes:
            reasons = ", ".join(f"{printable(cause.layer)} ({cause.reason})" for cause in axis.causes)
            yield f"gridding along {letters}: {reasons}"
        elif axis.holes:
            yield f"holes along {letters}: no layer makes them by itself"
        if axis.cure:
            rates = ", ".join(f"{printable(name)} {rate}" for name, rate in axis.cure.dilation.items())
            yield f"no holes along {letters} with dilation: {rates} (a field of {axis.cure.size}; padding to match)"
    if one.uneven:
        names = ", ".join(map(printable, one.uneven))
        yield f"uneven: the stride of {names} does not divide the kernel, neighbours add up different numbers of terms"


def _alike(one: CellRecord) -> list[tuple[str, AxisField]]:
    """("H, W", what is said of both)"""
    groups: list[tuple[str, AxisField]] = []
    for letter, axis in zip(AXES[len(one.axes)], one.axes, strict=True):
        said = msgspec.structs.replace(axis, at=None)
        if groups and groups[-1][1] == said:
            groups[-1] = (f"{groups[-1][0]}, {letter}", said)
        else:
            groups.append((letter, said))
    return groups


def picture(axis: AxisField) -> str:
    """#.#.# (9 to 13): the cells that are read, from the first to the last; of a wide field the ends."""
    if not axis.touched:
        return "nothing of the input"
    first, count, distance = axis.touched[-1]
    start, end = axis.touched[0][0], first + (count - 1) * distance
    cells = {
        cell for first, count, distance in axis.touched for cell in range(first, first + count * distance, distance)
    }
    marks = "".join("#" if cell in cells else "." for cell in range(start, end + 1))
    half = WIDEST // 2
    drawn = marks if len(marks) <= WIDEST else f"{marks[:half]} ... {marks[-half:]}"
    return f"{drawn} ({start} to {end})"


def _lines(one: CellRecord) -> Iterator[Line]:
    numbers = one.receptive_field
    for place, (letter, axis) in enumerate(zip(AXES[len(one.axes)], one.axes, strict=True)):
        first, last = axis.field or (None, None)
        yield Line(
            source=one.source,
            network=one.name,
            layer=one.layer,
            type=one.type,
            axis=letter,
            cell=axis.at,
            size=numbers.size[place],
            jump=numbers.jump[place],
            start=numbers.start[place],
            first=first,
            last=last,
            cells=axis.cells,
            holes=axis.holes,
            touched=tuple(f"{begin}:{begin + count * step}:{step}" for begin, count, step in axis.touched),
            causes=tuple(f"{cause.layer}: {cause.reason}" for cause in axis.causes),
            cure=tuple(f"{name}={rate}" for name, rate in axis.cure.dilation.items()) if axis.cure else (),
        )


def _last_line(record: FieldReport) -> str:
    """1 network: gridding in third[9, 9]; or: no gridding"""
    found = [_asked(one) for one in record.reports if one.gridding]
    words = f"gridding in {', '.join(found)}" if found else "no gridding"
    return f"{counted(len(record.reports), 'network')}: {words}"
