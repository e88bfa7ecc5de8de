"""Which input cells an output cell reads: the input with its padding, the taps, the cell that they make; 1-D to 3-D.

It goes by the layer's `Link`s, so it draws whatever slides or gathers: convolutions, transposed ones, pools, resizing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import msgspec

from convcli.errors import SpecError
from convcli.layers import Conv, DeformConv, Shape
from convcli.pictures import words
from convcli.pictures.asked import Asked
from convcli.pictures.compose import filmed
from convcli.pictures.grid import Grid, link, part, told_part, unit_for
from convcli.pictures.scene import Film, Mark, Scene, Text, hull
from convcli.plan import Step
from convcli.reach import Link, Resized, Scatter, Window

MOST = {1: 40, 2: 40, 3: 14}  # cells of an axis that are drawn, by the number of axes
SLICES = 5  # of a 3-D map
ROW = 1100.0  # pixels of slices next to one another
GAP, BELOW = 56.0, 66.0


class View(msgspec.Struct, frozen=True):
    """One axis of a picture: what slides along it, and which of its cells are drawn."""

    link: Link
    size: int
    out: int
    cells: range
    outputs: range

    @property
    def padded(self) -> range:
        """All cells of the input, with the padding."""
        return padded(self.link, self.size)

    def taps(self, cell: int) -> list[int]:
        """The drawn ones of the input cells that `cell` reads, padding included."""
        found = reads(self.link, cell, self.size)
        return [tap for tap in self.cells if tap in found]


def padded(link: Link, size: int) -> range:
    """The input's cells with those that zero padding, or another mode's, adds; cropped ones stay."""
    axis = link.axis if isinstance(link, Window) else None
    return range(-max(axis.before, 0), size + max(axis.after, 0)) if axis else range(size)


def reads(link: Link, cell: int, size: int) -> range:
    """The input cells that `cell` reads; those outside the input are the padding of a window."""
    first, distance, count = link.run(cell)
    found = range(first, first + distance * count, distance)
    if isinstance(link, Window):
        return found
    if isinstance(link, Resized):  # what lies beyond an end is the end's cell
        return range(min(max(first, 0), size - 1), min(max(first + count - 1, 0), size - 1) + 1)
    start = first if first >= 0 else first + -(first // distance) * distance
    return range(start, min(found.stop, size), distance)


def weight_at(link: Link, cell: int, tap: int) -> int | None:
    """The index of the weight that meets input cell `tap` in output cell `cell`; None where there are no weights."""
    if isinstance(link, Window):
        return (tap + link.axis.before - cell * link.axis.stride) // link.axis.dilation
    if isinstance(link, Scatter):
        return (cell + link.axis.before - tap * link.axis.stride) // link.axis.dilation
    return None


def drawn(step: Step, asked: Asked) -> Scene | Film:
    """The taps of one output cell, `asked.cell`, or of all of them, one after the other."""
    links, sizes, outs = step.layer.links(step.x), step.x[1:], step.y[1:]
    if not 1 <= len(links) <= 3 or not step.layer.spatial:
        raise SpecError(f"{step.name!r} ({step.type}) has no spatial axes to draw", field="--picture")
    cell = asked.cell_of(outs)
    views = _views(links, sizes, outs, cell, whole=asked.animate)
    cells = list(_steps(views, asked.most)) if asked.animate else [cell]
    board = _Board(views, step)
    film = filmed(
        words.title(step),
        list(board.marks()),
        [list(board.step(one)) for one in cells],
        description=_description(step, views, cells),
        captions=words.captions(step),
        legend=_legend(step, views),
        notes=[*_notes(step, views), *_told_steps(cells, outs, animated=asked.animate)],
    )
    return film if asked.animate else film.still()


def _views(links: Sequence[Link], sizes: Shape, outs: Shape, cell: Shape, *, whole: bool) -> list[View]:
    """What is drawn of every axis: around the cell's taps, or from the beginning where all steps are shown."""
    views = []
    for number, (one, size, out, at) in enumerate(zip(links, sizes, outs, cell, strict=True)):
        most = SLICES if len(links) == 3 and number == 0 else MOST[len(links)]
        full = padded(one, size)
        found = reads(one, 0 if whole else at, size)
        wanted = range(found[0], found[-1] + 1) if found else range(full.start, full.start + 1)
        if whole:
            wanted = range(full.start, full.start + 1)
        cells = part(full, wanted, most)
        outputs = part(range(out), range(1) if whole else range(at, at + 1), most)
        views.append(View(one, size, out, cells, outputs))
    return views


def _steps(views: Sequence[View], most: int) -> Iterator[Shape]:
    """The drawn output cells whose taps are drawn, the first `most` of them."""
    lists = []
    for view in views:
        seen = [p for p in view.outputs if _is_seen(view, p)]
        lists.append(seen or [view.outputs.start])
    for number, cell in enumerate(product(*lists)):
        if number == most:
            return
        yield cell


def _is_seen(view: View, cell: int) -> bool:
    found = reads(view.link, cell, view.size)
    return not found or (found[0] in view.cells and found[-1] in view.cells)


