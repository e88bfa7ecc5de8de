"""Panels of cells: rows and columns of boxes with their indices, placed by the cells' numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from convcli.pictures import letters
from convcli.pictures.scene import Data, Mark, Rect, Text

HEADING, TICK = 14.0, 10.0  # sizes of letters
UNITS = ((8, 36.0), (14, 28.0), (24, 20.0), (40, 14.0))  # up to so many cells on a side: pixels for each
LEAST_UNIT = 8.0


def unit_for(cells: int) -> float:
    """Pixels of a cell, where the longest side has so many."""
    return next((unit for most, unit in UNITS if cells <= most), LEAST_UNIT)


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """Cells `rows` x `columns` of a panel, whose first cell has its corner at (left, top).

    strip: its single row is the only one there is. data: what every mark of it says, beside its panel.
    each: a box stands for so many cells along every axis; box 2 for those from 2 * each on.
    """

    panel: str
    rows: range
    columns: range
    unit: float
    left: float = 0.0
    top: float = 0.0
    strip: bool = False
    data: Data = {}
    each: int = 1

    def corner(self, row: float, column: float) -> tuple[float, float]:
        """(x, y) of a cell's top left."""
        return self.left + (column - self.columns.start) * self.unit, self.top + (row - self.rows.start) * self.unit

    def centre(self, row: float, column: float) -> tuple[float, float]:
        """(x, y) of a cell's middle; rows and columns may lie between cells."""
        x, y = self.corner(row, column)
        return x + self.unit / 2, y + self.unit / 2

    def told(self, row: float, column: float) -> Data:
        """What a mark at a place says of it."""
        return {"panel": self.panel, "row": round(row, 4), "column": round(column, 4), **self.data}

    def cell(self, row: int, column: int, role: str, **data: str | float) -> Rect:
        """A cell's box."""
        x, y = self.corner(row, column)
        return Rect(x, y, self.unit, self.unit, role, {**self.told(row, column), **data})

    def word(self, row: int, column: int, text: str, role: str = "text", size: float | None = None) -> Iterator[Text]:
        """`text` in the middle of a cell, where it has room."""
        size = size or min(12.0, self.unit * 0.36)
        if size >= 8 and letters.width(text, size) <= self.unit - 4:
            x, y = self.centre(row, column)
            yield Text(x, y + size * 0.36, text, role, size, "middle")

    def frame(self, heading: str) -> Iterator[Mark]:
        """The panel's heading, above it or left of a single row, and as many indices as there is room for."""
        told = {"panel": self.panel, **self.data}
        if self.strip:
            y = self.top + self.unit / 2 + HEADING * 0.35
            yield Text(self.left - 12, y, heading, "panel", HEADING, "end", told)
        else:
            yield Text(self.left, self.top - 22, heading, "panel", HEADING, data=told)
        yield from self._ticks()

    def _ticks(self) -> Iterator[Text]:
        every = _every(self.columns, self.unit, self.each)
        for column in self.columns:
            if column % every == 0:
                x, y = self.centre(self.rows.start, column)
                yield Text(x, y - self.unit / 2 - 5, str(column * self.each), "label", TICK, "middle")
        if self.strip:
            return
        every = _every(self.rows, self.unit, self.each, across=False)
        for row in self.rows:
            if row % every == 0:
                x, y = self.centre(row, self.columns.start)
                yield Text(x - self.unit / 2 - 5, y + TICK * 0.35, str(row * self.each), "label", TICK, "end")


def _every(indices: range, unit: float, each: int, *, across: bool = True) -> int:
    """Each how manieth index is written."""
    words = [str(indices.start * each), str(indices[-1] * each)]
    needed = max(letters.width(word, TICK) for word in words) + 3 if across else TICK * letters.LEADING
    return next(every for every in (1, 2, 5, 10, 20, 50, 100, 1000, 10**9) if every * unit >= needed)


def part(whole: range, wanted: range, most: int) -> range:
    """`whole` up to `most` cells; else `wanted` with some around it, or its beginning where it is longer than that."""
    if len(whole) <= most:
        return whole
    most = min(most, max(most // 2, len(wanted) + 6))
    start = wanted.start - max(0, (most - len(wanted)) // 2)
    start = min(max(start, whole.start), whole.stop - most)
    return range(start, start + most)


def told_part(name: str, drawn: Sequence[range], whole: Sequence[range]) -> Iterator[str]:
    """What of a big map is seen, as in: rows 0 to 31 of 0 to 223; nothing of a whole one."""
    letters_ = {1: ("cells",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}[len(drawn)]
    cut = [
        f"{word} {some.start} to {some[-1]} of {full.start} to {full[-1]}"
        for word, some, full in zip(letters_, drawn, whole, strict=True)
        if len(some) < len(full)
    ]
    if cut:
        yield f"a part of the {name} is drawn: {', '.join(cut)}"
