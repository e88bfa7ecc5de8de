"""`import`: a spec from a torch model or an ONNX file."""

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from convcli.cli.guard import say
from convcli.cli.options import DebugFlag, takes
from convcli.errors import BackendMissing, SpecError

if TYPE_CHECKING:
    from convcli.importer.graph import Graph
    from convcli.importer.torch.load import Input


@takes(debug=DebugFlag)
def import_(
    debug: DebugFlag,  # noqa: ARG001 - read by the guard
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="module:callable or file.py:callable (a class, a function, or the module itself); or FILE.onnx.",
            show_default=False,
        ),
    ] = None,
    input: Annotated[  # noqa: A002 - the flag's name
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="SHAPE",
            help="Input shape, 1,3,224,224, or 1,128:int64 with a data type; ONNX: name=1,3,224,224. Repeatable.",
            show_default=False,
        ),
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(
            "--arg",
            metavar="NAME=VALUE",
            help="What the callable is given. Data, not code. Repeatable.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE instead.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The spec's name; the callable's, if left out.", show_default=False)
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Where the model asks for a value, keep what came before.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Really build and run it, on zeros: for a model that asks for values.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Name torchvision's models, their parameters and published GMACs.")
    ] = False,
) -> None:
    """Make a spec from a torch model or an ONNX file, without computing anything and without weights in memory.

    The model's code is imported and runs, on tensors that have a shape and no values. Published weights are neither
    fetched nor loaded: --arg weights=DEFAULT gives the model that they are for.

    \b
    Example:
      convcli import torchvision.models:resnet50 -i 1,3,224,224 -o resnet50.yaml
    """
    if list_:
        _list(target or "")
        return
    if target is None:
        raise SpecError("there is no model to import", allowed="module:callable, or --list for torchvision's models")
    if target.lower().endswith(".onnx"):
        told = [flag for flag, said in (("--arg", arg), ("--partial", partial), ("--run", run)) if said]
        if told:
            raise SpecError(f"{', '.join(told)}: an ONNX file is read, not run", allowed="-i, -o, --name")
        _write(_onnx(target, input or [], name or ""), output)
        return
    from convcli.importer.target import arguments

    shapes, given = [_shape(one) for one in input or ()], arguments(arg or [])
    if find_spec("torch") is None:
        raise BackendMissing('torch is not installed; pip install "convcli[torch]"')
    from convcli.importer.torch.load import torch_graph

    _write(torch_graph(target, *shapes, name=name or "", run=run, partial=partial, **given), output)


def _onnx(path: str, inputs: list[str], name: str) -> "Graph":
    from convcli.importer.onnx.load import onnx_graph
    from convcli.spec.build import inputs_of
    from convcli.spec.load import contents

    if len(inputs) > 1 and not all("=" in one for one in inputs):
        raise SpecError("several inputs need their names", field="--input", allowed="-i name=1,3,224,224, for each")
    given = inputs_of(" ".join(inputs)) if inputs else None
    return onnx_graph(contents(path), path, given, name=name)


def _write(graph: "Graph", output: str | None) -> None:
    from convcli.importer.document import text
    from convcli.report.write import write

    for note in graph.notes:
        say(note)
    unknown = sorted({str(node.fields["operation"]) for node in graph.nodes if node.type == "Unknown"})
    if unknown:
        say(f"nobody has stated the cost of {', '.join(unknown)}: the totals are lower bounds")
    if output is None:
        sys.stdout.write(text(graph))
        return
    write(output, text(graph))
    params = "" if graph.params is None else f", {graph.params:,} parameters"
    say(f"{output}: {len(graph.nodes)} layers{params}")


def _shape(said: str) -> "Input":
    from convcli.spec.build import shape_of

    sizes, colon, dtype = said.partition(":")
    shape = shape_of(sizes)
    return (shape, dtype) if colon else shape


def _list(start: str) -> None:
    """The models whose names contain `start`, one a line."""
    from convcli.importer.zoo import listed

    found = listed()
    if not found:
        raise BackendMissing('torchvision is not installed; pip install "convcli[torch]"')
    wanted = [one for one in found if start in one.name]
    if not wanted:
        raise SpecError(f"no model of torchvision has {start!r} in its name", allowed="--list alone names them all")
    names, targets = (max(len(getattr(one, word)) for one in wanted) for word in ("name", "target"))
    for one in wanted:
        params = "" if one.params is None else f"{one.params:,}"
        gmacs = "" if one.gmacs is None else f"{one.gmacs:.3f}"
        line = f"{one.name:<{names}}  {one.target:<{targets}}  {params:>13}  {gmacs:>9}"
        sys.stdout.write(line.rstrip() + "\n")
