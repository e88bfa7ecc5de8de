"""`bench`: numpy against torch and others, in time."""

from typing import Annotated

import typer

from convcli.cli.guard import Ended
from convcli.cli.options import LayerFlags, ReportFlags, takes
from convcli.cli.output import Sink
from convcli.cli.sources import plans_of
from convcli.cli.trials import ExecutorOption, ResumeOption, ShardOption, bytes_of, progress_bar


@takes(layer=LayerFlags, report=ReportFlags)
def bench(
    layer: LayerFlags,
    report: ReportFlags,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="METHOD",
            help="Of convcli.kernels, with --grad of their gradients; repeatable. auto, if left out.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="BACKEND",
            help="Repeatable: torch (if left out), onnxruntime, onnx-reference, jax, tensorflow, module:name, or none.",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", metavar="DTYPE", help="float32, float64 or float16.")] = "float32",
    grad: Annotated[bool, typer.Option("--grad", help="Time the gradients in place of the layer.")] = False,
    threads: Annotated[int, typer.Option("--threads", help="Of every side: CPU time on one, wall time on more.")] = 1,
    seconds: Annotated[float, typer.Option("--seconds", help="About how long each layer is measured.")] = 0.5,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME",
            help="The layers of this name alone; repeatable, * stands for any text.",
            show_default=False,
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory", metavar="BYTES", help="Skip layers that need more, as in 8GB.", show_default=False
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Longest that a layer may take, all sides together.")
    ] = 600.0,
    resume: ResumeOption = None,
    shard: ShardOption = None,
    executor: ExecutorOption = None,
) -> None:
    """Time the numpy kernels against torch, layer by layer, interleaved; medians, ratios, share of the matrix product.

    --output FILE.jsonl takes a line per layer as it is done; --resume FILE.jsonl continues such a run.

    \b
    Example:
      convcli bench "Conv2d(64, 64, 3, padding=1)" -i 1,64,56,56 --threads 2 --output bench.json
    """
    sink = Sink(report, journals=True)
    plans = plans_of(layer)
    from convcli.timing.run import bench as measured

    with progress_bar(quiet=report.quiet) as progress:
        record = measured(
            plans,
            methods=tuple(method or ("auto",)),
            against=tuple(name for name in against or ("torch",) if name != "none"),
            dtype=dtype,
            grad=grad,
            threads=threads,
            seconds=seconds,
            only=tuple(only or ()),
            max_memory=bytes_of(max_memory),
            timeout=timeout,
            journal=sink.journal,
            resume=resume,
            shard=shard,
            executor=executor,
            progress=progress,
        )
    sink.emit(record, plans)
    raise Ended(record.exit_code)
