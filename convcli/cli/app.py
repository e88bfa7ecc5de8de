"""The `convcli` command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from convcli._version import __version__
from convcli.cli import calculator
from convcli.cli.schema import schema

app = typer.Typer(
    name="convcli",
    help="The convolution calculator and verifier: shapes, parameters, MACs and FLOPs, proved; kernels checked exactly.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help writes escapes into pipes under GITHUB_ACTIONS, whatever NO_COLOR says
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (calculator.shape, calculator.params, calculator.flops, calculator.summary, schema):
    app.command()(command)


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callback form
    if wanted:
        sys.stdout.write(f"convcli {__version__}\n")
        raise typer.Exit


@app.callback()
def convcli(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,  # noqa: ARG001, FBT002
) -> None:
    """The convolution calculator and verifier: shapes, parameters, MACs and FLOPs, proved; kernels checked exactly."""


def main() -> None:
    """Entry point of the `convcli` command and of `python -m convcli`."""
    for stream in (sys.stdout, sys.stderr):  # a console that cannot show a character gets a question mark, not an error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()
