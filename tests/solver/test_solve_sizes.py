"""From size to size: what is proposed does it, and nothing that does it is missed."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from solved import counted, in_torch, numbers, scattered, ways

import convcli
from convcli import SpecError
from convcli.axis import Axis
from convcli.solver.records import Ways

SIZE = st.integers(1, 24)
SOME = {
    "kernel": st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
    "padding": st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True),
    "dilation": st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True),
}
STRIDES = st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True)


def spaces(**more: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({**SOME, **more})


def windows(space: dict[str, Any]) -> product[tuple[int, ...]]:
    return product(space["kernel"], space["dilation"], space["padding"])


@settings(max_examples=90)
@given(SIZE, SIZE, spaces(stride=STRIDES))
def test_no_convolution_is_missed(size: int, out: int, space: dict[str, Any]) -> None:
    expected = {
        (k, d, p, p, s, 0) for k, d, p in windows(space) for s in space["stride"] if counted(k, s, d, p, p, size) == out
    }
    found = ways(size, out, rank=1, transposed=False, limit=1000, **space)
    assert {numbers(way) for way in found.ways} == expected
    assert found.found == len(expected) == len(found.ways)


@settings(max_examples=90)
@given(SIZE, SIZE, spaces())
def test_no_stride_is_missed(size: int, out: int, space: dict[str, Any]) -> None:
    """Of all strides; of those that make one cell the first stands for the rest."""
    expected = set()
    for k, d, p in windows(space):
        fits = [s for s in range(1, size + 2 * p + 2) if counted(k, s, d, p, p, size) == out]
        expected |= {(k, d, p, p, s, 0) for s in (fits[:1] if out == 1 else fits)}
    found = ways(size, out, rank=1, transposed=False, limit=1000, **space)
    assert {numbers(way) for way in found.ways} == expected
    assert found.found == len(expected)


@settings(max_examples=90)
@given(st.integers(1, 8), SIZE, spaces(stride=STRIDES))
def test_no_transposed_layer_is_missed(size: int, out: int, space: dict[str, Any]) -> None:
    expected = {
        (k, d, p, p, s, extra)
        for k, d, p in windows(space)
        for s in space["stride"]
        for extra in range(max(s, d))
        if scattered(k, s, d, 2 * p, extra, size) == out
    }
    found = ways(size, out, rank=1, transposed=True, limit=1000, **space)
    assert {numbers(way) for way in found.ways} == expected
    without = ways(size, out, rank=1, transposed=True, limit=1000, output_padding=0, **space)
    assert {numbers(way) for way in without.ways} == {one for one in expected if one[-1] == 0}


@settings(max_examples=90)
@given(st.integers(2, 8), SIZE, spaces(), st.lists(st.integers(0, 3), min_size=1, unique=True))
def test_no_stride_of_a_transposed_layer_is_missed(size: int, out: int, space: dict[str, Any], some: list[int]) -> None:
    expected = {
        (k, d, p, p, s, extra)
        for k, d, p in windows(space)
        for s in range(1, out + 2 * p + 2)
        for extra in range(max(s, d))
        if scattered(k, s, d, 2 * p, extra, size) == out
    }
    found = ways(size, out, rank=1, transposed=True, limit=1000, **space)
    assert {numbers(way) for way in found.ways} == expected
    only = ways(size, out, rank=1, transposed=True, limit=1000, output_padding=some, **space)
    assert {numbers(way) for way in only.ways} == {one for one in expected if one[-1] in some}


def check(found: Ways) -> None:
    """Each way is read back as a layer that makes the size, and they come in the order of their scores."""
    for way in found.ways:
        (step,) = way.layers
        assert convcli.parse(step.layer).output_shape((1, 1, *found.input)) == (1, 1, *found.output)
        assert (step.input, step.output) == (found.input, found.output)
    assert [way.score for way in found.ways] == sorted(way.score for way in found.ways)
    assert found.found >= len(found.ways)
    assert bool(found.ways) == (found.exit_code == 0)


PAIRS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=3)
WORDS = st.sampled_from([None, "valid", "same_upper", "same_lower", "same"])


@settings(max_examples=90)
@given(PAIRS, st.booleans(), WORDS)
def test_what_is_proposed_does_it(pairs: list[tuple[int, int]], transposed: bool, padding: str | None) -> None:
    sizes, wanted = zip(*pairs, strict=True)
    if padding == "same" and transposed:
        padding = None
    check(ways(sizes, wanted, transposed=transposed, padding=padding))


@pytest.mark.torch
@settings(max_examples=60)
@given(PAIRS, st.booleans(), st.sampled_from([None, "same"]))
def test_torch_makes_the_size_too(pairs: list[tuple[int, int]], transposed: bool, padding: str | None) -> None:
    sizes, wanted = (tuple(min(number, 16) for number in ends) for ends in zip(*pairs, strict=True))
    found = ways(sizes, wanted, transposed=transposed, padding=None if transposed else padding)
    for way in found.ways:
        (step,) = way.layers
        assert in_torch(step.layer, (1, 1, *sizes)) in {None, (1, 1, *wanted)}


@settings(max_examples=50)
@given(PAIRS, st.integers(1, 12))
def test_fewer_are_the_first_of_more(pairs: list[tuple[int, int]], limit: int) -> None:
    sizes, wanted = zip(*pairs, strict=True)
    few, many = (ways(sizes, wanted, limit=count) for count in (limit, 40))
    if len(set(pairs)) == 1:  # of axes that differ, the combinations of the first per axis
        assert few.ways == many.ways[:limit]
    assert few.found == many.found


@settings(max_examples=90)
@given(SIZE, SIZE, spaces(stride=st.one_of(st.none(), STRIDES)))
def test_the_nearest_sizes_are_the_nearest(size: int, out: int, space: dict[str, Any]) -> None:
    found = ways(size, out, rank=1, transposed=False, **space)
    if found.ways:
        assert found.nearest == ()
        return
    strides = space["stride"] or range(1, size + 8)
    made = {counted(k, s, d, p, p, size) for k, d, p in windows(space) for s in strides} - {0}
    expected = [max((n for n in made if n < out), default=None), min((n for n in made if n > out), default=None)]
    assert [near.output[0] for near in found.nearest] == [number for number in expected if number is not None]
    for near in found.nearest:
        assert convcli.parse(near.layers[0]).output_shape((1, 1, size)) == (1, 1, *near.output)


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 6), st.booleans(), st.lists(st.integers(1, 50), min_size=3, max_size=3))
def test_exact_for_any_is_exact_for_any(size: int, times: int, transposed: bool, others: list[int]) -> None:
    ends = (size, size * times) if transposed else (size * times, size)
    found = ways(*ends, rank=1, transposed=transposed, exact_for_any=True, limit=20)
    assert found.ways
    for way in found.ways:
        layer = convcli.parse(way.layers[0].layer)
        for other in others:
            small, large = other, other * times
            start, end = (small, large) if transposed else (large, small)
            if layer.axes[0].lacking(start) == 0:
                assert layer.output_shape((1, 1, start)) == (1, 1, end)


def test_exact_for_any_wants_a_multiple() -> None:
    found = ways(7, 3, exact_for_any=True)
    assert (found.found, found.exit_code) == (0, 1)
    assert "multiple" in found.facts[-1]


@pytest.mark.parametrize(
    ("ends", "space", "first"),
    [
        ((224, 112), {}, "Conv2d(1, 1, 3, stride=2, padding=1)"),
        ((224, 224), {}, "Conv2d(1, 1, 3, padding=1)"),
        ((224, 222), {}, "Conv2d(1, 1, 3)"),
        ((224, 14), {}, "Conv2d(1, 1, 16, stride=16)"),
        ((7, 1), {}, "Conv2d(1, 1, 7)"),
        ((224, 112), {"kernel": 7}, "Conv2d(1, 1, 7, stride=2, padding=3)"),
        ((224, 224), {"kernel": 4}, "Conv2d(1, 1, 4, padding='same')"),
        ((112, 224), {}, "ConvTranspose2d(1, 1, 2, stride=2)"),
        ((112, 224), {"kernel": 4}, "ConvTranspose2d(1, 1, 4, stride=2, padding=1)"),
        ((112, 224), {"kernel": 3}, "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)"),
        ((16000, 3199), {"rank": 1, "kernel": 10}, "Conv1d(1, 1, 10, stride=5)"),
        (((1, 3, 224, 224), (1, 64, 112, 112)), {"kernel": 7}, "Conv2d(3, 64, 7, stride=2, padding=3)"),
        (((224, 224), (112, 56)), {"kernel": 7}, "Conv2d(1, 1, 7, stride=(2, 4), padding=3)"),
        ((9, 5), {"padding": "same_upper", "kernel": 3}, "Conv2d(1, 1, 3, stride=2, padding='same_upper')"),
    ],
)
def test_the_conventional_choice_is_first(ends: tuple[Any, Any], space: dict[str, Any], first: str) -> None:
    assert ways(*ends, **space).ways[0].layers[0].layer == first


@pytest.mark.parametrize("ends", [(10**9, 3), (10**9, 10**9 // 2), (2, 10**9), (10**9, 10**9), (10**9, 1), (1, 10**9)])
@pytest.mark.parametrize("limit", [1, 100])
def test_large_sizes_take_no_longer(ends: tuple[int, int], limit: int) -> None:
    started = time.process_time()
    check(ways(*ends, limit=limit))
    assert time.process_time() - started < 2


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 99), st.integers(1, 9), st.integers(0, 99))
def test_ranges_of_strides_have_exact_ends(size: int, out: int, kernel: int, dilation: int, padding: int) -> None:
    axis = Axis(kernel, dilation=dilation, before=padding, after=padding)
    if axis.lacking(size):
        assert not axis.strides(size, out)
        return
    found = axis.strides(size, out)
    for stride in {found.start - 1, found.start, found.stop - 1, found.stop} - {0}:
        made = Axis(kernel, min(stride, 2**63 - 1), dilation, padding, padding).out(size)
        assert (made == out) == (stride in found) or out == 1


@given(st.integers(2, 10**6), st.integers(1, 10**9), st.integers(1, 99), st.integers(1, 9), st.integers(0, 99))
def test_ranges_of_transposed_strides_have_exact_ends(
    size: int, out: int, kernel: int, dilation: int, padding: int
) -> None:
    axis = Axis(kernel, dilation=dilation, before=padding, after=padding)
    found = axis.transposed_strides(size, out)
    for stride in {found.start - 1, found.start, found.stop - 1, found.stop} - {0, -1}:
        one = Axis(kernel, stride, dilation, padding, padding)
        assert (0 <= one.output_padding_to(size, out) < max(stride, dilation)) == (stride in found)


@pytest.mark.parametrize(
    ("question", "space", "said"),
    [
        ((224,), {}, "one size alone"),
        ((0, 1), {}, "0 is no size"),
        ((224, (1, 2)), {"rank": 1}, "axes"),
        (((1, 2, 3), (1, 2)), {}, "cannot become"),
        ((224, 112), {"rank": 4}, "rank=4"),
        ((224, 112), {"kernel": 0}, "too small"),
        ((224, 112), {"padding": "full"}, "'full' is not known"),
        ((112, 224), {"padding": "same"}, "'same' is not known"),
        ((224, 112), {"output_padding": 1, "transposed": False}, "no output_padding"),
        ((224, 112), {"limit": 0}, "limit=0"),
        ((224, 112), {"layers": 65}, "layers=65"),
        ((224, 112), {"kernel": range(1, 1000), "dilation": range(1, 1000)}, "too many"),
        (("Conv2d(3, 4, 3)", 112), {}, "is no size"),
    ],
)
def test_questions_without_sense_are_refused(question: tuple[Any, ...], space: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        convcli.solve(*question, **space)
