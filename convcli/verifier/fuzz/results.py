"""What a fuzzing run finds, as data: a result per case, the failures grouped, the counts."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, prod
from typing import Any

import msgspec
from msgspec import UNSET

from convcli._version import __version__
from convcli.layers import Shape
from convcli.verifier.fuzz.covering import met
from convcli.verifier.fuzz.draws import Drawn, legal_pairs, rows
from convcli.verifier.verdict import LayerVerdict, Status, Summary, summary_of

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
    seconds: float = 0.0


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


def outcome_of(
    results: Iterable[Result],
    cases: Iterable[Drawn],
    *,
    seed: int,
    options: dict[str, Any],
    environment: dict[str, Any],
    seconds: float,
    interrupted: bool,
) -> FuzzOutcome:
    """The results, counted and grouped."""
    found = list(results)
    statuses = [result.status for result in found]
    return FuzzOutcome(
        SCHEMA,
        __version__,
        "fuzz",
        seed,
        options,
        environment,
        _kinds(found, list(cases), options["kinds"]),
        _failures(found),
        summary_of(statuses, seconds),
        interrupted,
    )


def _kinds(results: list[Result], cases: list[Drawn], kinds: Iterable[str]) -> tuple[KindSummary, ...]:
    made = []
    for kind in kinds:
        own: list[str] = [result.status.value for result in results if result.kind == kind]
        pairs = {pair for case in cases if case.kind == kind for pair in met(case.row)}
        legal = legal_pairs(kind)
        counts: dict[str, int] = {
            str(status.value): own.count(status.value) for status in Status if status.value in own
        }
        made.append(KindSummary(kind, len(own), counts, len(pairs & legal), len(legal), len(rows(kind))))
    return tuple(made)


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
