"""Where the answer goes: standard output carries the report and nothing else, files are written whole or not at all."""

from __future__ import annotations

import os
import sys
from functools import lru_cache, partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from convcli import report
from convcli.cli.options import ReportFlags
from convcli.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.plan import Plan
    from convcli.report import Record


class Sink:
    """The flags of a report, checked before any work is done. journal: the file of --output that takes JSON lines."""

    def __init__(self, flags: ReportFlags, *, journals: bool = False) -> None:
        """journals: whether the command can write one."""
        lines = [path for path in flags.output or [] if journals and PurePath(path).suffix.lower() == ".jsonl"]
        if len(lines) > 1:
            raise SpecError(f"{len(lines)} files end in .jsonl", field="--output", allowed="one of them")
        self.journal = lines[0] if lines else None
        if flags.format not in report.FORMATS:
            raise SpecError(f"--format {flags.format} is not known", allowed=", ".join(report.FORMATS))
        if flags.color not in {"auto", "always", "never"}:
            raise SpecError(f"--color {flags.color} is not known", allowed="auto, always, never")
        self.flags = flags
        self.files = [(path, report.form_of(path)) for path in flags.output or [] if path not in lines]

    @property
    def forms(self) -> set[str]:
        """The formats that are asked for."""
        return {self.flags.format, *(form for _, form in self.files)}

    def emit(self, record: Record, plans: Sequence[Plan] = ()) -> None:
        """Write the files, then standard output. --quiet leaves the calculator's standard output empty.

        plans: of the record's networks, for the pictures of html.
        """
        from convcli.records import Report

        rendered = lru_cache(1)(partial(report.render, record, plans=plans))  # a file often wants what stdout shows
        for path, form in self.files:
            from convcli.report.write import write

            write(path, rendered(form))
        if self.flags.quiet and isinstance(record, Report):
            return
        if self.flags.format != "text":
            sys.stdout.write(rendered(self.flags.format))
        elif draws(self.flags.color):
            self._draw(record)
        else:
            from convcli.report.text import plain

            sys.stdout.write(plain(record, verbose=self.flags.verbose, quiet=self.flags.quiet))
        sys.stdout.flush()

    def _draw(self, record: Record) -> None:
        from rich.console import Console

        from convcli.report.terminal import show

        forced = self.flags.color == "always"
        console = Console(force_terminal=forced or None, no_color=False if forced else None, highlight=False)
        show(record, console, verbose=self.flags.verbose, quiet=self.flags.quiet)


def draws(color: str) -> bool:
    """Whether standard output is drawn on: a terminal, unless told otherwise by --color or FORCE_COLOR."""
    if color != "auto":
        return color == "always"
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
