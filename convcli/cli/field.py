"""`receptive-field`: what one output cell of a network sees."""

from typing import Annotated

import typer

from convcli.cli.options import LayerFlags, ReportFlags, takes
from convcli.cli.output import Sink
from convcli.cli.sources import plans_of
from convcli.errors import SpecError


@takes(flags=LayerFlags, report=ReportFlags)
def receptive_field(
    flags: LayerFlags,
    report: ReportFlags,
    layer: Annotated[
        str | None,
        typer.Option("--layer", metavar="NAME", help="The layer whose output it is; the last one.", show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="CELL", help="The cell, as in 3,4; the middle one.", show_default=False),
    ] = None,
) -> None:
    """What one output cell sees of the input: its field, the cells that are really read, gridding and its cure.

    \b
    Example:
      convcli receptive-field sample_configs/worked/gridding.yaml --layer second --at 3,4
    """
    sink = Sink(report)
    cell = None if at is None else cell_of(at, "--at")
    plans = plans_of(flags)
    from convcli.receptive.record import receptive_field as seen

    sink.emit(seen(*plans, layer=layer, at=cell))


def cell_of(typed: str, flag: str) -> tuple[int, ...]:
    """3,4 as (3, 4)."""
    words = typed.replace("x", ",").split(",")
    if not all(word.strip().isdecimal() and len(word) < 20 for word in words):
        raise SpecError(f"{typed!r} is no cell", field=flag, allowed="an index per spatial axis, as in 3,4")
    return tuple(map(int, words))
