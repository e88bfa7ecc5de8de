"""`fuzz`: the cases of each kind by status, and a case for each distinct failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from convcli.report.sheet import Case, Sheet
from convcli.report.table import Cell, Column, Row, Table
from convcli.report.verdicts import findings, words
from convcli.units import printable, shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.verifier.fuzz.results import Failure, FuzzOutcome, KindSummary
    from convcli.verifier.verdict import Check, LayerVerdict

SHOWN = 4  # cases of a failure that are named


class Kind(msgspec.Struct, frozen=True):
    """A kind as a row of csv."""

    name: str
    cases: int
    statuses: dict[str, int]
    pairs: int
    legal_pairs: int


class Found(msgspec.Struct, frozen=True):
    """A failure as a row of csv."""

    name: str
    status: str
    layer: str
    input: tuple[int, ...]
    cases: tuple[str, ...]
    checks: tuple[str, ...]
    found: str
    repro: str


def sheet(record: FuzzOutcome) -> Sheet:
    """A row per kind, a case per kind and per distinct failure."""
    return Sheet(
        "fuzz",
        (_table(record),),
        (*(Case("kinds", kind.kind) for kind in record.kinds), *map(_case, record.failures)),
        (*map(_kind, record.kinds), *map(_found, record.failures)),
        _about(record),
        _last_line(record),
        record.exit_code,
    )


def _table(record: FuzzOutcome) -> Table:
    """The cases of each kind by status, and the pairs of factor values that met."""
    statuses = list(dict.fromkeys(status for kind in record.kinds for status in kind.statuses))
    columns = [Column("kind", right=False), Column("cases"), *(Column(words(status)) for status in statuses)]
    rows = []
    for kind in record.kinds:
        cells: list[Cell] = [kind.kind, kind.cases, *(kind.statuses.get(status, 0) for status in statuses)]
        rows.append(Row((*cells, _pairs(kind))))
    return Table("", (*columns, Column("pairs", right=False)), tuple(rows))


def _pairs(kind: KindSummary) -> str:
    """1,029 of 1,029 in 49 cases; or how far it came."""
    told = f"{kind.pairs:,} of {kind.legal_pairs:,}"
    return f"{told} in {kind.pair_cases} cases" if kind.pairs == kind.legal_pairs else told


def _case(failure: Failure) -> Case:
    """The smallest layer, what its checks found, where it came from, how to repeat it."""
    found = failure.verdict
    name = f"{printable(failure.layer)} on {shape(failure.input)}"
    lines = [_from(failure), *(line for check in found.checks for line in _lines(check)), *_why(found)]
    return Case("failures", name, found.status, (*map(printable, lines), printable(found.repro)))


def _from(failure: Failure) -> str:
    """from Conv2d(3, 4, 3) on 1x3x9x9: conv-7, conv-19 and 3 more"""
    named, more = failure.cases[:SHOWN], len(failure.cases) - SHOWN
    cases = ", ".join(named) + (f" and {more:,} more" if more > 0 else "")
    return f"from {failure.found_in}: {cases}" + ("" if failure.complete else "; smaller ones may fail too")


def _lines(check: Check) -> Iterator[str]:
    first, *others = findings(check) or ("",)
    yield f"{check.label}: {words(check.status)}{': ' if first else ''}{first}"
    yield from (f"  {line}" for line in others)


def _why(verdict: LayerVerdict) -> Iterator[str]:
    """What a failure looks like, who is wrong, the fewest data that show it."""
    if verdict.explanation is UNSET:
        return
    found = verdict.explanation
    yield from (f"looks like {guess}" for guess in found.looks_like)
    yield from [found.votes] if found.votes else []
    yield from found.smallest.data.splitlines() if found.smallest is not UNSET else []


def _kind(kind: KindSummary) -> Kind:
    return Kind(kind.kind, kind.cases, kind.statuses, kind.pairs, kind.legal_pairs)


def _found(failure: Failure) -> Found:
    verdict = failure.verdict
    names = tuple(check.label for check in verdict.checks)
    said = "; ".join(line for check in verdict.checks for line in _lines(check))
    first = failure.cases[0]
    return Found(first, verdict.status, failure.layer, failure.input, failure.cases, names, said, verdict.repro)


def _about(record: FuzzOutcome) -> str:
    """seed 0, numpy 2.4.6, torch 2.15.0, threads 2; 40.7 cases a second"""
    known = [f"{name} {value}" for name, value in record.environment.items() if value is not None]
    seconds = record.summary.seconds
    rate = f"; {record.cases / seconds:.1f} cases a second" if seconds else ""
    return printable(", ".join([f"seed {record.seed}", *known])) + rate


def _last_line(record: FuzzOutcome) -> str:
    """500 cases: 498 passed, 2 failed, 1 distinct in 12.3 s"""
    summary = record.summary
    counts = {name: getattr(summary, name) for name in summary.__struct_fields__ if name != "seconds"}
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name == "passed")
    distinct = f", {len(record.failures):,} distinct" if record.failures else ""
    line = f"{record.cases:,} cases: {told}{distinct} in {summary.seconds:.1f} s"
    return f"interrupted: {line}" if record.interrupted else line
