"""The run: jobs go to the workers in order, at most a few at a time, and verdicts come out in the order of the spec."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from fnmatch import fnmatchcase
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from convcli.axis import whole
from convcli.backends import OURS, BackendMissing, require
from convcli.errors import SpecError
from convcli.plan import Plan, Step
from convcli.verifier.bounds import BITS
from convcli.verifier.estimate import gigabytes, memory_limit
from convcli.verifier.fills import Case
from convcli.verifier.jobs import Bench, Job, NothingToDo, Unfillable, jobs
from convcli.verifier.repro import command
from convcli.verifier.verdict import Check, LayerVerdict, Outcome, Status, outcome, worst
from convcli.verifier.workers import Call, Workers

if TYPE_CHECKING:
    from types import TracebackType

MOST_JOBS = 4
DTYPES = ("float64", "float32")
Progress = Callable[[int, int, str], None]


def verify(
    plan: Plan | Sequence[Plan],
    *,
    seed: int = 0,
    dtypes: Sequence[str] = DTYPES,
    jobs: int | None = None,
    only: Sequence[str] = (),
    fail_fast: bool = False,
    max_memory: int | None = None,
    timeout: float = 60.0,
    against: str = "torch",
    progress: Progress | None = None,
    on_verdict: Callable[[LayerVerdict], None] | None = None,
) -> Outcome:
    """Every layer of the plans against another implementation: shape, parameters, MACs, exact and bounded values.

    seed: the data depend on it and on each layer's configuration, on nothing else. dtypes: float64, float32, float16.
    jobs: layers worked on at a time, each by one process for either side. only: names or patterns (`layer1.*`) of the
    layers to check. fail_fast: skip what comes after the first failure. max_memory: bytes; a layer that needs more is
    skipped; half of what is free if left out. timeout: seconds for one call of one side. progress: told (layers done,
    layers in all, name). on_verdict: told each verdict, in order, as soon as it is there.
    Raises BackendMissing before any work when the other side cannot run, SpecError for arguments that make no sense.
    Ctrl-C ends it: the outcome then holds what was finished and is `interrupted`.
    """
    plans = (plan,) if isinstance(plan, Plan) else tuple(plan)
    for dtype in dtypes:
        if dtype not in BITS:
            raise SpecError(f"dtype={dtype!r} is not known", field="dtype", allowed=", ".join(BITS))
    whole("seed", seed, least=0)
    limit = memory_limit() if max_memory is None else whole("max_memory", max_memory, least=1)
    subjects = _chosen(plans, tuple(only))
    require(against)
    wide = _width(jobs, len(subjects))
    threads = max(1, cores() // (2 * wide))
    start = perf_counter()
    ledger = _Ledger(subjects, seed, progress, on_verdict, fail_fast=fail_fast)
    with _Workshop(against, count=wide, threads=threads, timeout=timeout) as workshop:
        try:
            workshop.begin()
            for index, job in ledger.jobs(tuple(dict.fromkeys(dtypes)), against):
                while workshop.running and not workshop.has_room(job, limit):
                    ledger.note(workshop.finished())
                ledger.note(workshop.started(index, job, limit))
            while workshop.running:
                ledger.note(workshop.finished())
        except KeyboardInterrupt:
            ledger.interrupted = True
        rounds, environment = workshop.environment(wait_for=not ledger.interrupted)
    verdicts = tuple(ledger.settled(rounds=rounds))
    environment |= {"threads": threads, "jobs": wide, "against": against}
    return outcome(verdicts, seed=seed, environment=environment, seconds=perf_counter() - start, interrupted=ledger.interrupted)
