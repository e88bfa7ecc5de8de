"""What a cell sees, against the gradient of that cell, on random networks; and the closed form against both."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from random_networks import random_network

from convcli.plan import Plan
from convcli.reach import members
from convcli.receptive.footprint import INPUT, Box, Graph, volume

SEEDS = [
    pytest.param(range(200), id="200"),
    pytest.param(range(200, 2200), id="2000", marks=pytest.mark.long),
]


def cells_of(planned: Plan, seed: int) -> list[tuple[int, ...]]:
    """The first cell, the last one, the middle and one at random."""
    sizes = planned.steps[-1].shown(planned.steps[-1].y)[2:]
    draw = Random(seed)  # noqa: S311 - no secret
    return list(
        dict.fromkeys(
            (
                tuple(0 for _ in sizes),
                tuple(size - 1 for size in sizes),
                tuple(size // 2 for size in sizes),
                tuple(draw.randrange(size) for size in sizes),
            )
        )
    )


def followed(planned: Plan, cell: tuple[int, ...]) -> list[Box]:
    """The boxes that the last layer's output at `cell` sees."""
    field = planned.steps[-1].field
    assert field is not None
    assert len(field) == len(cell)
    return Graph(planned).footprint(len(planned.steps) - 1, [1 << index for index in cell], range(len(cell)))


def listed(boxes: list[Box]) -> set[tuple[int, ...]]:
    """All cells of the boxes."""
    return {cell for box in boxes for cell in product(*map(members, box))}


@pytest.mark.torch
@pytest.mark.parametrize("seeds", SEEDS)
def test_what_a_cell_sees_is_where_its_gradient_is_not_zero(seeds: range) -> None:
    from torch_footprint import footprints

    for seed in seeds:
        planned = random_network(seed)
        cells = cells_of(planned, seed)
        for cell, expected in zip(cells, footprints(planned, cells), strict=True):
            boxes = followed(planned, cell)
            assert listed(boxes) == expected, (seed, cell)
            assert volume(boxes) == len(expected)


class Unclipped:
    """What cells see when no input has ends: each axis by itself, set by set."""

    def __init__(self, planned: Plan, axis: int):
        self.graph, self.axis = Graph(planned), axis
        self.inside = True  # so far nothing lay outside its layer's input

    def cells(self, number: int, cell: int) -> set[int]:
        """The cells of the network's input that `cell` of a step sees."""
        found: set[int] = set()
        for feed in self.graph.feeds[number]:
            reach, way = feed.field[self.axis], feed.ways[self.axis]
            assert not reach.merged
            size = 1 if reach.place is None else feed.shape[reach.place]
            first, distance, count = way.link.run(cell if way.place is not None else 0)
            for nth in range(count):
                read = first + nth * distance
                self.inside &= 0 <= read < size
                found |= {read} if feed.source == INPUT else self.cells(feed.source, read)
        return found


def test_the_closed_form_is_the_footprint_without_ends() -> None:
    """The interval of the closed form is the hull of what a cell sees, padding counted as cells.

    Inside the input that holds the footprint; it is the footprint's hull where nothing on the way is padding.
    """
    hulls = inner = 0
    for seed in range(300):
        planned = random_network(seed, modes=False)
        field = planned.steps[-1].field
        assert field is not None
        for cell in cells_of(planned, seed):
            for axis, (reach, index) in enumerate(zip(field, cell, strict=True)):
                if sum(len(feeds) > 1 for feeds in Graph(planned).feeds) > 2:
                    continue  # the sets by hand take long
                unclipped = Unclipped(planned, axis)
                wide = unclipped.cells(len(planned.steps) - 1, index)
                ends = reach.at(index)
                if reach.step:
                    assert ends == ((min(wide), max(wide)) if wide else None), (seed, cell, axis)
                    hulls += 1
                boxes = unclipped.graph.footprint(len(planned.steps) - 1, (1 << index,), (axis,))
                seen = list(members(boxes[0][0])) if boxes else []
                assert not seen or (ends and ends[0] <= seen[0] and seen[-1] <= ends[1]), (seed, cell, axis)
                if unclipped.inside and wide:
                    assert (seen[0], seen[-1]) == ends, (seed, cell, axis)
                    inner += 1
    assert hulls > 1000
    assert inner > 200
