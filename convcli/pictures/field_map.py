"""What one output cell of a network sees: every input cell in the colour of the number of paths that lead to it.

`field_scene(plan)` is the picture as a Scene, without reading or writing anything, for whoever has a Plan. The paths
are exact (receptive/paths.py); cells between the seen ones that no path leads to are holes. Of a map of 3 axes a slice
is drawn; of a large one the part around the field, or boxes of several cells each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import msgspec

from convcli.errors import SpecError
from convcli.layers import Shape
from convcli.pictures import heat, letters, words
from convcli.pictures.asked import Asked
from convcli.pictures.board import Board, Map
from convcli.pictures.compose import composed
from convcli.pictures.grid import told_part
from convcli.pictures.holes import told_holes
from convcli.pictures.scene import Data, Line, Mark, Rect, Scene
from convcli.pictures.views import NAMES
from convcli.plan import Plan, place_of
from convcli.receptive.footprint import Graph
from convcli.receptive.paths import paths
from convcli.receptive.record import AxisField, CellRecord, cell_record, told

WHOLE, MOST, BESIDE = 20, 48, 1  # cells of an axis that are all drawn; boxes at the most; cells around the field
UNITS = ((20, 30.0), (32, 22.0), (48, 14.0))  # up to so many boxes on a side: pixels for each
SMALLEST = 8.0  # letters in a cell
LONGEST = 10**1000  # Python writes no numbers of more than 4,300 digits unless it is told to


def drawn(planned: Plan, layer: str | None, asked: Asked) -> Scene:
    """The field of the cell that is asked for."""
    return field_scene(planned, layer=layer, cell=asked.cell)


def field_scene(planned: Plan, *, layer: str | None = None, cell: Sequence[int] | None = None) -> Scene:
    """The input cells that an output cell sees, with the number of paths to each; the holes; the closed form's box.

    layer: the name of the layer whose output it is; the last one whose cells have a place when left out. cell: an index
    per spatial axis, the middle one when left out. Raises SpecError where what it sees cannot be told.
    """
    graph = Graph(planned)
    target = _last(graph) if layer is None else place_of(planned, layer)
    record = cell_record(graph, target, cell, flag="--cell")
    if len(record.axes) > 3:
        raise SpecError(f"the input has {len(record.axes)} spatial axes", field="--picture", allowed="1 to 3")
    found = paths(graph, target, [axis.at or 0 for axis in record.axes])
    sizes = [reach.length for reach in graph.steps[target].field or ()]
    return _scene(record, sizes, found.cells() if found else {})


def _last(graph: Graph) -> int:
    """The last step whose field is known and whose cells lie somewhere, if there is one."""
    known = [number for number, step in enumerate(graph.steps) if step.field and told(step) and graph.feeds[number]]
    placed = [n for n in known if any(reach.place is not None for reach in graph.steps[n].field or ())]
    return next(iter([*placed[-1:], *known[-1:]]), len(graph.steps) - 1)


def _scene(record: CellRecord, sizes: Shape | list[int], counts: dict[Shape, int]) -> Scene:
    name, flat = "input", counts
    if len(record.axes) == 3:
        depths = sorted({cell[0] for cell in counts}) or [0]
        depth = depths[len(depths) // 2]
        name, flat = f"input slice {depth}", {cell[1:]: n for cell, n in counts.items() if cell[0] == depth}
    field = _Field(name, record.axes[-2:], sizes[-2:], flat)
    asked = f"{record.layer}{words.place(record.at) if record.at else ''}"
    seen = f"{asked} sees {record.cells:,} of the {prod(sizes):,} cells of the input"
    holes = list(told_holes(record))
    part = f"{name} is drawn, the middle one of those that are seen: {len(flat):,} of the {record.cells:,} cells"
    return composed(
        f"receptive field of {asked} ({record.type})",
        list(field.marks()),
        description=f"{'; '.join([seen, *holes])}.",
        captions=[f"{seen}, {_x(sizes)}", _closed_form(record)],
        legend=field.legend(),
        notes=[*holes, *heat.told_paths(list(counts.values())), *field.notes(), *([part] if name != "input" else [])],
    )


class View(msgspec.Struct, frozen=True):
    """One axis of `size` cells: which boxes are drawn, which lie between seen cells, and the closed form's cells."""

    size: int
    boxes: range
    between: range
    closed: range | None


