"""Maps of 1 to 3 axes as panels: strips one below the other, grids next to one another, rows of slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import msgspec

from convcli.pictures import letters
from convcli.pictures.grid import HEADING, Grid, unit_for
from convcli.pictures.scene import Circle, Data, Line, Mark, Rect, Text

ROW = 1100.0  # pixels of slices next to one another
GAP, BELOW, STRIPS = 56.0, 66.0, 50.0  # between panels next to one another, above one another, strips


class Map(msgspec.Struct, frozen=True):
    """What a panel shows: the cells drawn along each axis, the role of each of them, and what it says beside its place.

    each: as in `Grid`.
    """

    name: str
    ranges: tuple[range, ...]
    role: Callable[[tuple[int, ...]], str]
    data: Callable[[tuple[int, ...]], Data] = lambda _: {}
    each: int = 1


class Board:
    """Where the cells of some maps lie. columns: the maps below one another, column by column, of maps of 2 axes.

    unit: pixels of a cell, as many as there is room for when left out.
    """

    def __init__(self, columns: Sequence[Sequence[Map]], *, unit: float | None = None) -> None:
        self.maps = [one for column in columns for one in column]
        self.unit = unit or unit_for(max(len(indices) for one in self.maps for indices in one.ranges[-2:]))
        self.grids: dict[str, list[Grid]] = {}
        self.bottom = 0.0
        rank = len(self.maps[0].ranges)
        if rank == 2:
            self._grids(columns)
        else:
            for one in self.maps:
                top = self.bottom + ((STRIPS if rank == 1 else BELOW) if self.grids else 0)
                self._put(one, [self._strip(one, top)] if rank == 1 else list(self._slices(one, top)))

    def marks(self) -> Iterator[Mark]:
        """Every panel, with its heading and indices."""
        for one in self.maps:
            for grid in self.grids[one.name]:
                yield from grid.frame(grid.panel)
                for row, column in product(grid.rows, grid.columns):
                    place = _place(grid, row, column, len(one.ranges))
                    yield grid.cell(row, column, one.role(place), **one.data(place))

    def cell(self, name: str, place: Sequence[int], role: str, **data: str | int) -> Rect:
        """One more mark on a cell of a map."""
        grid, row, column = self._found(name, place)
        return grid.cell(row, column, role, **data)

    def word(
        self, name: str, place: Sequence[int], text: str, role: str = "text", size: float | None = None
    ) -> Iterator[Text]:
        """`text` on a cell of a map, where it has room."""
        grid, row, column = self._found(name, place)
        return grid.word(row, column, text, role, size)

    def inset(self, name: str, place: Sequence[int], role: str) -> Rect:
        """A smaller box in the middle of a cell."""
        whole, less = self.cell(name, place, role), self.unit * 0.2
        return msgspec.structs.replace(
            whole, x=whole.x + less, y=whole.y + less, width=whole.width - 2 * less, height=whole.height - 2 * less
        )

    def area(self, name: str, ends: tuple[float, float, float, float], role: str, **data: str) -> Rect:
        """A box of a map of 1 or 2 axes, by its (top, left, bottom, right); whole numbers are cells' centres."""
        (grid,) = self.grids[name]
        (x, y), (to_x, to_y) = grid.centre(*ends[:2]), grid.centre(*ends[2:])
        return Rect(x, y, to_x - x, to_y - y, role, {"panel": name, **data})

    def point(self, name: str, place: Sequence[float], role: str, radius: float, opacity: float, data: Data) -> Circle:
        """A point of a map of 2 axes, at a place that may lie between cells."""
        (grid,) = self.grids[name]
        return Circle(*grid.centre(*place), radius, role, grid.told(*place) | data, opacity)

    def line(self, name: str, start: Sequence[float], end: Sequence[float], role: str) -> Line:
        """Between two places of a map of 2 axes."""
        (grid,) = self.grids[name]
        return Line(*grid.centre(*start), *grid.centre(*end), role)

    def link(self, name: str, place: Sequence[int], other: str, target: Sequence[int]) -> Line:
        """From the bottom of a cell to the top of another's index, of strips."""
        grid, row, column = self._found(name, place)
        x, y = grid.centre(row, column)
        below, *there = self._found(other, target)
        to_x, to_y = below.centre(*there)
        return Line(x, y + self.unit / 2, to_x, to_y - self.unit / 2 - 16, "link")

    def said(self, text: str) -> Text:
        """A line below all panels."""
        return Text(0, self.bottom + 26, text)

    def _grids(self, columns: Sequence[Sequence[Map]]) -> None:
        left = 0.0
        for column in columns:
            top = right = 0.0
            for one in column:
                rows, across = one.ranges
                grid = Grid(
                    panel=one.name, rows=rows, columns=across, unit=self.unit, left=left, top=top, each=one.each
                )
                self._put(one, [grid])
                right = max(right, len(across) * self.unit, letters.width(one.name, HEADING, bold=True))
                top += len(rows) * self.unit + BELOW
            left += right + GAP

    def _strip(self, one: Map, top: float) -> Grid:
        return Grid(
            panel=one.name, rows=range(1), columns=one.ranges[0], unit=self.unit, top=top, strip=True, each=one.each
        )

    def _slices(self, one: Map, top: float) -> Iterator[Grid]:
        depths, rows, columns = one.ranges
        heading = letters.width(f"{one.name} slice {depths[-1]}", HEADING, bold=True)
        wide, tall = max(len(columns) * self.unit, heading) + GAP, len(rows) * self.unit + BELOW
        along = max(1, int(ROW // wide))
        for number, depth in enumerate(depths):
            line, place = divmod(number, along)
            yield Grid(
                panel=f"{one.name} slice {depth}",
                rows=rows,
                columns=columns,
                unit=self.unit,
                left=place * wide,
                top=top + line * tall,
                data={"depth": depth},
            )

    def _put(self, one: Map, grids: list[Grid]) -> None:
        self.grids[one.name] = grids
        self.bottom = max(self.bottom, *(grid.top + len(grid.rows) * grid.unit for grid in grids))

    def _found(self, name: str, place: Sequence[int]) -> tuple[Grid, int, int]:
        """The panel, the row and the column of a cell."""
        grid = next(one for one in self.grids[name] if len(place) < 3 or one.data["depth"] == place[0])
        return grid, place[-2] if len(place) > 1 else 0, place[-1]


def _place(grid: Grid, row: int, column: int, rank: int) -> tuple[int, ...]:
    if rank == 3:
        return int(grid.data["depth"]), row, column
    return (row, column) if rank == 2 else (column,)
