"""In how many ways one output cell depends on each input cell: the paths between them, a tap of every layer on the way.

Channels do not count. It is the gradient of that cell where there is one channel and every weight is 1, worked out in
exact integers: whoever is reached by a path is in the footprint, and nobody else. The cells with many paths are those
that weigh most before anything is learned (Luo et al., Understanding the Effective Receptive Field, 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, product
from math import prod
from operator import add
from typing import TYPE_CHECKING

import msgspec

from convcli.errors import SpecError
from convcli.reach import SAME
from convcli.receptive.footprint import INPUT

if TYPE_CHECKING:
    from convcli.layers import Shape
    from convcli.receptive.footprint import Feed, Graph

MOST_COUNTED = 1_000_000  # cells of a map whose paths are counted one by one


class Paths(msgspec.Struct, frozen=True):
    """The number of paths to every cell of a box, row by row: `counts`, of the cells product(*ranges)."""

    ranges: tuple[range, ...]
    counts: list[int]

    def cells(self) -> dict[Shape, int]:
        """The number of paths to each cell that there is any to."""
        return {cell: count for cell, count in zip(product(*self.ranges), self.counts, strict=True) if count}

    def joined(self, other: Paths) -> Paths:
        """Both together: the paths through one branch, and those through another."""
        ranges = tuple([_hull([*one, *two]) for one, two in zip(self.ranges, other.ranges, strict=True)])
        return Paths(ranges, list(map(add, self._spread(ranges), other._spread(ranges))))

    def _spread(self, ranges: Sequence[range]) -> list[int]:
        """The counts of a larger box, 0 outside of this one."""
        if self.ranges == tuple(ranges):
            return self.counts
        found, (width, inner) = [0] * prod(map(len, ranges)), (len(ranges[-1]), len(self.ranges[-1]))
        rows = list(product(*ranges[:-1]))
        places = {row: number for number, row in enumerate(rows)}
        for number, row in enumerate(product(*self.ranges[:-1])):
            start = places[row] * width + self.ranges[-1].start - ranges[-1].start
            found[start : start + inner] = self.counts[number * inner : (number + 1) * inner]
        return found


def paths(graph: Graph, target: int, cell: Sequence[int]) -> Paths | None:
    """The paths to the cells of the input from `cell` of step `target`, an index per axis of its field; None for none.

    An axis of which nothing is left in the output has index 0. Raises SpecError where a map on the way is too large.
    """
    reached = {target: Paths(tuple([range(index, index + 1) for index in cell]), [1])}
    for number in range(target, -1, -1):
        if (here := reached.pop(number, None)) is None:
            continue
        for feed in graph.feeds[number]:
            there = _back(here, feed)
            if there is not None:
                before = reached.get(feed.source)
                reached[feed.source] = there if before is None else before.joined(there)
    return reached.get(INPUT)


def _back(here: Paths, feed: Feed) -> Paths | None:
    """The paths to the cells of an input of a step, given those to the cells of its output; None where it reads none.

    Kernels are dense across axes, so each axis takes its turn: it is the first one, and the last one afterwards.
    """
    if all(way.link is SAME and way.place is not None for way in feed.ways):
        return here
    reads = [_reads(feed, axis, cells) for axis, cells in enumerate(here.ranges)]
    if not all(any(map(len, cells)) for cells in reads):
        return None
    ranges = tuple([_hull(list(chain.from_iterable(cells))) for cells in reads])
    sizes = [max(len(old), len(new)) for old, new in zip(here.ranges, ranges, strict=True)]
    if prod(sizes) > MOST_COUNTED:
        raise SpecError(
            f"the paths to {prod(sizes):,} cells are too many to count", allowed=f"at most {MOST_COUNTED:,}"
        )
    counts = here.counts
    for cells, there in zip(reads, ranges, strict=True):
        counts = _turned(counts, cells, there)
    return Paths(ranges, counts)


def _reads(feed: Feed, axis: int, cells: range) -> list[Sequence[int]]:
    """Which input cells each of `cells` reads along an axis; where none is left of it, all stand for cell 0."""
    way, size = feed.ways[axis], feed.size(axis)
    return [way.link.reads(cell if way.place is not None else 0, size) for cell in cells]


def _turned(counts: list[int], reads: list[Sequence[int]], there: range) -> list[int]:
    """counts (cells, rest) -> (rest, there): each row is added to the rows that its cell reads."""
    rest = len(counts) // len(reads)
    rows = [[0] * rest for _ in there]
    for number, cells in enumerate(reads):
        row = counts[number * rest : (number + 1) * rest]
        if any(row):
            for cell in cells:
                rows[cell - there.start] = list(map(add, rows[cell - there.start], row))
    return list(chain.from_iterable(zip(*rows, strict=True)))


def _hull(cells: Sequence[int]) -> range:
    return range(min(cells), max(cells) + 1)
