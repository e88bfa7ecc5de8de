"""One axis of a picture: what slides along it, and which cells of the input and of the output are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import cast

import msgspec

from convcli.layers import Shape
from convcli.pictures.grid import part, told_part
from convcli.reach import Link, Window

MOST = {1: 40, 2: 40, 3: 14}  # cells of an axis that are drawn, by the number of axes
SLICES = 5  # of a map of 3 axes
NAMES = {1: ("cells",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}


class View(msgspec.Struct, frozen=True):
    """`size` cells, of which `cells` are drawn, padding included; `out` output cells, of which `outputs` are drawn."""

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

    def holds(self, place: int) -> bool:
        """Whether a cell is one of the input's, not of the padding."""
        return 0 <= place < self.size

    def source(self, place: int) -> int | None:
        """The input cell that stands at a place of the padding; None where that is a zero."""
        return self.link.cell(place, self.size) if isinstance(self.link, Window) else None

    def shows(self, place: int) -> bool:
        """Whether a cell is drawn."""
        return place in self.cells


def padded(link: Link, size: int) -> range:
    """The input's cells with those that zero padding, or another mode's, adds; cropped ones stay."""
    axis = link.axis if isinstance(link, Window) else None
    return range(-max(axis.before, 0), size + max(axis.after, 0)) if axis else range(size)


def reads(link: Link, cell: int, size: int) -> range:
    """The input cells that `cell` reads; those outside the input are the padding of a window."""
    if isinstance(link, Window):
        first, distance, count = link.run(cell)
        return range(first, first + distance * count, distance)
    return cast("range", link.reads(cell, size))


def views(links: Sequence[Link], sizes: Shape, outs: Shape, cell: Shape, *, whole: bool) -> list[View]:
    """What is drawn of every axis: around the cell's taps, or from the beginning where all steps are shown."""
    found = []
    for number, (link, size, out, at) in enumerate(zip(links, sizes, outs, cell, strict=True)):
        most = SLICES if len(links) == 3 and number == 0 else MOST[len(links)]
        full = padded(link, size)
        read = reads(link, at, size)
        wanted = range(read[0], read[-1] + 1) if read and not whole else range(full.start, full.start + 1)
        seen = range(1) if whole else range(at, at + 1)
        found.append(View(link, size, out, part(full, wanted, most), part(range(out), seen, most)))
    return found


def steps(seen: Sequence[View], most: int) -> list[Shape]:
    """The drawn output cells whose taps are drawn, the first `most` of them; the first cell where there are none."""
    lists = [[p for p in view.outputs if _is_seen(view, p)] or [view.outputs.start] for view in seen]
    return [cell for cell, _ in zip(product(*lists), range(most), strict=False)]


def _is_seen(view: View, cell: int) -> bool:
    found = reads(view.link, cell, view.size)
    return not found or (found[0] in view.cells and found[-1] in view.cells)


def told_parts(seen: Sequence[View], cells: Sequence[Shape], *, animated: bool) -> Iterator[str]:
    """What of the maps and of the steps is not drawn."""
    yield from told_part("input", [view.cells for view in seen], [view.padded for view in seen])
    yield from told_part("output", [view.outputs for view in seen], [range(view.out) for view in seen])
    every = prod(view.out for view in seen)
    if animated and len(cells) < every:
        yield f"{len(cells)} of the {every} output cells are shown"


def told_reads(seen: Sequence[View], cell: Shape) -> str:
    """rows -1 to 1, columns 3 to 7 in steps of 2"""
    parts = []
    for name, view, at in zip(NAMES[len(seen)], seen, cell, strict=True):
        found = reads(view.link, at, view.size)
        if not found:
            return "no cell"
        every = f" in steps of {found.step}" if len(found) > 1 and found.step > 1 else ""
        parts.append(f"{name} {found[0]} to {found[-1]}{every}" if len(found) > 1 else f"{name[:-1]} {found[0]}")
    return ", ".join(parts)
