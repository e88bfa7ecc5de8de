"""`bench`: every different layer of some networks, one after the other, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import compress
from pathlib import Path
from time import perf_counter
from typing import Any

from msgspec import UNSET

from convcli import kernels
from convcli.axis import whole
from convcli.backends import numpy as ours
from convcli.backends import require
from convcli.backends.source import own_sources
from convcli.errors import BackendMissing, SpecError
from convcli.layers import is_convolution
from convcli.plan import Network, Plan, plan
from convcli.timing.course import ANY_DATA, Course, different
from convcli.timing.measure import How, Side
from convcli.timing.record import Bench, Progress, Timed, clock_of, total
from convcli.timing.station import Measuring
from convcli.verifier.bounds import BITS
from convcli.verifier.interrupt import Interrupt
from convcli.verifier.journal import End, Recording, header
from convcli.verifier.ledger import chosen
from convcli.verifier.many.crew import Crew
from convcli.verifier.many.engines import engine_of, is_away
from convcli.verifier.shard import Shard, Share, shard_of

TIMEOUT = 600.0


def bench(  # noqa: PLR0913 - each is one option of the command
    networks: Network | Plan | Sequence[Network | Plan],
    *,
    methods: Sequence[str] = ("auto",),
    against: Sequence[str] = ("torch",),
    dtype: str = "float32",
    grad: bool = False,
    threads: int = 1,
    seconds: float = 0.5,
    only: Sequence[str] = (),
    max_memory: int | None = None,
    timeout: float = TIMEOUT,
    journal: str | Path | None = None,
    resume: str | Path | None = None,
    shard: str | Shard | None = None,
    executor: str | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Medians of interleaved readings of our kernels' methods and other backends, and of the bare matrix product.

    The first method is what the others are compared with. threads: of every side; on one, CPU time is measured, on
    more wall time. seconds: about as long for each layer. max_memory: bytes; a layer that needs more is skipped; half
    of what is free where it is measured when left out. timeout: seconds, the longest that a layer may take.
    journal: a file that takes every layer's times as a JSON line as soon as they are there. resume: such a file, of a
    run of the same layers with the same options, to be continued. shard: "3/7", the third of seven equal shares of the
    layers. executor: who measures, "local", "dask://host:port" or "package.module:factory" (docs/many.md).

    Raises BackendMissing before any work, SpecError for arguments that make no sense. Ctrl-C ends it: the answer then
    holds what was finished.
    """
    start = perf_counter()
    how = _how(methods, against, dtype=dtype, grad=grad, threads=threads, seconds=seconds)
    if not timeout > 0:
        raise SpecError(f"timeout={timeout} is too short", field="timeout", allowed="more than 0 seconds")
    limit = None if max_memory is None else whole("max_memory", max_memory, least=1)
    given = (networks,) if isinstance(networks, Network | Plan) else tuple(networks)
    plans = [plan(one) if isinstance(one, Network) else one for one in given]
    part = shard_of(shard)
    every = different(chosen(plans, only, convolutions=True))
    layers = dict(compress(enumerate(every), part.of((None, layer.macs) for layer in every)))
    for name in against:
        with suppress(*[BackendMissing] * is_away(executor)):  # the workers have to have it
            require(name)
    left_out = sum(not is_convolution(step.layer) for planned in plans for step in planned.steps)
    sources = own_sources(against)
    options = {**how.told, **sources, "layers": len(every), "left_out": left_out, "shard": str(part)}
    environment: dict[str, Any] = {}
    interrupted = False
    record = Recording(journal, resume, "bench", Timed)
    course = Course(layers, record, progress)
    engine = engine_of(executor, most=1)
    try:
        with Interrupt() as interrupt, record, closing(engine):
            with closing(Crew(engine, Measuring(how, timeout, limit), interrupt.check)) as crew:
                environment = crew.begin()
                course.begin(header("bench", ANY_DATA, options, environment))
                crew.work_through([course])
            record.write(End(len(every)))
    except KeyboardInterrupt:
        interrupted = True
    names = tuple(side.name for side in how.sides)
    return Bench(
        dtype=dtype,
        gradients=grad,
        threads=how.threads,
        clock=clock_of(how.threads),
        sides=names,
        environment=environment,
        layers=course.timings,
        totals=total(course.timings, names),
        left_out=left_out,
        seconds=perf_counter() - start,
        interrupted=interrupted,
        share=UNSET if part.whole else Share(str(part), tuple(layers), len(every), {"seconds": seconds, **sources}),
    )


def _how(
    methods: Sequence[str], against: Sequence[str], *, dtype: str, grad: bool, threads: int, seconds: float
) -> How:
    if dtype not in BITS:
        raise SpecError(f"dtype={dtype!r} is not known", field="dtype", allowed=", ".join(BITS))
    if not seconds > 0:
        raise SpecError(f"seconds={seconds} is too short", field="seconds", allowed="more than 0")
    return How(_sides(methods, against, grad=grad), dtype, whole("threads", threads, least=1), seconds, grad)


def _sides(methods: Sequence[str], against: Sequence[str], *, grad: bool) -> tuple[Side, ...]:
    functions = [f"{name}_backward" if grad else name for name in ours.KERNELS.values()]
    known = tuple(dict.fromkeys(method for function in functions for method in kernels.METHODS[function]))
    for method in methods:
        if method not in known:
            words = f"no gradient has a method {method!r}" if grad else f"method {method!r} is not known"
            raise SpecError(words, field="--method", allowed=", ".join(known))
    mine = [Side("numpy" if method == "auto" else f"numpy {method}", method=method) for method in methods]
    found = tuple(dict.fromkeys([*mine, *(Side(name, name) for name in against)]))
    if not found:
        raise SpecError("there is nothing to measure", field="--method", allowed=", ".join(known))
    return found
