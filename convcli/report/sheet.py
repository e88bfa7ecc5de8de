"""Reports that are neither a calculator's nor of layers verified: tables, what was found case by case, a last line.

Each such record has a function that makes its sheet; text, markdown, csv, JUnit and GitHub all draw the sheet.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

import msgspec
from msgspec import UNSET, UnsetType

from convcli.report.table import Table
from convcli.units import printable
from convcli.verifier.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.records import Report
    from convcli.report import Record, Trial
    from convcli.verifier.verdict import Outcome

SHEETS = {
    "Bench": ("convcli.report.bench", "sheet"),
    "Diff": ("convcli.report.diff", "sheet"),
    "Differences": ("convcli.report.differs", "sheet"),
    "Explanation": ("convcli.report.explaining", "sheet"),
    "FieldReport": ("convcli.report.field", "sheet"),
    "FuzzOutcome": ("convcli.report.fuzzing", "sheet"),
    "Gate": ("convcli.report.gate", "sheet"),
    "Imports": ("convcli.report.importing", "sheet"),
    "Reading": ("convcli.report.solving", "reading_sheet"),
    "Repairs": ("convcli.report.solving", "repairs_sheet"),
    "SelfTest": ("convcli.report.self_test", "sheet"),
    "Ways": ("convcli.report.solving", "ways_sheet"),
}


class Case(msgspec.Struct, frozen=True):
    """Something that was tested: a test case of JUnit, an annotation of GitHub unless all is well. detail: its lines.

    line: where it stands in the spec file that `group` then is.
    """

    group: str
    name: str
    status: Status = Status.PASSED
    detail: tuple[str, ...] = ()
    seconds: float = 0.0
    line: int | UnsetType = UNSET

    @property
    def place(self) -> str:
        """net.yaml:12, when that is known."""
        return "" if self.line is UNSET else f"{self.group}:{self.line}"


class Sheet(msgspec.Struct, frozen=True):
    """title: verify --self-test. rows: the records that are csv's rows. about: what it was made with, for the foot.

    verdict: whether it passed is part of it; `diff` only tells.
    """

    title: str
    tables: tuple[Table, ...]
    cases: tuple[Case, ...]
    rows: tuple[Any, ...]
    about: str
    last_line: str
    exit_code: int
    verdict: bool = True

    @property
    def mark(self) -> str:
        """passed, failed or incomplete."""
        return {0: "passed", 1: "failed"}.get(self.exit_code, "incomplete")

    @property
    def told(self) -> tuple[Case, ...]:
        """The cases to speak of."""
        return tuple(case for case in self.cases if not case.status.good)


@overload
def drawn(record: Report) -> Report: ...


@overload
def drawn(record: Trial) -> Outcome | Sheet: ...


def drawn(record: Record) -> Report | Outcome | Sheet:
    """The record itself, or the sheet that stands for it."""
    home = SHEETS.get(type(record).__name__)
    found: Any = getattr(import_module(home[0]), home[1])(record) if home else record
    return found  # type: ignore[no-any-return]


def case_lines(case: Case) -> Iterator[str]:
    """FAILED  name  net.yaml:12, or whatever became of it, and its detail indented."""
    yield "  ".join(filter(None, [case.status.upper(), case.name, printable(case.place)]))
    yield from (f"  {line}" for line in case.detail)
