"""`verify`: the numpy implementations against torch, or a kernel of the user's, layer by layer; and the exit code."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

from convcli.cli.guard import Ended
from convcli.cli.options import LayerFlags, ReportFlags, takes
from convcli.cli.output import Sink
from convcli.cli.sources import plans_of
from convcli.errors import SpecError
from convcli.spec.amounts import amount


@takes(layer=LayerFlags, report=ReportFlags)
def verify(
    layer: LayerFlags,
    report: ReportFlags,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the data; a layer's data depends on it and on the layer alone.")
    ] = 0,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            "--dtype", metavar="DTYPE", help="float64 or float32; repeatable. Both, if left out.", show_default=False
        ),
    ] = None,
    grad: Annotated[bool, typer.Option("--grad", help="Check every gradient against torch's autograd too.")] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Prove macs_nonpad by running layers of ones, on both sides.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Layers checked at once.", show_default=False)
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME",
            help="Check the layers of this name alone; repeatable, * stands for any text.",
            show_default=False,
        ),
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first layer that fails.")] = False,
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="BYTES",
            help="Skip layers that need more, as in 8GB; half of what is free, if left out.",
            show_default=False,
        ),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel",
            metavar="PLACE:FUNCTION",
            help="Test a function of your own instead: package.module:function or path/to/file.py:function.",
            show_default=False,
        ),
    ] = None,
    arrays: Annotated[
        str, typer.Option("--arrays", metavar="LIBRARY", help="What --kernel is given: numpy arrays or torch tensors.")
    ] = "numpy",
    against: Annotated[
        str,
        typer.Option(
            "--against",
            metavar="BACKEND",
            help="The other side: torch, onnxruntime, onnx-reference, jax, or a backend of your own as module:name.",
        ),
    ] = "torch",
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Test the verifier itself, on wrong and right implementations.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", help="--self-test: runs of each right implementation.", show_default=False),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Longest that a backend may take over one layer.")
    ] = 60.0,
) -> None:
    """Run the numpy implementations and cross-check them with torch, or a kernel of your own with them.

    \b
    Example:
      convcli verify "Conv2d(3, 64, 7, stride=2, padding=3)" -i 1,3,224,224 --format junit --output verify.xml
    """
    sink = Sink(report)
    if self_test:
        _test_the_verifier(layer, sink, seed, seeds)
    if seeds is not None:
        raise SpecError("--seeds says how long --self-test runs, and there is none")
    dtypes = tuple(dtype or ("float64", "float32"))
    for name in dtypes:
        if name not in {"float64", "float32"}:
            raise SpecError(f"--dtype {name} is not known", allowed="float64, float32")
    if kernel and against != "torch":
        raise SpecError("--kernel and --against exclude each other: a kernel is checked against convcli itself")
    if arrays != "numpy" and kernel is None:
        raise SpecError(f"--arrays {arrays} says what --kernel is given, and there is none")
    plans = plans_of(layer)
    from convcli.verifier.own import target
    from convcli.verifier.run import verify as verify_plans

    with progress_bar(quiet=report.quiet) as progress:
        outcome = verify_plans(
            plans,
            seed=seed,
            dtypes=dtypes,
            grad=grad,
            prove=prove,
            jobs=jobs,
            only=tuple(only or ()),
            fail_fast=fail_fast,
            max_memory=None if max_memory is None else memory_bytes(max_memory),
            timeout=timeout,
            against=against,
            kernel=target(kernel, arrays) if kernel is not None else None,
            progress=progress,
        )
    sink.emit(outcome)
    raise Ended(outcome.exit_code)


def _test_the_verifier(layer: LayerFlags, sink: Sink, seed: int, seeds: int | None) -> NoReturn:
    """`--self-test`: it has layers of its own."""
    if any(getattr(layer, name) is not None for name in layer.__struct_fields__):
        raise SpecError("--self-test takes no layers: each wrong implementation has its own")
    from convcli.verifier.self_test import SEEDS, self_test

    with progress_bar(quiet=sink.flags.quiet) as progress:
        outcome = self_test(seed=seed, seeds=SEEDS if seeds is None else seeds, progress=progress)
    sink.emit(outcome)
    raise Ended(outcome.exit_code)


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[int, int, str], None] | None]:
    """A bar on standard error when that is a terminal; it leaves no trace."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)


def memory_bytes(typed: str) -> int:
    """8GB as a number, for --max-memory."""
    try:
        return amount(typed)
    except SpecError as error:
        raise error.at("--max-memory") from None
