"""A fuzzing run as a table, blocks and a last line: what text and markdown draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from convcli.report import verdicts
from convcli.report.table import Cell, Column, Row, Table
from convcli.report.units import printable, shape
from convcli.report.verdicts import Block, counted, paragraph, words

if TYPE_CHECKING:
    from convcli.verifier.fuzz.results import Failure, FuzzOutcome, KindSummary
    from convcli.verifier.verdict import Explanation

SHOWN = 4  # cases of a failure that are named


def tables(outcome: FuzzOutcome, *, quiet: bool = False) -> tuple[Table, ...]:
    """A row per kind: its cases by status, and the pairs of factor values that met."""
    if quiet:
        return ()
    statuses = list(dict.fromkeys(status for kind in outcome.kinds for status in kind.statuses))
    columns = [Column("kind", right=False), Column("cases"), *(Column(words(status)) for status in statuses)]
    rows = []
    for kind in outcome.kinds:
        cells: list[Cell] = [kind.kind, kind.cases, *(kind.statuses.get(status, 0) for status in statuses), pairs(kind)]
        rows.append(Row(tuple(cells)))
    return (Table("", (*columns, Column("pairs", right=False)), tuple(rows)),)


def pairs(kind: KindSummary) -> str:
    """1,029 of 1,029 in 49 cases; or how far it came."""
    told = f"{kind.pairs:,} of {kind.legal_pairs:,}"
    return f"{told} in {kind.pair_cases} cases" if kind.pairs == kind.legal_pairs else told


def blocks(outcome: FuzzOutcome, *, verbose: bool = False, quiet: bool = False) -> tuple[Block, ...]:
    """A block per distinct failure: its smallest layer, what the checks found there, where it came from, a repro."""
    del verbose, quiet
    return tuple(map(_block, outcome.failures))


def last_line(outcome: FuzzOutcome) -> str:
    """500 cases: 498 passed, 2 failed, 1 distinct in 12.3 s"""
    distinct = f", {len(outcome.failures):,} distinct" if outcome.failures else ""
    line = f"{outcome.cases:,} cases: {counted(outcome.summary)}{distinct} in {outcome.summary.seconds:.1f} s"
    return f"interrupted: {line}" if outcome.interrupted else line


def environment_line(outcome: FuzzOutcome) -> str:
    """seed 0, numpy 2.4.6, torch 2.15.0, threads 2; 40.7 cases a second"""
    seconds = outcome.summary.seconds
    rate = f"; {outcome.cases / seconds:.1f} cases a second" if seconds else ""
    return verdicts.environment_line(outcome) + rate


def _block(failure: Failure) -> Block:
    found = failure.verdict
    title = f"{printable(failure.layer)} on {shape(failure.input)}"
    paragraphs = [paragraph(check) for check in found.checks if check.status.bad]
    if found.explanation is not UNSET:
        paragraphs.append(explained(found.explanation))
    return Block(title, found.status, ((_from(failure),), *filter(None, paragraphs)), printable(found.repro))


def explained(explanation: Explanation) -> tuple[str, ...]:
    """What a failure looks like, who is wrong, the fewest data that show it."""
    known = [("looks like", word) for word in explanation.looks_like] + [("votes", explanation.votes)]
    if explanation.smallest is not UNSET:
        known.append(("data", explanation.smallest.data))
    return tuple(f"{name}: {printable(line)}" for name, text in known if text for line in text.splitlines())


def _from(failure: Failure) -> str:
    """From Conv2d(3, 4, 3) on 1x3x9x9: conv-7, conv-19 and 3 more."""
    named, more = failure.cases[:SHOWN], len(failure.cases) - SHOWN
    cases = ", ".join(named) + (f" and {more:,} more" if more > 0 else "")
    left = "" if failure.complete else "; smaller ones may fail too"
    return f"from {printable(failure.found_in)}: {cases}{left}"
