"""The `convcli` command. Of the commands, only the one that is asked for is loaded, and all of them for help."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from convcli._version import __version__

ABOUT = "The convolution calculator and verifier: shapes, parameters, MACs and FLOPs, proved; kernels checked exactly."
COMMANDS = {
    "shape": "convcli.cli.calculator",
    "params": "convcli.cli.calculator",
    "flops": "convcli.cli.calculator",
    "summary": "convcli.cli.calculator",
    "receptive-field": "convcli.cli.field",
    "check": "convcli.cli.check",
    "diff": "convcli.cli.diff",
    "solve": "convcli.cli.solve",
    "explain": "convcli.cli.explain",
    "draw": "convcli.cli.draw",
    "verify": "convcli.cli.verify",
    "bench": "convcli.cli.bench",
    "fuzz": "convcli.cli.fuzz",
    "merge": "convcli.cli.merge",
    "import": "convcli.cli.imports",
    "schema": "convcli.cli.schema",
}

KEYWORDS = {"import": "import_"}  # what no function can be called


def app(arguments: list[str]) -> typer.Typer:
    """The Typer application that can run `arguments`: with the one command that they name, or with all."""
    one = arguments[:1] if arguments and arguments[0] in COMMANDS and "_CONVCLI_COMPLETE" not in os.environ else None
    made = typer.Typer(
        name="convcli",
        help=ABOUT,
        no_args_is_help=True,
        rich_markup_mode=None,  # rich's help writes escapes into pipes under GITHUB_ACTIONS, whatever NO_COLOR says
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    made.callback()(convcli)
    for name in one or COMMANDS:
        made.command(name)(getattr(import_module(COMMANDS[name]), KEYWORDS.get(name, name.replace("-", "_"))))
    return made


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"convcli {__version__}\n")
        raise typer.Exit


def convcli(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The convolution calculator and verifier: shapes, parameters, MACs and FLOPs, proved; kernels checked exactly."""


def run(command_line: typer.Typer) -> None:
    """Run the command that `sys.argv` names; ends in SystemExit."""
    _open_streams()
    try:
        command_line(prog_name="convcli")
    except SystemExit as end:
        if end.code == 1 and type(sys.stdout).__name__ == "PacifyFlushWrapper":  # Typer's sign of a closed pipe
            sys.exit(0)
        raise


def _open_streams() -> None:
    """Standard streams that a caller closed become the null device; what a console cannot show, a question mark."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
