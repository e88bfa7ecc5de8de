"""Pairwise covering: rows in which every two values of two factors that are legal together meet at least once.

Greedy and deterministic, after AETG (Cohen, Dalal, Fredman, Patton, 1997): a row begins with a pair that is still to be
met, and takes for each further factor the value that meets the most. Legal means that some whole row has the pair and
breaks no rule: it is searched for, never assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Any

import msgspec

Value = int | str | bool | None
Row = dict[str, Value]
Pair = tuple[str, Value, str, Value]


class Rule(msgspec.Struct, frozen=True):
    """What does not go together: `broken` is asked with the values of `names`."""

    names: tuple[str, ...]
    broken: Callable[..., bool]


class Factors:
    """Some values for each of some factors, and rules."""

    def __init__(self, values: Mapping[str, tuple[Value, ...]], rules: Iterable[Rule] = ()):
        self.values = dict(values)
        found = tuple(rules)
        self._rules = {name: [rule for rule in found if name in rule.names] for name in self.values}

    def fits(self, row: Row, name: str, value: Value) -> bool:
        """No rule is broken by one more value in a part of a row."""
        more = {**row, name: value}
        return not any(
            rule.broken(*[more[one] for one in rule.names])
            for rule in self._rules[name]
            if all(one in more for one in rule.names)
        )

    def completed(self, row: Row, order: Mapping[str, Iterable[Value]] | None = None) -> Row | None:
        """A whole row that begins with this part of one; the values in the order given. None when there is none."""
        rest = [name for name in order or self.values if name not in row]
        if not rest:
            return row
        name = rest[0]
        for value in (order or self.values)[name]:
            if self.fits(row, name, value):
                whole = self.completed({**row, name: value}, order)
                if whole is not None:
                    return whole
        return None

    def pairs(self) -> list[Pair]:
        """Every legal pair, in the order of the factors."""
        return [
            (one, a, two, b)
            for one, two in combinations(self.values, 2)
            for a in self.values[one]
            for b in self.values[two]
            if self.fits({}, one, a) and self.fits({one: a}, two, b) and self.completed({one: a, two: b}) is not None
        ]

    def covering(self) -> list[Row]:
        """Rows that meet every legal pair."""
        left = dict.fromkeys(self.pairs())
        rows: list[Row] = []
        used: dict[tuple[str, Value], int] = {}
        while left:
            row = self._row(left, used)
            rows.append(row)
            for pair in met(row):
                left.pop(pair, None)
            for item in row.items():
                used[item] = used.get(item, 0) + 1
        return rows

    def _row(self, left: Mapping[Pair, None], used: Mapping[tuple[str, Value], int]) -> Row:
        """The next row: the first pair that is left, then value by value; of equally good ones the least used."""
        one, a, two, b = next(iter(left))
        row: Row = {one: a, two: b}
        for name in self.values:
            if name in row:
                continue
            gain = {
                value: sum(_ordered(self.values, name, value, other, v) in left for other, v in row.items())
                for value in self.values[name]
            }
            best = sorted(self.values[name], key=lambda value: (-gain[value], used.get((name, value), 0)))
            row[name] = next(v for v in best if self.fits(row, name, v) and self.completed({**row, name: v}))
        return {name: row[name] for name in self.values}


def met(row: Row) -> list[Pair]:
    """The pairs of a row."""
    return [(one, row[one], two, row[two]) for one, two in combinations(row, 2)]


def _ordered(order: Mapping[str, Any], one: str, a: Value, two: str, b: Value) -> Pair:
    """A pair as `pairs` has it."""
    names = list(order)
    return (one, a, two, b) if names.index(one) < names.index(two) else (two, b, one, a)
