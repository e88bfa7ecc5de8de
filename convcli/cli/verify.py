"""`verify`: the numpy implementations against torch, or a kernel of the user's, layer by layer; and the exit code."""

from typing import Annotated, NoReturn

import typer

from convcli.cli.guard import Ended
from convcli.cli.options import LayerFlags, ReportFlags, StrictFlag, takes
from convcli.cli.output import Sink
from convcli.cli.sources import layers_of
from convcli.cli.trials import ExecutorOption, ResumeOption, ShardOption, TrialFlags, progress_bar
from convcli.errors import SpecError
from convcli.plan import Plan

DEFAULT = ("float64", "float32")


@takes(layer=LayerFlags, report=ReportFlags, strict=StrictFlag, trial=TrialFlags)
def verify(
    layer: LayerFlags,
    report: ReportFlags,
    strict: StrictFlag,
    trial: TrialFlags,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the data; a layer's data depends on it and on the layer alone.")
    ] = 0,
    grad: Annotated[
        bool,
        typer.Option("--grad", help="Check every gradient too: against autograd, or autograd's through your --kernel."),
    ] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Prove macs_nonpad by running layers of ones, on both sides.")
    ] = False,
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
    kernel_grad: Annotated[
        str | None,
        typer.Option(
            "--kernel-grad",
            metavar="PLACE:FUNCTION",
            help="Test a backward of your own, with --kernel or alone: (dx, dw, db) of (dy, x, weight, ...).",
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
    resume: ResumeOption = None,
    shard: ShardOption = None,
    executor: ExecutorOption = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Test the verifier itself, on wrong and right implementations.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", help="--self-test: runs of each right implementation.", show_default=False),
    ] = None,
) -> None:
    """Run the numpy implementations and cross-check them with torch, or a kernel of your own with them.

    --output FILE.jsonl takes a line per layer as it is done; --resume FILE.jsonl continues such a run.

    \b
    Example:
      convcli verify "Conv2d(3, 64, 7, stride=2, padding=3)" -i 1,3,224,224 --format junit --output verify.xml
    """
    sink = Sink(report, journals=not self_test and replay is None)
    if self_test:
        _test_the_verifier(layer, sink, seed, seeds)
    if seeds is not None:
        raise SpecError("--seeds says how long --self-test runs, and there is none")
    trial.check()
    arrays = trial.arrays or "numpy"
    own = "--kernel" if trial.kernel is not None else "--kernel-grad" if kernel_grad is not None else ""
    if own and trial.against is not None:
        raise SpecError(f"{own} and --against exclude each other: a kernel is checked against convcli itself")
    if arrays != "numpy" and not own:
        raise SpecError(f"--arrays {arrays} says what --kernel is given, and there is none")
    if grad and trial.kernel and not kernel_grad and arrays == "numpy":
        raise SpecError("--grad: nothing differentiates numpy arrays", allowed="--kernel-grad names the backward")
    if replay is not None:
        _replay(replay, sink, layer, trial, kernel_grad)
    plans = layers_of(layer, strict=strict.strict)
    from convcli.verifier.own import target
    from convcli.verifier.run import verify as verify_plans

    with progress_bar(quiet=report.quiet) as progress:
        outcome = verify_plans(
            plans,
            seed=seed,
            dtypes=tuple(trial.dtype or DEFAULT),
            grad=grad,
            prove=prove,
            only=tuple(only or ()),
            fail_fast=fail_fast,
            **trial.limits,
            against="torch" if trial.against is None else trial.against,
            explain=explain,
            save_failures=save_failures,
            journal=sink.journal,
            resume=resume,
            shard=shard,
            executor=executor,
            kernel=None if trial.kernel is None else target(trial.kernel, arrays),
            kernel_grad=None if kernel_grad is None else target(kernel_grad, arrays, "backward"),
            progress=progress,
        )
    sink.emit(outcome, [one for one in plans if isinstance(one, Plan)])
    raise Ended(outcome.exit_code)


def _replay(path: str, sink: Sink, layer: LayerFlags, trial: TrialFlags, kernel_grad: str | None) -> NoReturn:
    """A saved failure has its layer and its data: there is nothing else to say."""
    if any(getattr(layer, name) for name in layer.__struct_fields__):
        raise SpecError("--replay names the layer and its data: give no other layer and no input")
    from convcli.verifier.explain.replay import replay
    from convcli.verifier.own import target

    arrays = trial.arrays or "numpy"
    outcome = replay(
        path,
        against=trial.against,
        kernel=None if trial.kernel is None else target(trial.kernel, arrays),
        kernel_grad=None if kernel_grad is None else target(kernel_grad, arrays, "backward"),
        timeout=trial.timeout,
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
