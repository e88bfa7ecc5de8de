"""Markdown as GitHub reads it: a table per network, totals below; of `verify`, what is bad first."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from convcli.records import Report
from convcli.report import verdicts
from convcli.report.sheet import Sheet, drawn
from convcli.report.table import Column, Row, Table, convention_lines, heading, in_all, page, sentence
from convcli.report.text import cell_text
from convcli.units import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from convcli.report import Record
    from convcli.report.verdicts import Block
    from convcli.verifier.verdict import Check, Outcome

MOST_CASES = 100  # a comment on GitHub holds 65,536 characters
_MARKS = re.compile(r"[\\`*\[\]{}|~#]|(?<![^\W_])_|_(?![^\W_])")  # an underscore inside a word is no mark


def render(record: Record) -> str:
    """The record as Markdown."""
    drawing = drawn(record)
    if isinstance(drawing, Report):
        lines = _report(drawing)
    else:
        lines = _sheet(drawing) if isinstance(drawing, Sheet) else _outcome(drawing)
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that means itself in a Markdown table: no markup, no HTML, no line break."""
    marked = _MARKS.sub(r"\\\g<0>", printable(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;")


def _report(report: Report) -> Iterator[str]:
    for number, (record, table) in enumerate(zip(report.reports, page(report).tables, strict=True)):
        if number:
            yield ""
        yield f"## {escaped(heading(record))}"
        yield ""
        yield from table_lines(table)
        yield ""
        yield escaped(sentence(record, report.command))
    if len(report.reports) > 1 and report.command != "shape":
        yield ""
        yield f"**{escaped(in_all(report))}**"
    for line in convention_lines(report):
        yield ""
        yield f"<sub>{escaped(line)}</sub>"


def _outcome(outcome: Outcome) -> Iterator[str]:
    mark = "passed" if outcome.exit_code == 0 else "failed" if outcome.exit_code == 1 else "incomplete"
    yield f"## verify: {mark}"
    yield ""
    yield f"**{verdicts.last_line(outcome)}**"
    if any(layer.status.bad for layer in outcome.layers):
        yield ""
        yield from _failures(outcome)
    for table in verdicts.tables(outcome):
        yield ""
        if table.heading:
            yield f"### {escaped(table.heading)}"
            yield ""
        yield from table_lines(table)
    for block in verdicts.blocks(outcome):
        yield ""
        yield from _details(block)
    yield ""
    yield f"<sub>{escaped(verdicts.environment_line(outcome))}</sub>"


def _sheet(sheet: Sheet) -> Iterator[str]:
    yield f"## {escaped(sheet.title)}: {sheet.mark}" if sheet.verdict else f"## {escaped(sheet.title)}"
    yield ""
    yield f"**{escaped(sheet.last_line)}**"
    if sheet.told:
        titles = tuple(Column(title, right=False) for title in ("of", "case", "status", "found"))
        rows = tuple(
            Row(
                (
                    printable(case.place or case.group),
                    printable(case.name),
                    verdicts.words(case.status),
                    "; ".join(case.detail),
                )
            )
            for case in sheet.told[:MOST_CASES]
        )
        yield ""
        yield from table_lines(Table("", titles, rows))
        if len(sheet.told) > MOST_CASES:
            yield ""
            yield f"and {len(sheet.told) - MOST_CASES:,} more"
    for table in sheet.tables:
        yield ""
        if table.heading:
            yield f"{'#' * table.level} {escaped(table.heading)}".lstrip()
            yield ""
        if table.lines:
            yield from ("```text", *table.lines, "```")
        if table.columns:
            yield from table_lines(table)
        for note in table.notes:
            yield ""
            yield escaped(note)
    yield ""
    yield f"<sub>{escaped(sheet.about)}</sub>"


def _failures(outcome: Outcome) -> Iterator[str]:
    """One row per check that does not hold."""
    titles = ("layer", "place", "check", "status", "found")
    rows = [
        Row(
            (
                printable(layer.name),
                verdicts.place(layer),
                check.label,
                verdicts.words(check.status),
                _found(check),
            )
        )
        for layer in outcome.layers
        for check in verdicts.checks(layer)
        if check.status.bad
    ]
    yield from table_lines(Table("", tuple(Column(title, right=False) for title in titles), tuple(rows)))


def _found(check: Check) -> str:
    return "; ".join(verdicts.findings(check))


def _details(block: Block) -> Iterator[str]:
    """A fold with what the layer's checks found; HTML inside, so that nothing in it is Markdown."""
    lines = [line for paragraph in block.paragraphs for line in paragraph]
    yield f"<details><summary>{escape(block.status)}: {escape(block.title)}</summary>"
    yield ""
    yield f"<pre>{escape(chr(10).join([*lines, *filter(None, [block.repro])]))}</pre>"
    yield ""
    yield "</details>"


def table_lines(table: Table) -> Iterator[str]:
    """The table as GitHub draws it."""
    yield _line(column.title for column in table.columns)
    yield _line("---:" if column.right else "---" for column in table.columns)
    for row in table.rows:
        yield _line(_cells(row))


def _cells(row: Row) -> Iterator[str]:
    """Every cell escaped; parts are indented, totals bold."""
    name, *others = row.cells
    yield "&nbsp;" * 4 * row.depth + _strong(row, escaped(str(name)))
    for cell in others:
        yield _strong(row, "" if cell is None else escaped(cell_text(cell, separators=True)))


def _strong(row: Row, text: str) -> str:
    return f"**{text}**" if row.kind == "total" and text else text


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
