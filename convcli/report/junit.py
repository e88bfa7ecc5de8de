"""JUnit XML: a test case per layer and check of `verify`; of the calculators, a passing one per layer, its numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from convcli.records import LayerRecord, Report
from convcli.report.flat import flat, layer_and_parts, written
from convcli.report.verdicts import checks, findings, label

if TYPE_CHECKING:
    from convcli.report import Record
    from convcli.verifier.fuzz.results import KindSummary
    from convcli.verifier.verdict import Check, LayerVerdict

ERRORS = {"crashed", "timed_out", "out_of_memory"}
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def render(record: Record) -> str:
    """The record as JUnit XML, a suite per source."""
    suites: dict[str, list[TestCase]] = {}
    if isinstance(record, Report):
        for network in record.reports:
            suites.setdefault(network.source, []).extend(_numbers(network.source, layer) for layer in network.layers)
    else:
        for kind in getattr(record, "kinds", ()):
            suites.setdefault("", []).append(_kind(kind))
        for verdict in record.layers:
            suites.setdefault(verdict.source, []).extend(_checked(verdict, check) for check in checks(verdict))
    return _document(f"convcli {record.command}", suites)


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


def _kind(kind: KindSummary) -> TestCase:
    """A passing case that tells what was made; failures are cases of their own."""
    case = _case("", kind.kind, f"{kind.cases} cases")
    numbers = {"cases": kind.cases, **kind.statuses, "pairs": f"{kind.pairs} of {kind.legal_pairs}"}
    case.system_out = "\n".join(f"{name}={number}" for name, number in numbers.items())
    return case


def _checked(layer: LayerVerdict, check: Check) -> TestCase:
    case = _case(layer.source, layer.name, label(check))
    case.time = check.seconds
    if check.status.good:
        return case
    kind = Skipped if check.status.idle else Error if check.status in ERRORS else Failure
    found = findings(check) or (check.status,)
    result = kind(legal(found[0]), check.status)
    result.text = legal("\n".join([*found, *filter(None, [layer.repro])]))
    case.result = [result]
    return case


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
