"""`import`: a spec from a torch model or an ONNX file, or a directory of specs from many of them."""

import os
import sys
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convcli.cli.guard import Ended, say
from convcli.cli.options import ReportFlags, takes
from convcli.cli.trials import ExecutorOption, ShardOption, progress_bar
from convcli.errors import BackendMissing, SpecError

if TYPE_CHECKING:
    from convcli.importer.asked import Asked
    from convcli.importer.graph import Graph

MANY = "Several models"


@takes(report=ReportFlags)
def import_(
    report: ReportFlags,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
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
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", help="Models imported at once.", show_default=False, rich_help_panel=MANY),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="Longest that one model may take; 300, if left out.",
            show_default=False,
            rich_help_panel=MANY,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="DIR/import.jsonl",
            help="Continue the run of these models that wrote this file.",
            show_default=False,
            rich_help_panel=MANY,
        ),
    ] = None,
    shard: ShardOption = None,
    executor: ExecutorOption = None,
) -> None:
    """Make a spec from a torch model or an ONNX file, without computing anything and without weights in memory.

    The model's code is imported and runs, on tensors that have a shape and no values. Published weights are neither
    fetched nor loaded: --arg weights=DEFAULT gives the model that they are for.

    Several models go to a directory, -o DIR, each imported in a process of its own. --format and -o FILE.md are the
    report on all of them, DIR/import.jsonl is the journal that --resume continues.

    \b
    Example:
      convcli import torchvision.models:resnet50 -i 1,3,224,224 -o resnet50.yaml
      convcli import torchvision.models:resnet18 my_net.py:Net net.onnx -i 1,3,224,224 -o zoo/
    """
    if list_:
        _list(targets or [""])
        return
    if not targets:
        raise SpecError("there is no model to import", allowed="module:callable, or --list for torchvision's models")
    from convcli.importer.asked import Asked, graph_of, is_onnx
    from convcli.importer.target import arguments

    asked = Asked(tuple(input or ()), arguments(arg or []), partial, run)
    how = {"jobs": jobs, "timeout": timeout, "resume": resume, "shard": shard, "executor": executor}
    given = {name: value for name, value in how.items() if value is not None}
    if len(targets) > 1 or given or report.format != "text" or any(map(_is_directory, report.output or ())):
        _many(targets, asked, report, name, given)
    if is_onnx(targets[0]):
        asked.only_read()
    _write(graph_of(targets[0], asked, name or ""), report.output)


def _many(targets: list[str], asked: "Asked", report: ReportFlags, name: str | None, given: dict[str, Any]) -> None:
    """A directory of specs, and the report."""
    if name is not None:
        raise SpecError("--name is one model's", allowed="several have their own")
    from convcli.cli.output import Sink
    from convcli.zoo.run import import_models

    directory, report.output = _places(report.output or [])
    sink = Sink(report)
    with progress_bar(quiet=report.quiet) as progress:
        record = import_models(
            targets,
            *asked.inputs,
            directory=directory,
            arguments=asked.arguments,
            partial=asked.partial,
            run=asked.run,
            progress=progress,
            **given,
        )
    sink.emit(record)
    raise Ended(record.exit_code)


def _places(outputs: list[str]) -> tuple[str | None, list[str]]:
    """(the directory, the report's files) among what --output names."""
    from convcli.report import ENDINGS

    files = [path for path in outputs if not _is_directory(path) and PurePath(path).suffix.lower() in ENDINGS]
    rest = [path for path in outputs if path not in files]
    specs = [path for path in rest if PurePath(path).suffix in {".yaml", ".yml", ".jsonl"} and not _is_directory(path)]
    if specs or len(rest) > 1:
        wrong = specs[0] if specs else " ".join(rest)
        raise SpecError(f"--output {wrong}: several models go to one directory", allowed="-o specs/")
    return (rest[0] if rest else None), files


def _is_directory(path: str) -> bool:
    """Whether it says so."""
    return path.endswith(("/", os.sep))


def _write(graph: "Graph", outputs: list[str] | None) -> None:
    from convcli.importer.asked import told
    from convcli.importer.document import text
    from convcli.report.write import write

    for note in told(graph):
        say(note)
    if not outputs:
        sys.stdout.write(text(graph))
        return
    write(outputs[-1], text(graph))
    params = "" if graph.params is None else f", {graph.params:,} parameters"
    say(f"{outputs[-1]}: {len(graph.nodes)} layers{params}")


def _list(starts: list[str]) -> None:
    """The models whose names contain one of `starts`, one a line."""
    from convcli.importer.zoo import listed

    found = listed()
    if not found:
        raise BackendMissing('torchvision is not installed; pip install "convcli[torch]"')
    wanted = [one for one in found if any(start in one.name for start in starts)]
    if not wanted:
        raise SpecError(
            f"no model of torchvision has {' or '.join(starts)!r} in its name", allowed="--list alone names them all"
        )
    names, targets = (max(len(getattr(one, word)) for one in wanted) for word in ("name", "target"))
    for one in wanted:
        params = "" if one.params is None else f"{one.params:,}"
        gmacs = "" if one.gmacs is None else f"{one.gmacs:.3f}"
        line = f"{one.name:<{names}}  {one.target:<{targets}}  {params:>13}  {gmacs:>9}"
        sys.stdout.write(line.rstrip() + "\n")
