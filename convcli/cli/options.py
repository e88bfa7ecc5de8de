"""The flags, each defined once; commands name the groups of them that they take.

Annotations are evaluated here and in the commands, not postponed: Typer reads them on every start.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import msgspec
import typer

from convcli.cli.guard import guarded

LAYER = "Layer by flags"
REPORT = "Report"


class LayerFlags(msgspec.Struct):
    """A layer described by flags, as the texts that were typed; None is a flag that was not given."""

    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SPEC]...",
            help="Spec files, - for standard input, or layers: 'Conv2d(3, 64, 7, stride=2)'.",
            show_default=False,
        ),
    ] = None
    input: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            metavar="SHAPE",
            help="Input shape N,C,spatial...: 1,3,224,224 or 1x3x224x224; of ONNX files by name, too: x=1,3,224,224.",
            show_default=False,
        ),
    ] = None
    type: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="TYPE", help="Layer type, as in Conv2d.", show_default=False, rich_help_panel=LAYER
        ),
    ] = None
    in_channels: Annotated[
        str | None,
        typer.Option(
            "--in-channels",
            metavar="N",
            help="Taken from the input when left out.",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    out_channels: Annotated[
        str | None,
        typer.Option("--out-channels", metavar="N", help="Output channels.", show_default=False, rich_help_panel=LAYER),
    ] = None
    kernel_size: Annotated[
        str | None,
        typer.Option(
            "--kernel-size", metavar="N", help="7, or 3,5 for one per axis.", show_default=False, rich_help_panel=LAYER
        ),
    ] = None
    stride: Annotated[
        str | None,
        typer.Option(
            "--stride", metavar="N", help="2, or 2,1 for one per axis.", show_default=False, rich_help_panel=LAYER
        ),
    ] = None
    padding: Annotated[
        str | None,
        typer.Option(
            "--padding",
            metavar="N",
            help="3; 1,2; [[0,1],[1,2]]; same, valid, same_upper, same_lower.",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    dilation: Annotated[
        str | None,
        typer.Option(
            "--dilation", metavar="N", help="Distance between taps.", show_default=False, rich_help_panel=LAYER
        ),
    ] = None
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups",
            metavar="N",
            help="Groups of channels; in_channels of them is depthwise.",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    bias: Annotated[
        bool | None,
        typer.Option(
            "--bias/--no-bias", help="Whether there is a bias; there is.", show_default=False, rich_help_panel=LAYER
        ),
    ] = None
    padding_mode: Annotated[
        str | None,
        typer.Option(
            "--padding-mode",
            metavar="MODE",
            help="zeros, reflect, replicate, circular.",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    output_padding: Annotated[
        str | None,
        typer.Option(
            "--output-padding",
            metavar="N",
            help="Transposed layers: cells added at the end.",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    depth_multiplier: Annotated[
        str | None,
        typer.Option(
            "--depth-multiplier",
            metavar="N",
            help="Depthwise, separable: filters per input channel.",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    pointwise_bias: Annotated[
        bool | None,
        typer.Option(
            "--pointwise-bias/--no-pointwise-bias",
            help="Separable: follows --bias.",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    offset_groups: Annotated[
        str | None,
        typer.Option(
            "--offset-groups",
            metavar="N",
            help="Deformable: groups of input channels that share offsets.",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    modulated: Annotated[
        bool | None,
        typer.Option(
            "--modulated/--no-modulated",
            help="Deformable: with a mask (DCNv2).",
            show_default=False,
            rich_help_panel=LAYER,
        ),
    ] = None
    input_layout: Annotated[
        str | None,
        typer.Option("--input-layout", metavar="LAYOUT", help="channels_first or channels_last.", show_default=False),
    ] = None


class StrictFlag(msgspec.Struct):
    """For the commands that work networks out."""

    strict: Annotated[bool, typer.Option("--strict", help="Refuse a network with a layer whose cost is unknown.")] = (
        False
    )


class ReportFlags(msgspec.Struct):
    """How and where the answer appears."""

    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="text, json, csv, markdown, junit, github or html.",
            rich_help_panel=REPORT,
        ),
    ] = "text"
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write to FILE, whole or not at all; .json .csv .md .xml .txt .html choose the format. Repeatable.",
            show_default=False,
            rich_help_panel=REPORT,
        ),
    ] = None
    color: Annotated[
        str, typer.Option("--color", metavar="WHEN", help="auto, always or never.", rich_help_panel=REPORT)
    ] = "auto"
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only what fails, and errors.", rich_help_panel=REPORT)
    ] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Everything there is to say.", rich_help_panel=REPORT)
    ] = False
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an internal error.", rich_help_panel=REPORT)
    ] = False


class DebugFlag(msgspec.Struct):
    """For the commands that report nothing."""

    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an internal error.")] = False


def takes(**groups: type[msgspec.Struct]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the flags of whole groups: the command takes each group as one argument, Typer sees the flags."""

    def grouped(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in signature.parameters.values() if p.name not in groups]
        flags = {name: _parameters(group) for name, group in groups.items()}

        @wraps(command)
        def flat(**values: Any) -> None:
            values_form, values_debug = values.get("format", "text"), values.get("debug", False)
            packed = {
                name: group(**{p.name: values.pop(p.name) for p in flags[name]}) for name, group in groups.items()
            }
            code = guarded(lambda: command(**packed, **values), form=values_form, debug=values_debug)
            if code:
                raise typer.Exit(code)

        parameters = [p for group in flags.values() for p in group] + own
        flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        flat.__annotations__ = {p.name: p.annotation for p in parameters}
        del flat.__wrapped__
        return flat

    return grouped


def _parameters(group: type[msgspec.Struct]) -> list[inspect.Parameter]:
    hints = group.__annotations__
    defaults = dict(zip(group.__struct_fields__, group.__struct_defaults__, strict=True))
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hint)
        for name, hint in hints.items()
    ]
