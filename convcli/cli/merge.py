"""`merge`: the shards of a run joined into one report."""

from typing import Annotated

import typer

from convcli.cli.guard import Ended
from convcli.cli.options import ReportFlags, takes
from convcli.cli.output import Sink


@takes(report=ReportFlags)
def merge(
    report: ReportFlags,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="JSON reports of verify or bench, or journals of verify, fuzz, bench or import."
        ),
    ],
) -> None:
    """Join the results of all shards of a run (--shard 1/7 to 7/7) into the report of the whole.

    What is missing, there twice, or of other versions is refused by name. One journal alone becomes its report.
    --output FILE.jsonl takes the journal of the whole run, from the shards' journals.

    \b
    Example:
      convcli merge shard-1.jsonl shard-2.jsonl --output fuzz.md
    """
    sink = Sink(report, journals=True)
    from convcli.merging.merge import merge as joined

    outcome = joined(files, journal=sink.journal)
    sink.emit(outcome)
    raise Ended(outcome.exit_code)
