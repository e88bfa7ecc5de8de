"""`check`: the totals before and after, what does not hold, and which layers changed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import UNSET

from convcli.gate.changes import delta
from convcli.gate.numbers import KEYS
from convcli.report.diff import MOST, layer_table, signed
from convcli.report.sheet import Case, Sheet
from convcli.report.table import Cell, Column, Row, Signed, Table
from convcli.units import counted, printable, shape
from convcli.verifier.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.gate.findings import Finding, Found, Gate, Gated

COLUMNS = (
    Column("total", right=False),
    Column("baseline", rank=2),
    Column("now"),
    Column("+/-", rank=1),
    Column("%", rank=3),
    Column("at most", rank=1),
    Column("used", rank=4),
    Column("status", right=False),
)
WORST = ("passed", "unchecked", "failed")
STATUSES = {"passed": Status.PASSED, "unchecked": Status.SKIPPED, "failed": Status.FAILED}


def sheet(record: Gate) -> Sheet:
    """Totals, then the layers that differ from the baseline's; every check is a case."""
    return Sheet(
        "check",
        tuple(_tables(record)),
        tuple(map(_case, record.checks)),
        record.checks,
        _about(record),
        _last_line(record),
        record.exit_code,
    )


def _tables(record: Gate) -> Iterator[Table]:
    rules: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in record.checks:
        rules[finding.source, finding.network].append(finding)
    quiet = [one for one in record.networks if _is_quiet(one, rules[one.source, one.name])]
    shown = [one for one in record.networks if one not in quiet or len(record.networks) == 1]
    for one in shown:
        heading = _called(one.source, one.name) if len(record.networks) > 1 else ""
        yield _totals(one, rules[one.source, one.name], heading)
        layers = layer_table(one.change, most=MOST) if one.change is not UNSET else None
        if layers and one.change is not UNSET and one.change.layers:
            yield layers
    if len(record.networks) > 1 and quiet:
        names = tuple(Row((_called(one.source, one.name),)) for one in quiet)
        yield Table("", (Column("holds, and is the same", right=False),), names)


def _is_quiet(one: Gated, findings: list[Finding]) -> bool:
    """Everything holds, and nothing has changed."""
    same = one.change is UNSET or not one.change.differs
    return same and not one.notes and all(finding.status == "passed" for finding in findings)


def _totals(one: Gated, findings: list[Finding], heading: str) -> Table:
    of_totals = [finding for finding in findings if finding.layer is UNSET]
    rows = [_total(one, key, [finding for finding in of_totals if finding.key == key]) for key in KEYS]
    used = [i for i in range(len(COLUMNS)) if i == 0 or any(row.cells[i] is not None for row in rows)]
    kept = tuple(Row(tuple(row.cells[i] for i in used), status=row.status) for row in rows)
    return Table(heading, tuple(COLUMNS[i] for i in used), kept, tuple(map(printable, one.notes)))


def _total(one: Gated, key: str, findings: list[Finding]) -> Row:
    """One number: against the baseline, and against the least of what its rules allow."""
    now, change = getattr(one.totals, key), UNSET if one.change is UNSET else getattr(one.change.totals, key)
    limits = [finding.allowed for finding in findings if isinstance(finding.allowed, int)]
    status = max((finding.status for finding in findings), key=WORST.index, default="")
    before: Cell = None
    difference: Cell = None
    percent = ""
    if change is not UNSET:
        before, difference = change.before, Signed(change.difference)
        percent = f"{change.percent:+.2f}%" if change.difference and change.percent is not UNSET else ""
    at_most = min(limits, default=None)
    used = f"{now / at_most:.1%}" if at_most and at_most > now // 10**6 else None
    return Row((key, before, now, difference, percent or None, at_most, used, status or None), status=status)


def _case(finding: Finding) -> Case:
    what = "total" if finding.layer is UNSET else printable(finding.layer)
    return Case(
        finding.source or finding.network or "convcli check",
        f"{what} {finding.key} ({finding.rule})",
        STATUSES[finding.status],
        tuple(map(printable, filter(None, _lines(finding)))),
        line=finding.line,
    )


def _lines(finding: Finding) -> Iterator[str]:
    """9,914 -> 18,106 (+8,192, +82.63%), at most 9,914 (+0%): 8,192 too many"""
    found, allowed, before = finding.found, finding.allowed, finding.baseline
    if finding.status == "unchecked":
        yield finding.detail
    elif finding.rule == "expect":
        yield f"expected {_written(allowed)}, found {_written(found)}{_gap(allowed, found)}"
        yield finding.detail
    elif isinstance(found, int) and isinstance(allowed, int):
        words = f"{found:,}"
        if before is not UNSET and before != found:
            words = f"{before:,} -> {found:,} ({signed(delta(before, found))})"
        most = f"at most {allowed:,}"
        if finding.said is not UNSET and "%" in finding.said:
            most += f" ({finding.said})"
        yield f"{words}, {most}" + (f": {found - allowed:,} too many" if finding.status == "failed" else "")
        yield f"grew: {finding.detail}" if finding.detail else ""


def _written(value: Found) -> str:
    if value is UNSET:
        return "nothing"
    return f"{value:,}" if isinstance(value, int) else shape(value) if isinstance(value, tuple) else str(value)


def _gap(expected: Found, found: Found) -> str:
    numbers = isinstance(expected, int) and isinstance(found, int)
    return f" ({found - expected:+,})" if numbers else ""  # type: ignore[operator]


def _called(source: str, name: str) -> str:
    return ": ".join(printable(part) for part in (source, name) if part) or "network"


def _about(record: Gate) -> str:
    words = [f"bytes for {record.dtype}"]
    if record.baseline is not UNSET:
        words.append(f"baseline {printable(record.baseline)}, which may grow by {record.tolerance}")
    if any(finding.rule == "baseline" and finding.status == "failed" for finding in record.checks):
        words.append("grown on purpose? --update-baseline agrees to it")
    return "; ".join(words)


def _last_line(record: Gate) -> str:
    """2 failed, 3 hold of 5 checks"""
    tally, total = record.summary, len(record.checks)
    if not total:
        said = "nothing was checked: no expect, no budget, no --baseline"
        return "the baseline is written" if record.updated else said
    words = [f"{tally.failed} failed"] if tally.failed else []
    words += [f"{tally.unchecked} could not be checked"] if tally.unchecked else []
    line = f"{', '.join(words)} of {counted(total, 'check')}" if words else f"{counted(total, 'check')}: all hold"
    return f"{line}; the baseline is written" if record.updated else line
