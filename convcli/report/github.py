"""GitHub's workflow commands: annotations at the layers' own lines.

A step shows ten annotations of each kind, so what concerns everything comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from convcli.records import LayerRecord, NetworkRecord, Report
from convcli.report.sheet import Sheet, drawn
from convcli.report.table import convention_lines, heading, in_all, sentence
from convcli.report.verdicts import checks, explained, findings, last_line, words
from convcli.units import digits, printable, shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.errors import SpecError
    from convcli.report import Record
    from convcli.verifier.verdict import LayerVerdict, Outcome

COUNTS = ("params", "macs", "macs_nonpad", "flops")


def render(record: Record) -> str:
    """The record as annotations, a line each."""
    drawing = drawn(record)
    if isinstance(drawing, Report):
        lines = _report(drawing)
    else:
        lines = _sheet(drawing) if isinstance(drawing, Sheet) else _outcome(drawing)
    return "\n".join(lines) + "\n"


def problems(error: SpecError) -> str:
    """An `::error` for everything that is wrong with a spec."""
    return "".join(
        command(
            "error",
            "; ".join(
                filter(
                    None,
                    [
                        problem.message,
                        problem.allowed and f"allowed: {problem.allowed}",
                        problem.repair and f"try: {problem.repair}",
                    ],
                )
            ),
            source=problem.source,
            line=problem.line,
            column=problem.column,
            title=problem.field or "spec",
        )
        + "\n"
        for problem in error.problems
    )


def command(
    kind: str, message: str, *, title: str, source: str = "", line: int | UnsetType = UNSET, column: int = 0
) -> str:
    """::error file=net.yaml,line=12,title=conv1::message, escaped by GitHub's rules; without a source, no place."""
    place = {"file": source, "line": line or "", "col": column or ""} if source else {}
    properties = ",".join(f"{key}={_property(str(value))}" for key, value in {**place, "title": title}.items() if value)
    return f"::{kind} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _report(report: Report) -> Iterator[str]:
    conventions = "".join(f"\n{line}" for line in convention_lines(report))
    if len(report.reports) > 1 and report.command != "shape":
        yield command("notice", in_all(report) + conventions, title=f"convcli {report.command}")
    for record in report.reports:
        yield command(
            "notice",
            sentence(record, report.command) + conventions,
            title=f"convcli {report.command}: {heading(record)}",
            source=record.source,
        )
        yield from (_layer(record, layer) for layer in record.layers)


def _layer(record: NetworkRecord, layer: LayerRecord) -> str:
    ends = [shape(end) for end in (layer.input, layer.output) if end is not UNSET]
    counts = [
        f"{digits(getattr(layer, name), separators=True)} {name}"
        for name in COUNTS
        if getattr(layer, name) is not UNSET
    ]
    message = ", ".join(part for part in (" -> ".join(ends), *counts) if part)
    return command(
        "notice",
        message,
        title=f"{printable(layer.name)} {printable(layer.type)}",
        source=record.source,
        line=layer.line,
    )


def _outcome(outcome: Outcome) -> Iterator[str]:
    yield command("notice", last_line(outcome), title="convcli verify")
    for layer in outcome.layers:
        if not layer.status.good:
            yield _verdict(layer)


def _sheet(sheet: Sheet) -> Iterator[str]:
    yield command("notice", sheet.last_line, title=f"convcli {sheet.title}")
    for case in sheet.told if sheet.verdict else sheet.cases:
        yield command(
            "error" if case.status.bad else "notice" if case.status.good else "warning",
            "\n".join(case.detail) or case.name,
            title=printable(case.name) + ("" if case.status.good else f": {words(case.status)}"),
            source="" if case.line is UNSET else case.group,
            line=case.line,
        )


def _verdict(layer: LayerVerdict) -> str:
    found = [
        ": ".join(filter(None, [check.label, words(check.status), "; ".join(findings(check))]))
        for check in checks(layer)
        if not check.status.good
    ]
    message = "\n".join([*found, *explained(layer, whole=False), *filter(None, [layer.repro])])
    title = f"{printable(layer.name)} {printable(layer.type)}: {words(layer.status)}"
    return command(
        "error" if layer.status.bad else "warning", message, title=title, source=layer.source, line=layer.line
    )
