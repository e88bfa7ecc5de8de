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

DTYPES = ("float64", "float32", "float16", "bfloat16")


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
            "--dtype",
            metavar="DTYPE",
            help="float64, float32, float16 or bfloat16; repeatable. The first two, if left out.",
            show_default=False,
        ),
    ] = None,
    grad: Annotated[
        bool,
        typer.Option("--grad", help="Check every gradient too: against autograd, or autograd's through your --kernel."),
    ] = False,
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
    kernel_grad: Annotated[
        str | None,
        typer.Option(
            "--kernel-grad",
            metavar="PLACE:FUNCTION",
            help="Test a backward of your own, with --kernel or alone: (dx, dw, db) of (dy, x, weight, ...).",
            show_default=False,
        ),
    ] = None,
    arrays: Annotated[
        str, typer.Option("--arrays", metavar="LIBRARY", help="What --kernel is given: numpy arrays or torch tensors.")
    ] = "numpy",
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="BACKEND",
            help="torch (the default), onnxruntime, onnx-reference, jax, tensorflow, or your own as module:name.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Take failures apart: what is wrong, and the smallest case.")
    ] = True,
    save_failures: Annotated[
        str | None,
        typer.Option(
            "--save-failures", metavar="DIR", help="Keep the data of every failed check as .npz.", show_default=False
        ),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(
            "--replay",
            metavar="FILE.npz",
            help="Run the data of a saved failure again, with --kernel or --against on another implementation.",
            show_default=False,
        ),
    ] = None,
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
        if name not in DTYPES:
            raise SpecError(f"--dtype {name} is not known", allowed=", ".join(DTYPES))
    own = "--kernel" if kernel is not None else "--kernel-grad" if kernel_grad is not None else ""
    if own and against is not None:
        raise SpecError(f"{own} and --against exclude each other: a kernel is checked against convcli itself")
    if arrays != "numpy" and not own:
        raise SpecError(f"--arrays {arrays} says what --kernel is given, and there is none")
    if grad and kernel and not kernel_grad and arrays == "numpy":
        raise SpecError("--grad: nothing differentiates numpy arrays", allowed="--kernel-grad names the backward")
    if replay is not None:
        _replay(replay, sink, layer, against, kernel, kernel_grad, arrays, timeout)
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
            max_memory=None if max_memory is None else bytes_of(max_memory),
            timeout=timeout,
            against="torch" if against is None else against,
            explain=explain,
            save_failures=save_failures,
            kernel=None if kernel is None else target(kernel, arrays),
            kernel_grad=None if kernel_grad is None else target(kernel_grad, arrays, "backward"),
            progress=progress,
        )
    sink.emit(outcome)
    raise Ended(outcome.exit_code)


def _replay(
    path: str,
    sink: Sink,
    layer: LayerFlags,
    against: str | None,
    kernel: str | None,
    kernel_grad: str | None,
    arrays: str,
    timeout: float,
) -> NoReturn:
    """A saved failure has its layer and its data: there is nothing else to say."""
    if any(getattr(layer, name) for name in layer.__struct_fields__):
        raise SpecError("--replay names the layer and its data: give no other layer and no input")
    from convcli.verifier.explain.replay import replay
    from convcli.verifier.own import target

    outcome = replay(
        path,
        against=against,
        kernel=None if kernel is None else target(kernel, arrays),
        kernel_grad=None if kernel_grad is None else target(kernel_grad, arrays, "backward"),
        timeout=timeout,
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


def bytes_of(typed: str) -> int:
    """8GB as a number. Raises SpecError."""
    try:
        return amount(typed)
    except SpecError as error:
        raise error.at("--max-memory") from None
