"""Record in, string out. Each renderer is imported when it is asked for: the calculator must start fast."""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING

from convcli.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.conventions.differs import Differences
    from convcli.explaining.record import Explanation
    from convcli.gate.changes import Diff
    from convcli.gate.findings import Gate
    from convcli.plan import Plan
    from convcli.receptive.record import FieldReport
    from convcli.records import Report
    from convcli.solver.records import Answer
    from convcli.timing.record import Bench
    from convcli.verifier.fuzz.results import FuzzOutcome
    from convcli.verifier.self_test import SelfTest
    from convcli.verifier.verdict import Outcome
    from convcli.zoo.record import Imports

    Trial = (
        Outcome
        | SelfTest
        | FuzzOutcome
        | Bench
        | Imports
        | Answer
        | Gate
        | Diff
        | Differences
        | Explanation
        | FieldReport
    )
    Record = Report | Trial

FORMATS = ("text", "json", "csv", "markdown", "junit", "github", "html")
ENDINGS = {".json": "json", ".md": "markdown", ".csv": "csv", ".xml": "junit", ".txt": "text", ".html": "html"}


def render(record: Record, form: str, plans: Sequence[Plan] = ()) -> str:
    """`record` in one of FORMATS, ending in one newline. Raises SpecError for any other.

    plans: of the record's networks, if html is to have pictures of their layers.
    """
    if form not in FORMATS:
        raise SpecError(f"format {form!r} is not known", field="--format", allowed=", ".join(FORMATS))
    more = (plans,) if form == "html" else ()
    rendered: str = import_module(f"convcli.report.{form}").render(record, *more)
    return rendered


def form_of(path: str | PurePath) -> str:
    """The format that a file's ending chooses. Raises SpecError, listing the endings, for an unknown one."""
    ending = PurePath(path).suffix.lower()
    if ending not in ENDINGS:
        found = f"ends in {ending}" if ending else "has no ending"
        raise SpecError(f"{str(path)!r} {found}", field="--output", allowed=", ".join(ENDINGS))
    return ENDINGS[ending]
