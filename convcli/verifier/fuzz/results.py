"""What a fuzzing run finds, as data: a result per case, the failures grouped, the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf, prod
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.layers import Shape
from convcli.verifier.fuzz.covering import met
from convcli.verifier.fuzz.draws import legal_pairs, rows
from convcli.verifier.journal import restored
from convcli.verifier.verdict import LayerVerdict, Status, Summary, summary_of

if TYPE_CHECKING:
    from convcli.verifier.fuzz.covering import Pair, Row

SCHEMA = 1


class Smallest(msgspec.Struct, frozen=True):
    """The smallest relative of a failing layer that fails in the same way. complete: none smaller does."""

    layer: str
    input: Shape
    tries: int
    complete: bool


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """One case. failing: the names of its bad checks; verdict: what was found in the smallest layer that fails so."""

    case: str
    key: str
    kind: str
    index: int
    layer: str
    input: Shape
    status: Status
    reason: str = ""
    failing: tuple[str, ...] = ()
    smallest: Smallest | None = None
    verdict: LayerVerdict | None = None
    repro: str = ""
    infinite: tuple[str, ...] = ()  # the verdict's numbers that JSON cannot hold
    seconds: float = 0.0


def whole_again(result: Result) -> Result:
    """A result with the numbers that its line could not hold."""
    if result.verdict is None or not result.infinite:
        return result
    return msgspec.structs.replace(result, verdict=restored(result.verdict, result.infinite))


class Failure(msgspec.Struct, frozen=True):
    """A distinct failure: the verdict on its smallest layer, and the cases that shrink to it."""

    verdict: LayerVerdict
    layer: str
    input: Shape
    found_in: str
    cases: tuple[str, ...]
    complete: bool = True


class KindSummary(msgspec.Struct, frozen=True):
    """The cases of one kind by status. pairs: values of two factors that met, of legal_pairs that can."""

    kind: str
    cases: int
    statuses: dict[str, int]
    pairs: int
    legal_pairs: int
    pair_cases: int  # the cases that meet all of them


class FuzzOutcome(msgspec.Struct, frozen=True):
    """The answer of `fuzz`."""

    schema: int
    convcli: str
    command: str
    seed: int
    options: dict[str, Any]
    environment: dict[str, Any]
    kinds: tuple[KindSummary, ...]
    failures: tuple[Failure, ...]
    summary: Summary
    interrupted: bool = False
    shard: str | UnsetType = UNSET

    @property
    def cases(self) -> int:
        """How many were made."""
        return sum(kind.cases for kind in self.kinds)

    @property
    def exit_code(self) -> int:
        """130 interrupted; 1 when a case failed; 3 when nothing was checked; else 0: lacking a layer is no fault."""
        if self.interrupted:
            return 130
        if self.failures:
            return 1
        return 0 if self.summary.passed + self.summary.inexact else 3


class Tally:
    """Results as they come, counted; only those that tell of a failure are kept."""

    def __init__(self, kinds: Sequence[str]):
        self.counts = {kind: Counter[Status]() for kind in kinds}
        self.failures: list[Result] = []
        self._pairs: dict[str, set[Pair]] = {kind: set() for kind in kinds}

    @property
    def cases(self) -> int:
        """How many there were."""
        return sum(count.total() for count in self.counts.values())

    def add(self, result: Result, row: Row | None = None) -> None:
        """One more. row: what it was made of; without, only what the covering array's cases meet is known."""
        self.counts[result.kind][result.status] += 1
        first = rows(result.kind)
        row = row or (first[result.index] if result.index < len(first) else None)
        found, legal = self._pairs[result.kind], legal_pairs(result.kind)
        if row and len(found) < len(legal):
            found |= legal.intersection(met(row))
        if result.verdict:
            self.failures.append(result)

    def kinds(self) -> tuple[KindSummary, ...]:
        """The counts of each."""
        return tuple(map(self._kind, self.counts))

    def _kind(self, kind: str) -> KindSummary:
        own = self.counts[kind]
        counts = {str(status.value): own[status] for status in Status if own[status]}
        return KindSummary(kind, own.total(), counts, len(self._pairs[kind]), len(legal_pairs(kind)), len(rows(kind)))


def outcome_of(
    tally: Tally,
    *,
    seed: int,
    options: dict[str, Any],
    environment: dict[str, Any],
    seconds: float,
    interrupted: bool,
    shard: str = "",
) -> FuzzOutcome:
    """The failures grouped, and how many there were of what."""
    return FuzzOutcome(
        SCHEMA,
        __version__,
        "fuzz",
        seed,
        options,
        environment,
        tally.kinds(),
        _failures(tally.failures),
        summary_of(sum(tally.counts.values(), Counter()), seconds),
        interrupted,
        shard or UNSET,
    )


def _failures(results: list[Result]) -> tuple[Failure, ...]:
    """The bad results: those together that shrink to one layer, and those whose smallest layers look like one mistake.

    What was not shrunk goes by its failing checks.
    """
    groups: dict[Any, list[tuple[Result, LayerVerdict]]] = {}
    alike: dict[Any, Any] = {}
    for result in results:
        verdict, at = result.verdict, result.smallest
        if verdict is None:
            continue
        key: Any = (at.layer, at.input, verdict.status) if at else (result.kind, result.status, result.failing)
        if verdict.explanation is not UNSET and verdict.explanation.looks_like:
            alike.setdefault(key, (result.kind, result.status, verdict.explanation.looks_like))
        groups.setdefault(alike.get(key, key), []).append((result, verdict))
    return tuple(map(_failure, groups.values()))


def _failure(found: list[tuple[Result, LayerVerdict]]) -> Failure:
    """Told by the smallest layer that has an explanation."""
    first, verdict = min(found, key=lambda pair: (pair[1].explanation is UNSET, _size(pair[0])))
    at = first.smallest or first
    complete = first.smallest is not None and first.smallest.complete
    names = tuple(result.case for result, _ in found)
    return Failure(verdict, at.layer, at.input, f"{first.layer} on {_shape(first.input)}", names, complete)


def _size(result: Result) -> float:
    return prod(result.smallest.input) if result.smallest else inf


def _shape(shape: Shape) -> str:
    return "x".join(map(str, shape))
