"""The number of paths to each input cell: against walking them all, against gradients, and against the footprint."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import strategies as st
from laws import examples, holds
from random_networks import random_network

from convcli import SpecError, kernels
from convcli.plan import Plan, plan
from convcli.reach import members
from convcli.receptive.footprint import INPUT, Graph
from convcli.receptive.paths import Paths, paths
from convcli.spec.build import network

Cell = tuple[int, ...]


def counted(planned: Plan, cell: Cell) -> dict[Cell, int]:
    """The paths from a cell of the last layer's output."""
    found = paths(Graph(planned), len(planned.steps) - 1, cell)
    return found.cells() if found else {}


def sizes_of(planned: Plan) -> Cell:
    return planned.steps[-1].shown(planned.steps[-1].y)[2:]


@examples(60, 1000)
def test_the_cells_with_paths_are_the_footprint(count: int) -> None:
    for seed in range(count):
        planned = random_network(seed)
        for cell in {tuple(0 for _ in sizes_of(planned)), tuple(size // 2 for size in sizes_of(planned))}:
            sets = [1 << index for index in cell]
            boxes = Graph(planned).footprint(len(planned.steps) - 1, sets, range(len(cell)))
            expected = {place for box in boxes for place in product(*map(members, box))}
            assert set(counted(planned, cell)) == expected, (seed, cell)


class Walk:
    """Every path one by one, each cell's set by `Link.back`, which knows nothing of counts; zero padding alone."""

    def __init__(self, planned: Plan) -> None:
        self.graph = Graph(planned)
        self.known: dict[tuple[int, Cell], Counter[Cell]] = {}

    def from_(self, number: int, cell: Cell) -> Counter[Cell]:
        """How often each input cell is the end of a path that begins at `cell` of a step."""
        if (number, cell) not in self.known:
            found: Counter[Cell] = Counter()
            for feed in self.graph.feeds[number]:
                sets = [feed.back(1 << index, axis) for axis, index in enumerate(cell)]
                for there in product(*map(members, sets)):
                    found.update({there: 1} if feed.source == INPUT else self.from_(feed.source, there))
            self.known[number, cell] = found
        return self.known[number, cell]


@examples(40, 500)
def test_the_paths_are_as_many_as_one_finds_by_walking_them(count: int) -> None:
    several = 0
    for seed in range(count):
        planned = random_network(seed, modes=False)
        cell = tuple(size // 2 for size in sizes_of(planned))
        expected = Walk(planned).from_(len(planned.steps) - 1, cell)
        assert counted(planned, cell) == dict(expected), seed
        several += any(number > 1 for number in expected.values())
    assert several > count / 4


LAYER = st.fixed_dictionaries(
    {
        "transposed": st.sampled_from([False, False, True]),
        "kernel_size": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "stride": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "dilation": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)),
        "padding_mode": st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]),
    }
)
CHAINS = st.tuples(
    st.lists(LAYER, min_size=1, max_size=4), st.tuples(st.integers(3, 9), st.integers(3, 9)), st.integers(0, 10**6)
)


def fitting(drawn: list[dict[str, Any]], space: Cell) -> tuple[Plan, list[dict[str, Any]]]:
    """The plan of those layers that fit behind one another, and what each is called with."""
    layers: list[dict[str, Any]] = [{"type": "Identity"}]
    used: list[dict[str, Any]] = []
    planned = plan(network({"input": [1, 1, *space], "layers": layers}, "chain"))
    for one in drawn:
        fields = {name: value for name, value in one.items() if name != "transposed"}
        if one["transposed"]:
            del fields["padding_mode"]
        kind = "ConvTranspose2d" if one["transposed"] else "Conv2d"
        layer = {"type": kind, "out_channels": 1, "bias": False} | {k: _listed(v) for k, v in fields.items()}
        try:
            planned = plan(network({"input": [1, 1, *space], "layers": [*layers, layer]}, "chain"))
        except SpecError:
            continue
        layers.append(layer)
        used.append({"transposed": one["transposed"], **fields})
    return planned, used


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@examples(60, 1500)
def test_they_are_the_gradient_where_every_weight_is_1(count: int) -> None:
    def law(case: tuple[list[dict[str, Any]], Cell, int]) -> None:
        drawn, space, which = case
        planned, used = fitting(drawn, space)
        cells = list(product(*map(range, sizes_of(planned))))
        cell = cells[which % len(cells)]
        dy = np.zeros(planned.steps[-1].shown(planned.steps[-1].y))
        dy[(0, 0, *cell)] = 1
        for step, called in reversed(list(zip(planned.steps[1:], used, strict=True))):
            keywords = {name: value for name, value in called.items() if name not in {"transposed", "kernel_size"}}
            weight = np.ones((1, 1, *called["kernel_size"]))
            backward = kernels.conv_transpose_backward if called["transposed"] else kernels.conv_backward
            dy = backward(dy, np.zeros(step.shown(step.x)), weight, **keywords)[0]
        assert counted(planned, cell) == {place: dy[(0, 0, *place)] for place in zip(*dy[0, 0].nonzero(), strict=True)}

    holds(law, CHAINS, count)


def test_both_branches_of_a_joint_are_counted_and_one_that_is_added_to_itself_twice() -> None:
    conv = {"type": "Conv2d", "out_channels": 1, "kernel_size": 3, "padding": 1}
    layers = [{**conv, "name": "a"}, {**conv, "name": "b"}, {"type": "Add", "from": ["a", "b"]}]
    planned = plan(network({"input": [1, 1, 7, 7], "layers": layers}, "net"))
    found = counted(planned, (3, 3))
    assert sum(found.values()) == 81 + 9
    assert found[3, 3] == 9 + 1
    twice = plan(network({"input": [1, 1, 7, 7], "layers": [layers[0], {"type": "Add", "from": ["a", "a"]}]}, "net"))
    assert set(counted(twice, (3, 3)).values()) == {2}


def test_numbers_of_any_size_are_exact() -> None:
    layers = [{"type": "Conv1d", "out_channels": 1, "kernel_size": 3, "padding": 1} for _ in range(700)]
    found = counted(plan(network({"input": [1, 1, 3], "layers": layers}, "net")), (1,))
    once = [1, 1, 1]  # the middle cell reads all three
    for _ in range(699):
        once = [once[0] + once[1], sum(once), once[1] + once[2]]
    assert found == {(place,): number for place, number in enumerate(once)}
    assert once[1] > 10**250


def test_boxes_of_different_places_are_added_cell_by_cell() -> None:
    one = Paths((range(2), range(1, 3)), [1, 2, 3, 4])
    other = Paths((range(1, 3), range(2)), [10, 20, 30, 40])
    cells = {(0, 1): 1, (0, 2): 2, (1, 1): 23, (1, 2): 4, (1, 0): 10, (2, 0): 30, (2, 1): 40}
    assert one.joined(other).cells() == other.joined(one).cells() == cells


def test_maps_that_are_too_large_are_refused() -> None:
    planned = plan(network({"input": [1, 1, 50, 50], "layers": ["Conv2d(1, 1, 31, padding=15)"]}, "net"))
    with mock.patch("convcli.receptive.paths.MOST_COUNTED", 900), pytest.raises(SpecError, match="too many to count"):
        counted(planned, (25, 25))
