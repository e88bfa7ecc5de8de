"""`explain`: a question about a layer or a network, answered step by step: why another tool's number differs."""

from pathlib import Path
from typing import Annotated

import typer

from convcli.cli.options import LayerFlags, ReportFlags, StrictFlag, takes
from convcli.cli.output import Sink
from convcli.cli.sources import plans_of
from convcli.errors import SpecError


@takes(layer=LayerFlags, report=ReportFlags, strict=StrictFlag)
def explain(
    layer: LayerFlags,
    report: ReportFlags,
    strict: StrictFlag,
    why_differs: Annotated[
        bool,
        typer.Option(
            "--why-differs",
            help="What other calculators print, and why: [TOOL]... before the specs, of torchinfo, fvcore, thop,"
            " ptflops, torch, torchvision; all of them when none is named.",
        ),
    ] = False,
) -> None:
    """Where a number comes from: what torchinfo, fvcore, thop and others print for a network, and why.

    \b
    Example:
      convcli explain --why-differs thop fvcore sample_configs/networks/unet-decoder.yaml
    """
    sink = Sink(report)
    if not why_differs:
        raise SpecError("explain needs a question", allowed="--why-differs")
    tools, layer.specs = _apart(layer.specs or [])
    plans = plans_of(layer, strict=strict.strict)
    from convcli.conventions.differs import differences

    sink.emit(differences(plans, tools))


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
