"""`check`: the gate. Flags in, exit code out."""

import os
from typing import Annotated

import typer

from convcli.cli.guard import Ended, say
from convcli.cli.options import LayerFlags, ReportFlags, StrictFlag, takes
from convcli.cli.output import Sink
from convcli.cli.sources import plans_of
from convcli.errors import SpecError


@takes(layer=LayerFlags, report=ReportFlags, strict=StrictFlag)
def check(
    layer: LayerFlags,
    report: ReportFlags,
    strict: StrictFlag,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="FILE", help="Refuse growth beyond the numbers in FILE.", show_default=False
        ),
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write the numbers of these specs to the baseline.")
    ] = False,
    tolerance: Annotated[
        str, typer.Option("--tolerance", metavar="PERCENT", help="How much each total may grow beyond the baseline.")
    ] = "0%",
    dtype: Annotated[str, typer.Option("--dtype", help="Data type that bytes are counted for.")] = "float32",
) -> None:
    """The gate of CI: what specs `expect`, their `budget`, and growth against a baseline; all that fails in one run.

    Ends with 0 when all holds, 1 when something does not, 2 for a wrong spec or flag, 3 for what could not be checked.

    \b
    Example:
      convcli check sample_configs/budget.yaml --format github --output check.md
    """
    sink = Sink(report)
    if update_baseline and baseline is None:
        raise SpecError("--update-baseline writes the file that --baseline names", repair="--baseline baseline.json")
    if baseline is not None and layer.specs:  # nets/* has the baseline in it
        held = os.path.realpath(baseline)
        layer.specs = [spec for spec in layer.specs if os.path.realpath(spec) != held]
    plans = plans_of(layer, strict=strict.strict)
    from convcli.gate import baseline as baselines
    from convcli.gate.check import gate

    read = baselines.read_if_there if update_baseline else baselines.read
    old = read(baseline) if baseline else None
    found = gate(plans, baseline=old, path=baseline or "", tolerance=tolerance, dtype=dtype, update=update_baseline)
    if baseline and update_baseline:
        from convcli.report.write import write

        new = baselines.updated(old, plans, baseline, dtype)
        write(baseline, baselines.text(new))
        say(f"{baseline}: {len(new.specs)} {'spec' if len(new.specs) == 1 else 'specs'} written")
    sink.emit(found)
    raise Ended(found.exit_code)
