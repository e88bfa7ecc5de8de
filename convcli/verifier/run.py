"""`verify`: every layer of some networks, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import UNSET

from convcli.axis import whole
from convcli.errors import SpecError
from convcli.plan import Network, Plan, plan
from convcli.verifier.case import Case
from convcli.verifier.jobs import Wanted
from convcli.verifier.journal import End, Header, Line, Recording, header, infinite, key_of, restored
from convcli.verifier.ledger import Ledger, Progress, Subject, chosen
from convcli.verifier.session import TIMEOUT, Session
from convcli.verifier.shard import Shard, Share, shard_of
from convcli.verifier.verdict import LayerVerdict, Outcome, outcome

if TYPE_CHECKING:
    from convcli.backends.target import Target

DTYPES = ("float64", "float32")


def verify(  # noqa: PLR0913 - each is one option of the command
    networks: Network | Plan | Sequence[Network | Plan],
    *,
    seed: int = 0,
    dtypes: Sequence[str] = DTYPES,
    grad: bool = False,
    prove: bool = False,
    jobs: int | None = None,
    only: Sequence[str] = (),
    fail_fast: bool = False,
    max_memory: int | None = None,
    timeout: float = TIMEOUT,
    against: str = "torch",
    kernel: Target | None = None,
    kernel_grad: Target | None = None,
    explain: bool = True,
    save_failures: str | PathLike[str] | None = None,
    journal: str | Path | None = None,
    resume: str | Path | None = None,
    shard: str | Shard | None = None,
    executor: str | None = None,
    progress: Progress | None = None,
    on_verdict: Callable[[LayerVerdict], None] | None = None,
) -> Outcome:
    """Every layer of the networks against another implementation: shape, parameters, MACs, exact and bounded values.

    seed: the data depend on it and on each layer's configuration, on nothing else. dtypes: float64, float32, float16,
    bfloat16. grad: every gradient as well, and the adjoint identity. prove: the products off the padding by executing
    ones. jobs: layers worked on at a time, each by one process for either side. only: names or patterns (`layer1.*`) of
    the layers to check. fail_fast: skip what comes after a failure. max_memory: bytes; a layer that needs more is
    skipped; half of what is free when left out. timeout: seconds for one call of one side. against: "torch",
    "onnxruntime", "onnx-reference", "jax", "tensorflow", or a backend of one's own as `module` or `module:name`.
    kernel, kernel_grad: functions of the user's to be tested instead (`verify_kernel`). explain: take failures apart,
    the first three in detail, some seconds each. save_failures: a directory for the data of every failed check.
    journal: a file that takes every layer's verdict as a JSON line as soon as it is told. resume: such a file, of a run
    of the same layers with the same options, to be continued. shard: "3/7", the third of seven shares.
    executor: who makes the checks, "local", "dask://host:port" or "package.module:factory" (docs/many.md).
    progress: told (layers done, layers in all, name). on_verdict: told each verdict, in order, as soon as it is there:
    before its explanation.

    Raises BackendMissing before any work when the other side cannot run, SpecError for arguments that make no sense.
    Ctrl-C ends it: the outcome then holds what was finished and is `interrupted`.
    """
    start = perf_counter()
    given = (networks,) if isinstance(networks, Network | Plan) else tuple(networks)
    plans = [plan(one) if isinstance(one, Network) else one for one in given]
    different = tuple(dict.fromkeys(dtypes))
    wanted = Wanted(
        against,
        different,
        whole("seed", seed, least=0),
        grad=grad,
        prove=prove,
        kernel=kernel,
        kernel_grad=kernel_grad,
    )
    every = chosen(plans, only, convolutions=bool(wanted.own))
    part = shard_of(shard)
    positions = shared_out(every, part, wanted.seed)
    ledger = Ledger([every[position] for position in positions], wanted, fail_fast=fail_fast)
    ledger.progress = progress
    record = Recording(journal, resume, "verify", Line)
    options = {**wanted.told, "layers": len(every), "shard": str(part)}
    session = Session(
        wanted, layers=len(ledger.subjects), jobs=jobs, max_memory=max_memory, timeout=timeout, executor=executor
    )
    interrupted = False
    try:
        with session, record:
            own = header("verify", seed, options, session.environment)

            def tell(verdict: LayerVerdict) -> None:
                record.write(_line(ledger, positions, own))
                if on_verdict:
                    on_verdict(verdict)

            ledger.on_verdict = tell
            for line in record.earlier(own):
                _take_over(ledger, positions, own, line)
            record.start(own)
            session.work_through([ledger])
            ledger.close()
            record.write(End(len(every)))
            record.close()
            if ledger.faults():
                _take_apart(session, ledger, save_failures, explain=explain)
    except KeyboardInterrupt:
        interrupted = True
    ledger.close()
    return outcome(
        tuple(ledger.verdicts),
        seed=seed,
        environment=session.environment,
        seconds=perf_counter() - start,
        interrupted=interrupted,
        share=UNSET if part.whole else Share(str(part), tuple(positions), len(every), wanted.told),
    )


def shared_out(subjects: Sequence[Subject], shard: Shard, seed: int) -> list[int]:
    """The places of a shard's layers; those of one configuration are together, as they are checked once."""
    steps = [subject.step for subject in subjects]
    cases = ((Case(s.layer, s.x, s.batch, seed).key, s.layer.counts(s.x, s.images).macs) for s in steps)
    every = range(len(steps))
    return list(every if shard.whole else compress(every, shard.of(cases)))


def _line(ledger: Ledger, positions: Sequence[int], own: Header) -> Line:
    """The journal's line for the verdict that was told last."""
    number, verdict = len(ledger.verdicts) - 1, ledger.verdicts[-1]
    key = key_of(ledger.subjects[number].step, own.seed, own.salt)
    return Line(positions[number], key, verdict, ledger.sizes(number), infinite(verdict))


def _take_over(ledger: Ledger, positions: Sequence[int], own: Header, line: Line) -> None:
    """A verdict of the run that is continued. Raises SpecError when it is of another layer."""
    number = len(ledger.verdicts)
    subject = ledger.subjects[number] if number < len(positions) else None
    same = subject and (positions[number], key_of(subject.step, own.seed, own.salt)) == (line.index, line.key)
    if subject is None or not same or line.verdict.name != subject.step.name:
        raise SpecError(f"its layer {line.verdict.name} is another one here", field="--resume")
    ledger.take_over(restored(line.verdict, line.infinite), line.checks)


def _take_apart(session: Session, ledger: Ledger, directory: str | PathLike[str] | None, *, explain: bool) -> None:
    """What failed is kept and explained, while the workers are there; loaded for failures alone."""
    from convcli.verifier.explain import explanation, keeping

    with session.workbench() as workbench:
        if directory is not None:
            keeping.keep(workbench, ledger, Path(directory), session.environment)
        if explain:
            explanation.explain(workbench, ledger, progress=ledger.progress)
