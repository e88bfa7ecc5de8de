"""`fuzz`: layers at random against another implementation; every legal pair of factors first; the exit code."""

import re
from typing import Annotated, Any

import typer

from convcli.cli.guard import Ended
from convcli.cli.options import ReportFlags, takes
from convcli.cli.output import Sink
from convcli.cli.trials import ExecutorOption, ShardOption, TrialFlags, progress_bar
from convcli.errors import SpecError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@takes(report=ReportFlags, trial=TrialFlags)
def fuzz(
    report: ReportFlags,
    trial: TrialFlags,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="conv, conv_transpose, separable, deform_conv, deform_conv_pack, deform_roi_pool, "
            "deform_roi_pool_pack; repeatable. All, if left out.",
            show_default=False,
        ),
    ] = None,
    cases: Annotated[
        int | None,
        typer.Option("--cases", "-n", metavar="N", help="Cases of each kind; 200, if left out.", show_default=False),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--duration", metavar="TIME", help="Go on for 90s, 10m or 2h instead.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            help="Case 17 of a kind is the same for the same seed, everywhere; 0, if left out.",
            show_default=False,
        ),
    ] = None,
    grad: Annotated[bool | None, typer.Option("--grad", help="Check every gradient too.", show_default=False)] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="FILE.jsonl",
            help="Continue the run that wrote this file; its options are taken from it.",
            show_default=False,
        ),
    ] = None,
    shard: ShardOption = None,
    executor: ExecutorOption = None,
) -> None:
    """Draw layers at random and cross-check each; make every failure as small as it gets.

    --output FILE.jsonl takes a line per case as it is done; --resume FILE.jsonl continues such a run.

    \b
    Example:
      convcli fuzz --kind conv --cases 20 --output run.jsonl --output fuzz.md
    """
    sink = Sink(report, journals=True)
    trial.check()
    from convcli.verifier.fuzz.options import chosen
    from convcli.verifier.fuzz.run import fuzz as run

    given: dict[str, Any] = {
        "kinds": kind,
        "cases": cases,
        "duration": None if duration is None else _seconds(duration),
        "seed": seed,
    }
    given |= {"against": trial.against, "kernel": trial.kernel, "arrays": trial.arrays}
    given |= {"grad": grad, "dtypes": trial.dtype, "shard": shard}
    with progress_bar(quiet=report.quiet) as bar:
        outcome = run(
            **chosen(given, resume),
            **trial.limits,
            journal=sink.journal,
            resume=resume,
            executor=executor,
            progress=bar and (lambda done, total, failed: bar(done, total, f"{done:,} cases, {failed:,} failed")),
        )
    sink.emit(outcome)
    raise Ended(outcome.exit_code)


def _seconds(typed: str) -> float:
    """10m as 600."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", typed.strip())
    if not match:
        raise SpecError(
            f"{typed!r} is no time", field="--duration", allowed="a number of seconds, or as in 90s, 10m, 2h"
        )
    return float(match[1]) * UNITS[match[2]]
