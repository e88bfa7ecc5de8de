"""Chains of layers: each leads to the size, equal ones are all found, mixed ones where there are any."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solved import counted, scattered, ways

import convcli
from convcli.solver.records import Ways
from convcli.spec.build import spelled_network

SPACE: dict[str, Any] = {"kernel": (1, 2, 3), "padding": (0, 1), "stride": (1, 2, 3), "dilation": 1}


def check(found: Ways, layers: int) -> None:
    """convcli's own plan of each chain ends in the size; the sizes between are those that are told."""
    for way in found.ways:
        assert len(way.layers) == layers
        network = spelled_network([step.layer for step in way.layers])
        network.input = (1, 1, *found.input)
        steps = convcli.summarize(network, command="shape").reports[0].layers
        assert [step.output for step in steps] == [(1, 1, *move.output) for move in way.layers]
        assert way.layers[-1].output == found.output
    assert [way.score for way in found.ways] == sorted(way.score for way in found.ways)


def reachable(size: int, layers: int, *, transposed: bool) -> tuple[set[int], dict[int, int]]:
    """(every size that a chain of the small space reaches, how many equal chains reach each)"""
    words = [
        (k, s, p, extra)
        for k, s, p in product(SPACE["kernel"], SPACE["stride"], SPACE["padding"])
        for extra in (range(min(s, 2)) if transposed else (0,))
    ]

    def made(word: tuple[int, int, int, int], cells: int) -> int:
        k, s, p, extra = word
        return scattered(k, s, 1, 2 * p, extra, cells) if transposed else counted(k, s, 1, p, p, cells)

    sizes, equal = {size}, dict.fromkeys(words, size)
    for _ in range(layers):
        sizes = {made(word, cells) for word in words for cells in sizes} - {0}
        equal = {word: made(word, cells) for word, cells in equal.items() if cells}
    return sizes, {end: list(equal.values()).count(end) for end in equal.values()}


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(2, 3), st.booleans())
def test_no_chain_is_missed(size: int, out: int, layers: int, transposed: bool) -> None:
    size = min(size, 4) if transposed else size
    sizes, equal = reachable(size, layers, transposed=transposed)
    found = ways(size, out, rank=1, layers=layers, transposed=transposed, limit=1000, **SPACE)
    check(found, layers)
    assert found.whole
    assert bool(found.ways) == (out in sizes)
    alike = [way for way in found.ways if len({step.layer for step in way.layers}) == 1]
    assert len(alike) == equal.get(out, 0)
    if not found.ways:
        expected = [max((n for n in sizes if n < out), default=0), min((n for n in sizes if n > out), default=0)]
        assert [near.output[0] for near in found.nearest] == [number for number in expected if number]


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(2, 5))
def test_chains_of_the_usual_layers_end_in_the_size(size: int, out: int, layers: int) -> None:
    check(ways(size, out, layers=layers), layers)


@pytest.mark.parametrize(
    ("ends", "layers", "space", "first"),
    [
        ((224, 7), 5, {}, "Conv2d(1, 1, 3, stride=2, padding=1)"),
        ((7, 224), 5, {}, "ConvTranspose2d(1, 1, 2, stride=2)"),
        ((4, 64), 4, {"kernel": 4}, "ConvTranspose2d(1, 1, 4, stride=2, padding=1)"),
        ((32, 28), 2, {}, "Conv2d(1, 1, 3)"),
    ],
)
def test_equal_layers_are_first(ends: tuple[int, int], layers: int, space: dict[str, Any], first: str) -> None:
    assert {step.layer for step in ways(*ends, layers=layers, **space).ways[0].layers} == {first}


@pytest.mark.parametrize(("ends", "layers"), [((10**9, 3), 4), ((10**9, 10**8), 8), ((3, 10**9), 5), ((512, 1), 20)])
def test_large_chains_take_seconds(ends: tuple[int, int], layers: int) -> None:
    started = time.process_time()
    check(ways(*ends, layers=layers), layers)
    assert time.process_time() - started < 8
