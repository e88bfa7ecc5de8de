"""`verify`: every layer of some networks, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import UNSET

from convcli.axis import whole
from convcli.verifier.course import Course, Placed
from convcli.verifier.jobs import Wanted
from convcli.verifier.journal import End, Line, Recording, header
from convcli.verifier.ledger import Ledger, Progress
from convcli.verifier.session import TIMEOUT, Session
from convcli.verifier.shard import Shard, Share, shard_of
from convcli.verifier.subjects import Given, Subjects
from convcli.verifier.verdict import LayerVerdict, Outcome, outcome

if TYPE_CHECKING:
    from convcli.backends.target import Target

DTYPES = ("float64", "float32")


def verify(  # noqa: PLR0913 - each is one option of the command
    networks: Given | Sequence[Given],
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
    wanted = Wanted(
        against,
        tuple(dict.fromkeys(dtypes)),
        whole("seed", seed, least=0),
        grad=grad,
        prove=prove,
        kernel=kernel,
        kernel_grad=kernel_grad,
    )
    part = shard_of(shard)
    subjects = Subjects(networks, only, convolutions=bool(wanted.own))
    placed: Iterable[Placed] = subjects.of(part, wanted.seed)
    placed = list(placed) if subjects.listed else placed
    ours = len(placed) if isinstance(placed, list) else len(subjects) // part.count
    course = Course(placed, ours, wanted, listed=subjects.listed, fail_fast=fail_fast)
    course.progress, course.on_verdict = progress, on_verdict
    record = Recording(journal, resume, "verify", Line)
    asked = wanted.told
    options = {**asked, "layers": len(subjects), "shard": str(part)}
    session = Session(wanted, layers=ours, jobs=jobs, max_memory=max_memory, timeout=timeout, executor=executor)
    interrupted = False
    try:
        with session, record:
            own = header("verify", seed, options, session.environment)
            session.work_through(course.ledgers(record, own))
            course.close()
            for ledger in course.failing():
                if ledger.faults():
                    _take_apart(session, ledger, save_failures, progress, explain=explain)
            for one in course.explained():
                record.write(one)
            if not course.stopped or subjects.listed:
                record.write(End(len(subjects)))
    except KeyboardInterrupt:
        interrupted = True
    course.close()
    course.refresh()
    return outcome(
        tuple(course.kept.verdicts.values()),
        seed=seed,
        environment=session.environment,
        seconds=perf_counter() - start,
        interrupted=interrupted,
        counts=course.kept.counts,
        share=UNSET if part.whole else Share(str(part), tuple(course.kept.verdicts), len(subjects), asked),
    )


def _take_apart(
    session: Session,
    ledger: Ledger,
    directory: str | PathLike[str] | None,
    progress: Progress | None,
    *,
    explain: bool,
) -> None:
    """What failed is kept and explained, while the workers are there; loaded for failures alone."""
    from convcli.verifier.explain import explanation, keeping

    with session.workbench() as workbench:
        if directory is not None:
            keeping.keep(workbench, ledger, Path(directory), session.environment)
        if explain:
            explanation.explain(workbench, ledger, progress=progress)
