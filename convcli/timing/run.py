"""`bench`: every different layer of some networks, one after the other, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from msgspec import UNSET

from convcli import kernels
from convcli.axis import whole
from convcli.backends import numpy as ours
from convcli.backends import require
from convcli.errors import BackendMissing, SpecError
from convcli.layers import is_convolution
from convcli.plan import Network, Plan, plan
from convcli.timing import measure
from convcli.timing.course import ANY_DATA, Course, Different, different
from convcli.timing.measure import How, Readings, Side
from convcli.timing.record import Bench, Progress, Timed, Timing, clock_of, timed, total
from convcli.verifier.bounds import BITS
from convcli.verifier.estimate import backward_bytes, forward_bytes, gigabytes, memory_limit
from convcli.verifier.interrupt import Interrupt
from convcli.verifier.job import effort
from convcli.verifier.journal import End, Recording, header
from convcli.verifier.ledger import chosen
from convcli.verifier.shard import Shard, Share, shard_of
from convcli.verifier.verdict import Status
from convcli.verifier.workers import Call, Workers

TIMEOUT = 600.0
PATIENCE = 0.2  # seconds between two looks for a Ctrl-C


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
    journal: str | Path | None = None,
    resume: str | Path | None = None,
    shard: str | Shard | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Medians of interleaved readings of our kernels' methods and other backends, and of the bare matrix product.

    The first method is what the others are compared with. threads: of every side; on one, CPU time is measured, on
    more wall time. seconds: about as long for each layer. journal: a file that takes every layer's times as a JSON line
    as soon as they are there. resume: such a file, of a run of the same layers with the same options, to be continued.
    shard: "3/7", the third of seven equal shares of the layers.

    Raises BackendMissing before any work, SpecError for arguments that make no sense. Ctrl-C ends it: the answer then
    holds what was finished.
    """
    start = perf_counter()
    if dtype not in BITS:
        raise SpecError(f"dtype={dtype!r} is not known", field="dtype", allowed=", ".join(BITS))
    if not seconds > 0:
        raise SpecError(f"seconds={seconds} is too short", field="seconds", allowed="more than 0")
    how = How(_sides(methods, against, grad=grad), dtype, whole("threads", threads, least=1), seconds, grad)
    limit = memory_limit() if max_memory is None else whole("max_memory", max_memory, least=1)
    given = (networks,) if isinstance(networks, Network | Plan) else tuple(networks)
    plans = [plan(one) if isinstance(one, Network) else one for one in given]
    part = shard_of(shard)
    every = different(chosen(plans, only, convolutions=True))
    ours = dict(compress(enumerate(every), part.of((None, layer.macs) for layer in every)))
    for name in against:
        require(name)
    left_out = sum(not is_convolution(step.layer) for planned in plans for step in planned.steps)
    options = {**how.told, "layers": len(every), "left_out": left_out, "shard": str(part)}
    environment: dict[str, Any] = {}
    interrupted = False
    record = Recording(journal, resume, "bench", Timed)
    course = Course(ours, record, progress)
    workers = Workers("", count=1, threads=how.threads, timeout=TIMEOUT, warm=False, run=measure.run)
    try:
        with Interrupt() as interrupt, record:
            environment = _answer(workers.call("environment", how.sides), interrupt).value or {}
            course.begin(header("bench", ANY_DATA, options, environment))
            for place, layer in course.cases():
                course.take(place, _measured(workers, interrupt, layer, limit, how))
            record.write(End(len(every)))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        workers.stop()
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
        share=UNSET if part.whole else Share(str(part), tuple(ours), len(every), {"seconds": seconds}),
    )


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


def _measured(workers: Workers, interrupt: Interrupt, one: Different, limit: int, how: How) -> Timing:
    step, layer = one.step, one.timing
    needed = (backward_bytes if how.grad else forward_bytes)(step.layer, step.batch, step.x, how.dtype)
    if needed > limit:
        needs = f"needs about {gigabytes(needed)}, --max-memory is {gigabytes(limit)}"
        return msgspec.structs.replace(layer, status=Status.SKIPPED, reason=needs)
    if not effort(step.layer, step.x, step.images):
        return msgspec.structs.replace(layer, status=Status.SKIPPED, reason="there is nothing to compute")
    reply = _answer(workers.call("measure", step.layer, step.batch, step.x, how), interrupt)
    if reply.status:
        return msgspec.structs.replace(layer, status=reply.status, reason=reply.reason)
    readings: Readings = reply.value
    return timed(layer, readings.nanoseconds, readings.missing)


def _answer(call: Call, interrupt: Interrupt) -> Any:
    """The reply, while a Ctrl-C is listened for."""
    from concurrent.futures import wait

    while not call.done:
        interrupt.check()
        wait([call.future], PATIENCE)
    reply = call.reply
    if reply.status and not isinstance(reply.value, Readings) and call.task[0] == "environment":
        raise BackendMissing(reply.reason)
    return reply
