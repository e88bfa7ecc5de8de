"""Which input cells an output cell reads, and with which weight."""

from __future__ import annotations

from itertools import islice, product
from math import prod
from typing import TYPE_CHECKING

from convcli.explaining.subject import Grid, Section
from convcli.layers import DeformConv
from convcli.reach import Scatter, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.subject import Subject
    from convcli.layers import Shape
    from convcli.reach import Link

FEW, MOST = 27, 1000  # taps that are listed unasked, and when a cell is asked for
Read = tuple[int | None, int, int | None]  # the tap, the place that it meets, the input cell that stands there


def taps(subject: Subject) -> Iterator[Section]:
    """The taps of the cell that is asked for; of a small layer unasked, those of the middle one."""
    links, out = subject.layer.links(subject.x), subject.y[1:]
    if not subject.letters or len(links) != len(out) or not prod(out):
        return
    cell = subject.cell or tuple([size // 2 for size in out])
    if not all(isinstance(link, Window | Scatter) for link in links) and not subject.cell:
        return
    counts = [link.run(at)[2] for link, at in zip(links, cell, strict=True)]
    if not subject.cell and not 1 < prod(counts) <= FEW:
        return
    reads = [list(_reads(link, at, size)) for link, at, size in zip(links, cell, subject.space, strict=True)]
    rows = [_row(combination) for combination in islice(product(*reads), MOST)]
    more = f"the first {MOST:,} of {prod(counts):,} taps" if prod(counts) > MOST else ""
    words = [f"output cell {list(cell)}, every input channel of its group"]
    if isinstance(subject.layer, DeformConv):
        words.append("at offsets of 0; the offsets move each tap on its own")
    heads = ("tap", "reads", "which is") if any(row[2] for row in rows) else ("tap", "reads")
    yield Section("taps", tuple(words), (), (Grid(more, heads, tuple(row[: len(heads)] for row in rows)),))


def _reads(link: Link, at: int, size: int) -> Iterator[Read]:
    """Along one axis, in the order of the taps."""
    first, distance, count = link.run(at)
    places = [first + nth * distance for nth in range(min(count, MOST))]
    if isinstance(link, Scatter):
        found = [(link.tap(at, place), place) for place in places]
        yield from ((tap, place, place if 0 <= place < size else None) for tap, place in sorted(found))
    elif isinstance(link, Window):
        yield from ((tap, place, link.cell(place, size)) for tap, place in enumerate(places))
    else:
        yield from ((None, place, min(max(place, 0), size - 1)) for place in places)


def _row(reads: tuple[Read, ...]) -> tuple[str, str, str]:
    """(w01, x[0, -1], padding)"""
    tap = ", ".join(str(tap) for tap, _, _ in reads if tap is not None)
    there = [place for _, place, _ in reads]
    found = [cell for _, _, cell in reads]
    note = ""
    if None in found:
        note = "outside: 0"
    elif found != there:
        note = f"a copy of {_cell(tuple(cell for cell in found if cell is not None))}"
    return f"w[{tap}]" if tap else "mean", _cell(tuple(there)), note


def _cell(cell: Shape) -> str:
    return f"x[{', '.join(map(str, cell))}]"
