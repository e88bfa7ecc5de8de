"""`bench`: every different layer of some networks, one after the other, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
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
from convcli.plan import Network, Plan, Step, plan
from convcli.timing import measure
from convcli.timing.measure import How, Readings, Side
from convcli.timing.record import Bench, Timing, timed, total
from convcli.verifier.bounds import BITS
from convcli.verifier.case import Case
from convcli.verifier.estimate import backward_bytes, forward_bytes, gigabytes, memory_limit
from convcli.verifier.interrupt import Interrupt
from convcli.verifier.job import effort
from convcli.verifier.ledger import chosen
from convcli.verifier.shard import Shard, Share, shard_of
from convcli.verifier.verdict import Status
from convcli.verifier.workers import Call, Workers

Progress = Callable[[int, int, str], None]
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
    shard: str | Shard | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Medians of interleaved readings of our kernels' methods and other backends, and of the bare matrix product.

    The first method is what the others are compared with. threads: of every side; on one, CPU time is measured, on
    more wall time. seconds: about as long for each layer. shard: "3/7", the third of seven equal shares of the layers.
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
    every = list(_different(chosen(plans, only, convolutions=True)))
    positions = list(compress(range(len(every)), part.of((None, layer.macs) for _, layer in every)))
    waiting = [every[position] for position in positions]
    for name in against:
        require(name)
    found: list[Timing] = []
    environment: dict[str, Any] = {}
    interrupted = False
    workers = Workers("", count=1, threads=how.threads, timeout=TIMEOUT, warm=False, run=measure.run)
    try:
        with Interrupt() as interrupt:
            environment = _answer(workers.call("environment", how.sides), interrupt).value or {}
            for number, (step, layer) in enumerate(waiting, start=1):
                found.append(_measured(workers, interrupt, step, layer, limit, how))
                if progress:
                    progress(number, len(waiting), layer.name)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        workers.stop()
    names = tuple(side.name for side in how.sides)
    return Bench(
        dtype=dtype,
        gradients=grad,
        threads=how.threads,
        clock="CPU time" if how.threads == 1 else "wall time",
        sides=names,
        environment=environment,
        layers=tuple(found),
        totals=total(tuple(found), names),
        left_out=sum(not is_convolution(step.layer) for planned in plans for step in planned.steps),
        seconds=perf_counter() - start,
        interrupted=interrupted,
        share=UNSET if part.whole else Share(str(part), tuple(positions), len(every), {"seconds": seconds}),
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


def _different(subjects: Sequence[Any]) -> Iterator[tuple[Step, Timing]]:
    """Every different layer once, with how often it is there."""
    layers: dict[bytes, tuple[Step, Timing]] = {}
    for subject in subjects:
        step: Step = subject.step
        key = Case(step.layer, step.x, step.batch).key
        if key in layers:
            first, timing = layers[key]
            layers[key] = first, msgspec.structs.replace(timing, count=timing.count + 1)
            continue
        layers[key] = (
            step,
            Timing(
                name=step.name,
                type=step.type,
                source=subject.source,
                line=UNSET if step.line is None else step.line,
                input=(*step.batch, *step.x),
                output=(*step.batch, *step.y),
                macs=step.layer.counts(step.x, step.images).macs,
            ),
        )
    yield from layers.values()


def _measured(workers: Workers, interrupt: Interrupt, step: Step, layer: Timing, limit: int, how: How) -> Timing:
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
