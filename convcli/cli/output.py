"""Where the answer goes: standard output carries the report and nothing else, files are written whole or not at all."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from convcli import report
from convcli.cli.options import ReportFlags
from convcli.errors import SpecError

if TYPE_CHECKING:
    from convcli.records import Report
    from convcli.verifier.verdict import Outcome


class Sink:
    """The flags of a report, checked before any work is done."""

    def __init__(self, flags: ReportFlags) -> None:
        if flags.format not in report.FORMATS:
            raise SpecError(f"--format {flags.format} is not known", allowed=", ".join(report.FORMATS))
        if flags.color not in {"auto", "always", "never"}:
            raise SpecError(f"--color {flags.color} is not known", allowed="auto, always, never")
        self.flags = flags
        self.files = [(path, report.format_of(path)) for path in flags.output or []]

    def emit(self, record: Report | Outcome) -> None:
        """Write the files, then standard output; with files and no --format asked for, the files are the answer."""
        for path, form in self.files:
            report.write(path, report.render(record, form, verbose=self.flags.verbose))
        if self.files and self.flags.format == "text" and self.flags.quiet:
            return
        if self.flags.format == "text" and wants_colour(self.flags.color):
            report.show(record, color=self.flags.color, quiet=self.flags.quiet, verbose=self.flags.verbose)
            return
        sys.stdout.write(report.render(record, self.flags.format, quiet=self.flags.quiet, verbose=self.flags.verbose))
        sys.stdout.flush()


def wants_colour(color: str) -> bool:
    """Whether standard output is drawn on: a terminal, unless told otherwise by --color, NO_COLOR or FORCE_COLOR."""
    if color != "auto":
        return color == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty()
