"""`fuzz`: layers at random against another implementation; every legal pair of factors first; the exit code."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Annotated, Any

import msgspec
import typer

from convcli.cli.guard import Ended
from convcli.cli.options import ReportFlags, takes
from convcli.cli.output import Sink
from convcli.cli.verify import bytes_of
from convcli.errors import SpecError

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@takes(report=ReportFlags)
def fuzz(
    report: ReportFlags,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="conv, conv_transpose, separable, deform_conv, deform_conv_pack; repeatable. All, if left out.",
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
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="BACKEND",
            help="The other side: torch (if left out), onnxruntime, onnx-reference, jax, or your own as module:name.",
            show_default=False,
        ),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            metavar="PLACE:FUNCTION",
            help="Test a function of your own instead: package.module:function or path/to/file.py:function.",
            show_default=False,
        ),
    ] = None,
    arrays: Annotated[
        str | None,
        typer.Option(
            "--arrays",
            metavar="LIBRARY",
            help="What --kernel is given: numpy arrays, if left out, or torch tensors.",
            show_default=False,
        ),
    ] = None,
    grad: Annotated[bool | None, typer.Option("--grad", help="Check every gradient too.", show_default=False)] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype", metavar="DTYPE", help="float64 or float32; repeatable. Both, if left out.", show_default=False
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Layers checked at once.", show_default=False)
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="BYTES",
            help="Skip layers that need more, as in 8GB; half of what is free, if left out.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Longest that a backend may take over one layer.")
    ] = 60.0,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="FILE.jsonl",
            help="Continue the run that wrote this file; its options are taken from it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw layers at random and cross-check each; make every failure as small as it gets.

    --output FILE.jsonl takes a line per case as it is done; --resume FILE.jsonl continues such a run.

    \b
    Example:
      convcli fuzz --kind conv --cases 20 --output run.jsonl --output fuzz.md
    """
    journals = [path for path in report.output or [] if PurePath(path).suffix.lower() == ".jsonl"]
    others = [path for path in report.output or [] if path not in journals]
    if len(journals) > 1:
        raise SpecError(f"{len(journals)} files end in .jsonl", field="--output", allowed="one of them")
    sink = Sink(msgspec.structs.replace(report, output=others))
    for name in dtype or ():
        if name not in {"float64", "float32"}:
            raise SpecError(f"--dtype {name} is not known", allowed="float64, float32")
    from convcli.verifier.fuzz.options import chosen
    from convcli.verifier.fuzz.run import fuzz as run

    given: dict[str, Any] = {
        "kinds": kind,
        "cases": cases,
        "duration": None if duration is None else _seconds(duration),
        "seed": seed,
    }
    given |= {"against": against, "kernel": kernel, "arrays": arrays, "grad": grad, "dtypes": dtype}
    with _progress(quiet=report.quiet) as progress:
        outcome = run(
            **chosen(given, resume),
            jobs=jobs,
            max_memory=None if max_memory is None else bytes_of(max_memory),
            timeout=timeout,
            journal=journals[0] if journals else None,
            resume=resume,
            progress=progress,
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


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int | None, int], None] | None]:
    """A bar on standard error when that is a terminal; it leaves no trace."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, failed: bar.update(
            task, completed=done, total=total, description=f"{done:,} cases, {failed:,} failed"
        )
