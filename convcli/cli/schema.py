"""`schema`: the JSON Schema of a spec file."""

import sys
from typing import Annotated

import msgspec
import typer

from convcli.cli.options import DebugFlag, takes


@takes(debug=DebugFlag)
def schema(
    debug: DebugFlag,  # noqa: ARG001 - read by the guard
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Write to FILE instead.", show_default=False)
    ] = None,
) -> None:
    """The JSON Schema of a spec file, for editors.

    \b
    Example:
      convcli schema --output convcli.schema.json
    """
    from convcli.report.write import write
    from convcli.spec.schema import schema as spec_schema

    text = msgspec.json.format(msgspec.json.encode(spec_schema())).decode() + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        write(output, text)
