"""`explain`: every formula of a layer with its numbers put in; or why another tool's number differs."""

from pathlib import Path
from typing import Annotated

import typer

from convcli.cli.field import cell_of
from convcli.cli.options import LayerFlags, ReportFlags, StrictFlag, takes
from convcli.cli.output import Sink
from convcli.cli.sources import plans_of
from convcli.errors import SpecError


@takes(flags=LayerFlags, report=ReportFlags, strict=StrictFlag)
def explain(
    flags: LayerFlags,
    report: ReportFlags,
    strict: StrictFlag,
    layer: Annotated[
        str | None,
        typer.Option("--layer", metavar="NAME", help="The layer to explain; all of them.", show_default=False),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            "--cell", metavar="CELL", help="List the taps of this output cell, as in 0,1.", show_default=False
        ),
    ] = None,
    section: Annotated[
        list[str] | None,
        typer.Option(
            "--section",
            metavar="TITLE",
            help="Only the sections of which this is a part of the title: MACs, matrix, ... Repeatable.",
            show_default=False,
        ),
    ] = None,
    why_differs: Annotated[
        bool,
        typer.Option(
            "--why-differs",
            help="What other calculators print, and why: [TOOL]... before the specs, of torchinfo, fvcore, thop,"
            " ptflops, torch, torchvision; all of them when none is named.",
        ),
    ] = False,
) -> None:
    """Each formula with the layer's numbers put in, step by step; or why another tool prints another number.

    \b
    Example:
      convcli explain "Conv2d(3, 64, 7, stride=2, padding=3)" -i 1,3,224,224
    """
    sink = Sink(report)
    if why_differs:
        tools, flags.specs = _apart(flags.specs or [])
        plans = plans_of(flags, strict=strict.strict)
        from convcli.conventions.differs import differences

        sink.emit(differences(plans, tools))
        return
    at = None if cell is None else cell_of(cell, "--cell")
    try:
        plans = plans_of(flags, strict=strict.strict)
    except SpecError as error:
        raise error.explained from None
    from convcli.explaining.record import explain as explained

    sink.emit(explained(*plans, layer=layer, cell=at, sections=section or ()), plans)


def _apart(words: list[str]) -> tuple[list[str], list[str]]:
    """The names of tools among the words, and the rest. SpecError for a name that is nearly one and no file."""
    from convcli.conventions import named, nearest

    tools = [name for word in words if _names(word) for name in word.split(",")]
    specs = [word for word in words if not _names(word)]
    for word in specs:
        if word.replace("-", "").isalnum() and word != "-" and nearest(word) and not Path(word).exists():
            named(word, "--why-differs")
    return [name.strip().lower() for name in tools], specs


def _names(word: str) -> bool:
    from convcli.conventions import HOMES

    return all(name.strip().lower() in HOMES for name in word.split(","))