def _views(axes: Sequence[AxisField], sizes: Sequence[int]) -> tuple[list[View], int]:
    """(the axes; how many cells a box has along each): all cells of a small input, else those around the field."""
    wanted = [_wanted(axis, size) for axis, size in zip(axes, sizes, strict=True)]
    each = max(-(-len(cells) // MOST) for cells in wanted)
    found = []
    for axis, size, cells in zip(axes, sizes, wanted, strict=True):
        closed = range(axis.field[0], axis.field[1] + 1) if axis.field else None
        found.append(View(size, _boxes(cells, each), _boxes(_seen(axis), each), closed))
    return found, each


def _wanted(axis: AxisField, size: int) -> range:
    """The cells to draw; of a field that is much larger than the input, not much more than the input."""
    beyond, seen = size // 8, _seen(axis)
    first, last = axis.field or ((seen.start, seen.stop - 1) if seen else (0, size - 1))
    first, last = max(first - BESIDE, -beyond - 1), min(last + BESIDE, size + beyond)
    if seen:
        first, last = min(first, seen.start), max(last, seen.stop - 1)
    whole = range(min(first, 0), max(last + 1, size))
    return whole if len(whole) <= WHOLE else range(first, last + 1)


def _seen(axis: AxisField) -> range:
    """From the first cell that is seen to the last."""
    if not axis.touched:
        return range(0)
    first, count, distance = axis.touched[-1]
    return range(axis.touched[0][0], first + (count - 1) * distance + 1)


def _boxes(cells: range, each: int) -> range:
    return range(cells.start // each, -(-cells.stop // each)) if cells else range(0)


class _Field:
    """The panel: a box for each cell, or for `each` cells along every axis, with the most paths to one of them."""

    def __init__(self, name: str, axes: Sequence[AxisField], sizes: Sequence[int], counts: dict[Shape, int]) -> None:
        self.views, self.each = _views(axes, sizes)
        self.held: dict[Shape, list[int]] = {}
        for cell, count in counts.items():
            self.held.setdefault(tuple([index // self.each for index in cell]), []).append(count)
        self.most = {box: max(held) for box, held in self.held.items()}
        self.scale = heat.Scale(list(self.most.values()))
        ranges = tuple([view.boxes for view in self.views])
        self.map = Map(name, ranges, self._role, self._data, self.each)
        unit = next((unit for most, unit in UNITS if max(map(len, ranges)) <= most), UNITS[-1][1])
        self.board = Board([[self.map]], unit=unit)
        self.outlined = all(view.closed is not None for view in self.views)

    def marks(self) -> Iterator[Mark]:
        """Boxes, the numbers in them, the outline of the closed form."""
        yield from self.board.marks()
        yield from self._numbers()
        yield from self._outline()

    def legend(self) -> list[tuple[str, str]]:
        """What is seen in the picture."""
        used = {self._role(box) for box in product(*self.map.ranges)} | {mark.role for mark in self._outline()}
        others = [("hole", "hole: no path"), ("input", "not seen"), ("padding", "outside the input"), ("box", CLOSED)]
        return [(role, said) for role, said in [*self.scale.legend(), *others] if role in used]

    def notes(self) -> Iterator[str]:
        """What is drawn several cells at a time, or not at all."""
        if self.each > 1:
            yield f"a box is {_x([self.each] * len(self.views))} cells, its paths are those to the one with the most"
        shown = [
            range(max(view.boxes.start * self.each, 0), min(view.boxes.stop * self.each, view.size))
            for view in self.views
        ]
        yield from told_part("input", shown, [range(view.size) for view in self.views])
        if self.outlined and any(self._edges(view) != view.closed for view in self.views):
            yield "the closed form reaches further out than what is drawn"

    def _cells(self, box: Shape) -> list[range]:
        """The cells of the input in a box, along each axis."""
        return [
            range(max(index * self.each, 0), min((index + 1) * self.each, view.size))
            for index, view in zip(box, self.views, strict=True)
        ]

    def _role(self, box: Shape) -> str:
        if box in self.most:
            return self.scale.role(self.most[box])
        if not all(self._cells(box)):
            return "padding"
        between = all(index in view.between for index, view in zip(box, self.views, strict=True))
        return "hole" if between else "input"

    def _data(self, box: Shape) -> Data:
        cells, held = self._cells(box), self.held.get(box, [])
        if not all(cells):
            return {}
        names = zip(NAMES[len(cells)], cells, strict=True)
        where = ", ".join(
            f"{name[:-1]} {some[0]}" if len(some) == 1 else f"{name} {some[0]} to {some[-1]}" for name, some in names
        )
        most = max(held, default=0)
        told = f"{where}: {heat.counted(most)}"
        if self.each > 1:
            told = f"{where}: up to {heat.counted(most)}, {len(held)} of {prod(map(len, cells))} cells seen"
        return {"paths": most if most < LONGEST else heat.number(most), "cells": len(held), "title": told}

    def _numbers(self) -> Iterator[Mark]:
        """The number of paths in each box, if all of them fit."""
        widest = max((letters.width(heat.number(most), 1) for most in self.most.values()), default=1.0)
        size = min(12.0, (self.board.unit - 4) / widest)
        for box, most in self.most.items() if size >= SMALLEST else ():
            yield from self.board.word(self.map.name, box, heat.number(most), self.scale.ink(most), size)

    def _outline(self) -> Iterator[Rect | Line]:
        """The closed form's box; where it reaches further out than what is drawn, the sides that can be seen."""
        if not self.outlined:
            return
        shown = [self._edges(view) for view in self.views]
        whole = [view.closed or range(0) for view in self.views]
        if len(shown) == 1:
            shown, whole = [range(self.each), *shown], [range(self.each), *whole]
        # cell c begins at box c / each; boxes are placed by their middles
        top, left, bottom, right = (
            end / self.each - 0.5 for end in (shown[0].start, shown[1].start, shown[0].stop, shown[1].stop)
        )
        if shown == whole:
            yield self.board.area(self.map.name, (top, left, bottom, right), "box", of=CLOSED)
            return
        sides = [((top, left), (top, right)), ((bottom, left), (bottom, right))]
        sides += [((top, left), (bottom, left)), ((top, right), (bottom, right))]
        ends = [(one.start, two.start, one.stop, two.stop) for one, two in zip(shown, whole, strict=True)]
        seen = [same for a, b, c, d in ends for same in (a == b, c == d)]
        yield from (
            self.board.line(self.map.name, *side, "box") for side, is_end in zip(sides, seen, strict=True) if is_end
        )

    def _edges(self, view: View) -> range:
        closed = view.closed or range(0)
        return range(max(closed.start, view.boxes.start * self.each), min(closed.stop, view.boxes.stop * self.each))


CLOSED = "closed form"


def _closed_form(record: CellRecord) -> str:
    """closed form 13x13, padding included: rows 3 to 15, columns 3 to 15"""
    said = f"{CLOSED} {_x(record.receptive_field.size)}"
    ends = [(name, axis.field) for name, axis in zip(NAMES[len(record.axes)], record.axes, strict=True) if axis.field]
    spans = ", ".join(f"{name} {field[0]} to {field[1]}" for name, field in ends)
    return f"{said}, padding included: {spans}" if spans else said


def _x(sizes: Sequence[int | float]) -> str:
    return "x".join(map(str, sizes))
