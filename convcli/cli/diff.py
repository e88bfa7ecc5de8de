"""`diff`: what changed between two networks."""

from typing import Annotated

import typer

from convcli.cli.calculator import one_of
from convcli.cli.guard import Ended
from convcli.cli.options import ReportFlags, StrictFlag, takes
from convcli.cli.output import Sink
from convcli.records import BYTES, FLOPS_WORDS
from convcli.spec.build import inputs_of


@takes(report=ReportFlags, strict=StrictFlag)
def diff(
    report: ReportFlags,
    strict: StrictFlag,
    before: Annotated[str, typer.Argument(metavar="A", help="A spec, a layer, a JSON report, or FILE@REVISION.")],
    after: Annotated[str, typer.Argument(metavar="B", help="What became of it.")],
    shape: Annotated[
        str | None,
        typer.Option("--input", "-i", metavar="SHAPE", help="Input shape for both sides.", show_default=False),
    ] = None,
    convention: Annotated[
        str | None, typer.Option("--convention", help="FLOPs: dense (if left out) or strict.", show_default=False)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="Data type that bytes are counted for: float32, if left out.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The layers that are the same, too.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 when anything differs.")] = False,
) -> None:
    """What changed between two networks, per layer and in all; renamed and moved layers are found again.

    net.yaml@HEAD~1, net.yaml@main: the file as it was at that git revision.

    \b
    Example:
      convcli diff "Conv2d(3, 4, 3)" "SeparableConv2d(3, 4, 3)" -i 1,3,8,8
    """
    sink = Sink(report)
    if convention is not None:
        one_of("--convention", convention, tuple(FLOPS_WORDS))
    if dtype is not None:
        one_of("--dtype", dtype, tuple(BYTES))
    from convcli.gate.sides import diff as difference

    found = difference(
        before,
        after,
        input=None if shape is None else inputs_of(shape),
        convention=convention,
        dtype=dtype,
        everything=everything,
        strict=strict.strict,
    )
    sink.emit(found)
    raise Ended(1 if exit_code and found.differs else 0)