class _Board:
    """The panels of the input and of the output: one each, or one per slice of a 3-D map."""

    def __init__(self, views: Sequence[View], step: Step) -> None:
        self.views, self.mode = views, getattr(step.layer, "padding_mode", "zeros")
        plane = views[-2:]
        self.unit = unit_for(max(max(len(view.cells), len(view.outputs)) for view in plane))
        self.inputs = self._grids("input", [view.cells for view in views], 0.0, 0.0)
        right, bottom = self._extent(self.inputs)
        below = len(views) != 2
        self.outputs = self._grids(
            "output", [view.outputs for view in views], 0.0 if below else right + GAP, bottom + BELOW if below else 0.0
        )
        _, bottom = self._extent([*self.inputs, *self.outputs])
        self.told_at = bottom + 24

    def _grids(self, name: str, ranges: Sequence[range], left: float, top: float) -> list[Grid]:
        columns = ranges[-1]
        rows = ranges[-2] if len(ranges) > 1 else range(1)
        if len(ranges) < 3:
            return [Grid(panel=name, rows=rows, columns=columns, unit=self.unit, left=left, top=top)]
        wide, tall = max(len(columns) * self.unit, 110.0) + GAP, len(rows) * self.unit + BELOW
        along = max(1, int(ROW // wide))
        return [
            Grid(
                panel=f"{name} slice {depth}",
                rows=rows,
                columns=columns,
                unit=self.unit,
                left=left + number % along * wide,
                top=top + number // along * tall,
                data={"depth": depth},
            )
            for number, depth in enumerate(ranges[0])
        ]

    def _extent(self, grids: Sequence[Grid]) -> tuple[float, float]:
        _, _, right, bottom = hull([mark for grid in grids for mark in self._panel(grid)])
        return right, bottom

    def _panel(self, grid: Grid) -> Iterator[Mark]:
        side = "input" if grid.panel.startswith("input") else "output"
        yield from grid.frame(grid.panel)
        depth = grid.data.get("depth")
        for row, column in product(grid.rows, grid.columns):
            place = (row, column) if len(self.views) > 1 else (column,)
            if depth is not None:
                place = (int(depth), *place)
            inside = side == "output" or all(0 <= one < view.size for one, view in zip(place, self.views, strict=True))
            yield grid.cell(row, column, side if inside else "padding")

    def marks(self) -> Iterator[Mark]:
        """Everything that stays."""
        for grid in (*self.inputs, *self.outputs):
            yield from self._panel(grid)

    def step(self, cell: Shape) -> Iterator[Mark]:
        """The taps of one output cell, the cell, and what there is to say of them."""
        target, *place = self._placed(self.outputs, cell)
        for tap in product(*(view.taps(at) for view, at in zip(self.views, cell, strict=True))):
            found = self._placed(self.inputs, tap)
            inside = all(0 <= one < view.size for one, view in zip(tap, self.views, strict=True))
            index = [weight_at(view.link, at, one) for view, at, one in zip(self.views, cell, tap, strict=True)]
            name = ",".join(map(str, index)) if None not in index else ""
            grid, row, column = found
            yield grid.cell(row, column, "tap" if inside else "tap-padding", **({"tap": name} if name else {}))
            yield from grid.word(row, column, name, "ink" if inside else "text")
            if len(self.views) == 1:
                x, y = grid.centre(row, column)
                to_x, to_y = target.centre(place[0], place[1])
                yield link((x, y + self.unit / 2), (to_x, to_y - self.unit / 2 - 16))
        yield target.cell(place[0], place[1], "written")
        yield Text(0, self.told_at, _said(self.views, cell), "text", 13)

    def _placed(self, grids: Sequence[Grid], cell: Sequence[int]) -> tuple[Grid, int, int]:
        """The panel, the row and the column of a cell."""
        row = cell[-2] if len(cell) > 1 else 0
        grid = next(one for one in grids if len(cell) < 3 or one.data["depth"] == cell[0])
        return grid, row, cell[-1]


def _said(views: Sequence[View], cell: Shape) -> str:
    """output[0, 2] reads rows -1 to 1, columns 3 to 5"""
    names = {1: ("cells",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}[len(views)]
    parts = []
    for name, view, at in zip(names, views, cell, strict=True):
        found = reads(view.link, at, view.size)
        if not found:
            return f"output{words.place(cell)} reads no cell"
        every = f" in steps of {found.step}" if len(found) > 1 and found.step > 1 else ""
        parts.append(f"{name} {found[0]} to {found[-1]}{every}")
    return f"output{words.place(cell)} reads {', '.join(parts)}"


def _legend(step: Step, views: Sequence[View]) -> list[tuple[str, str]]:
    pads = any(view.cells.start < 0 or view.cells.stop > view.size for view in views)
    mode = getattr(step.layer, "padding_mode", "zeros")
    return [
        ("input", "input"),
        *([("padding", "padding" if mode == "zeros" else f"padding ({mode})")] if pads else []),
        ("tap", "tap"),
        *([("tap-padding", "tap on padding")] if pads else []),
        ("written", "output cell that is made"),
    ]


def _notes(step: Step, views: Sequence[View]) -> Iterator[str]:
    yield from told_part("input", [view.cells for view in views], [view.padded for view in views])
    yield from told_part("output", [view.outputs for view in views], [range(view.out) for view in views])
    layer = step.layer
    if isinstance(layer, Conv) and layer.out_channels:
        taps, channels = prod(axis.kernel for axis in layer.axes), step.x[0] // (layer.groups or 1)
        yield (
            f"an output cell is the sum of {taps} taps x {channels} input channels = {taps * channels} products"
            f"{' and the bias' if layer.bias else ''}"
        )
    if isinstance(layer, DeformConv):
        yield "offsets of 0: --picture samples shows them moved"


def _told_steps(cells: Sequence[Shape], outs: Shape, *, animated: bool) -> Iterator[str]:
    if animated and len(cells) < prod(outs):
        yield f"{len(cells)} of the {prod(outs)} output cells are shown"


def _description(step: Step, views: Sequence[View], cells: Sequence[Shape]) -> str:
    """For whoever cannot see it."""
    every = f"; {len(cells)} steps are shown, one after the other" if len(cells) > 1 else ""
    return f"Cells of the input and of the output of {words.title(step)}. {_said(views, cells[0])}{every}."
