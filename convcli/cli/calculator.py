"""`shape`, `params`, `flops`, `summary`: flags in, report out."""

import gc
from functools import partial
from typing import Annotated

import msgspec
import typer

from convcli.cli import output
from convcli.cli.options import LayerFlags, ReportFlags, StrictFlag, takes
from convcli.cli.sources import plans_of, results_of
from convcli.errors import SpecError
from convcli.records import BYTES, FLOPS_WORDS, Command, Scope, network_record, record_of, report_of


class CountFlags(msgspec.Struct):
    """What the counts mean."""

    convention: Annotated[
        str, typer.Option("--convention", help="FLOPs: dense (2*macs), or strict (2*terms - 1 + bias per output).")
    ] = "dense"
    dtype: Annotated[str, typer.Option("--dtype", help="Data type that bytes are counted for.")] = "float32"
    backward: Annotated[bool, typer.Option("--backward", help="Add what the gradients cost.")] = False


class LikeFlag(msgspec.Struct):
    """Whose numbers to give."""

    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            metavar="TOOL",
            help="The numbers of torchinfo, fvcore, thop, ptflops, torch or torchvision.",
            show_default=False,
        ),
    ] = None


def _run(
    command: Command,
    layer: LayerFlags,
    report: ReportFlags,
    strict: StrictFlag,
    counts: CountFlags | None = None,
    like: LikeFlag | None = None,
) -> None:
    counts = counts or CountFlags()
    tool = like.like if like else None
    one_of("--convention", counts.convention, tuple(FLOPS_WORDS))
    one_of("--dtype", counts.dtype, tuple(BYTES))
    sink = output.Sink(report)
    scope = Scope(command, counts.convention, counts.dtype, counts.backward, tool or "")
    if tool is not None:
        from convcli.conventions.likeness import words

        words(scope)  # what is wrong with the flags comes before what is wrong with the specs
    gc.disable()  # a big spec makes millions of small records that all live to the end; collecting costs a third
    try:
        _report(sink, scope, layer, strict=strict.strict)
    finally:
        gc.enable()


def _report(sink: output.Sink, scope: Scope, layer: LayerFlags, *, strict: bool) -> None:
    if "html" not in sink.forms:
        sink.emit(report_of(results_of(layer, partial(record_of, scope=scope, strict=strict)), scope))
        return
    plans = plans_of(layer, strict=strict)  # the pictures are of them
    sink.emit(report_of([network_record(plan, scope) for plan in plans], scope), plans)


def one_of(flag: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a flag's value that is not one of `allowed`."""
    if value not in allowed:
        raise SpecError(f"{flag} {value} is not known", allowed=", ".join(allowed))


@takes(layer=LayerFlags, report=ReportFlags, strict=StrictFlag)
def shape(layer: LayerFlags, report: ReportFlags, strict: StrictFlag) -> None:
    """Output shape of every layer; receptive field, jump and start per axis.

    \b
    Example:
      convcli shape "Conv2d(3, 64, 7, stride=2, padding=3)" -i 1,3,224,224
    """
    _run("shape", layer, report, strict)


@takes(layer=LayerFlags, report=ReportFlags, strict=StrictFlag, like=LikeFlag)
def params(layer: LayerFlags, report: ReportFlags, strict: StrictFlag, like: LikeFlag) -> None:
    """Parameters, per tensor and in all; the bytes they take.

    \b
    Example:
      convcli params --type SeparableConv2d -i 1,32,56,56 --out-channels 64 --kernel-size 3
    """
    _run("params", layer, report, strict, like=like)


@takes(layer=LayerFlags, report=ReportFlags, strict=StrictFlag, counts=CountFlags, like=LikeFlag)
def flops(layer: LayerFlags, report: ReportFlags, strict: StrictFlag, counts: CountFlags, like: LikeFlag) -> None:
    """MACs and FLOPs, forward and --backward; bytes moved and arithmetic intensity.

    \b
    Example:
      convcli flops "ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1)" -i 1,16,10,10 --backward
    """
    _run("flops", layer, report, strict, counts, like)


@takes(layer=LayerFlags, report=ReportFlags, strict=StrictFlag, counts=CountFlags, like=LikeFlag)
def summary(layer: LayerFlags, report: ReportFlags, strict: StrictFlag, counts: CountFlags, like: LikeFlag) -> None:
    """Shapes, parameters, MACs and FLOPs in one table with totals.

    \b
    Example:
      convcli summary sample_configs/networks/resnet50.yaml --output report.md --output report.json
    """
    _run("summary", layer, report, strict, counts, like)
