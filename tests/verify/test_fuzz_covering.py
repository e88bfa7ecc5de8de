"""Pairwise covering against brute force, and the spaces that fuzzing draws from."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from convcli.verifier.fuzz.covering import Factors, Row, Rule, met
from convcli.verifier.fuzz.space import SPACES


@st.composite
def small(draw: DrawFn) -> Factors:
    """A few factors of a few values, and forbidden combinations of two or three of them."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=2, max_size=5))
    names = [f"f{number}" for number in range(len(sizes))]
    rules = []
    for _ in range(draw(st.integers(0, 6))):
        chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        bad = tuple(draw(st.integers(0, 2)) for _ in chosen)
        rules.append(Rule(tuple(chosen), lambda *values, bad=bad: values == bad))
    return Factors({name: tuple(range(size)) for name, size in zip(names, sizes, strict=True)}, rules)


def legal_rows(factors: Factors) -> list[Row]:
    """By trying everything."""
    rows = [dict(zip(factors.values, values, strict=True)) for values in product(*factors.values.values())]
    return [row for row in rows if legal(factors, row)]


def legal(factors: Factors, row: Row) -> bool:
    return all(factors.fits(row, name, value) for name, value in row.items())


@given(small())
def test_every_legal_pair_is_met_and_no_other(factors: Factors) -> None:
    everything = legal_rows(factors)
    pairs = {pair for row in everything for pair in met(row)}
    assert set(factors.pairs()) == pairs
    rows = factors.covering()
    assert all(row in everything for row in rows)
    assert {pair for row in rows for pair in met(row)} == pairs
    assert len(rows) <= len(pairs)
    assert factors.covering() == rows


@given(small(), st.data())
def test_a_row_is_completed_whenever_it_can_be(factors: Factors, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(factors.values)))
    value = data.draw(st.sampled_from(factors.values[name]))
    order = {n: data.draw(st.permutations(factors.values[n])) for n in data.draw(st.permutations(list(factors.values)))}
    start: Row = {name: value} if factors.fits({}, name, value) else {}
    found = factors.completed(start, order)
    possible = [row for row in legal_rows(factors) if start.items() <= row.items()]
    assert (found in possible) if possible else found is None


@pytest.mark.parametrize("kind", SPACES)
def test_a_kind_is_covered_in_few_rows(kind: str) -> None:
    factors = SPACES[kind]
    rows = factors.covering()
    assert {pair for row in rows for pair in met(row)} == set(factors.pairs())
    assert all(legal(factors, row) for row in rows)
    assert len(rows) <= 60
    met_values = {(name, value) for row in rows for name, value in row.items()}
    assert met_values == {(name, value) for name, values in factors.values.items() for value in values}


def test_without_rules_all_pairs_are_legal() -> None:
    factors = Factors({"a": (1, 2, 3), "b": (1, 2), "c": (True, False)})
    assert len(factors.pairs()) == 3 * 2 + 3 * 2 + 2 * 2
    assert len(factors.covering()) == 6
