"""JUnit XML: a test case per layer and check of `verify`; of the calculators, a passing one per layer, its numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from convcli.records import LayerRecord, Report
from convcli.report.flat import flat, layer_and_parts, written
from convcli.report.sheet import Sheet, drawn
from convcli.report.verdicts import checks, explained, findings

if TYPE_CHECKING:
    from convcli.report import Record
    from convcli.report.sheet import Case
    from convcli.verifier.verdict import Check, LayerVerdict, Status

ERRORS = {"crashed", "timed_out", "out_of_memory"}
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def render(record: Record) -> str:
    """The record as JUnit XML, a suite per source."""
    drawing = drawn(record)
    if isinstance(drawing, Sheet):
        return _sheet(drawing)
    suites: dict[str, list[TestCase]] = {}
    if isinstance(drawing, Report):
        for network in drawing.reports:
            suites.setdefault(network.source, []).extend(_numbers(network.source, layer) for layer in network.layers)
    else:
        for verdict in drawing.layers:
            suites.setdefault(verdict.source, []).extend(_checked(verdict, check) for check in checks(verdict))
    return _document(f"convcli {drawing.command}", suites)


def legal(text: str) -> str:
    r"""`text` without the characters that XML cannot hold, which become \x00 and the like."""
    return _ILLEGAL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _numbers(source: str, layer: LayerRecord) -> TestCase:
    case = _case(source, layer.name, layer.type)
    lines = []
    for name, record in layer_and_parts(layer):
        inside = name.removeprefix(layer.name).lstrip("/")
        pairs = ((key, value) for _, key, value in flat(record) if key not in {"name", "type"})
        lines += [f"{inside}{'.' if inside else ''}{key}={written(value)}" for key, value in pairs]
    case.system_out = legal("\n".join(lines))
    return case


def _checked(layer: LayerVerdict, check: Check) -> TestCase:
    case = _case(layer.source, layer.name, check.label)
    case.time = check.seconds
    if check.status.good:
        return case
    found = findings(check) or (check.status,)
    reasons = explained(layer) if layer.explanation and layer.explanation.check == check.label else ()
    case.result = [_result(check.status, found, (*reasons, *filter(None, [layer.repro])))]
    return case


def _sheet(sheet: Sheet) -> str:
    groups: dict[str, list[TestCase]] = {}
    for case in sheet.cases:
        groups.setdefault(case.group, []).append(_found(sheet, case))
    return _document(f"convcli {sheet.title}", groups)


def _found(sheet: Sheet, case: Case) -> TestCase:
    made = _case(f"convcli {sheet.title}", case.group, case.name)
    made.time = case.seconds
    if not case.status.good:
        more = (case.place,) if case.place else ()
        made.result = [_result(case.status, case.detail or (case.name,), more)]
    elif not sheet.verdict:
        made.system_out = legal("\n".join(case.detail))
    return made


def _result(status: Status, lines: tuple[str, ...], more: tuple[str, ...] = ()) -> Skipped | Error | Failure:
    """What JUnit calls such a status; its message is the first of the lines."""
    kind = Skipped if status.idle else Error if status in ERRORS else Failure
    result = kind(legal(lines[0]), status)
    result.text = legal("\n".join([*lines, *more]))
    return result


def _case(source: str, layer: str, name: str) -> TestCase:
    return TestCase(legal(name), legal(".".join(filter(None, [source, layer]))), 0.0)


def _document(title: str, suites: dict[str, list[TestCase]]) -> str:
    document = JUnitXml(title)
    for source, cases in suites.items():
        suite = TestSuite(legal(source) or title)
        suite.add_testcases(cases)
        document.add_testsuite(suite)
    document.update_statistics()
    return _indented(document.tostring())


def _indented(xml: str | bytes) -> str:
    root = ET.fromstring(xml)  # noqa: S314 - made above
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
