"""Layers to be checked, in chunks: what `verify` and `fuzz` send.

A worker keeps one process in which both sides do their work: for small layers messages are what costs. When that
process dies or takes too long, the chunk's layers come again one by one, and each side works in a process of its own,
as it does for large layers and the user's functions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from math import prod
from time import perf_counter
from typing import Any

import msgspec

from convcli.plan import Step
from convcli.verifier.done import Done, attempted
from convcli.verifier.estimate import memory_limit
from convcli.verifier.job import Job
from convcli.verifier.jobs import Wanted, all_jobs
from convcli.verifier.ledger import Place
from convcli.verifier.many.chunk import Answer, Chunk, Station
from convcli.verifier.shard import ALWAYS
from convcli.verifier.verdict import Check, Status
from convcli.verifier.workers import Workers
from convcli.verifier.workshop import WARM, Workshop, sides

Checks = tuple[tuple[Check, ...], ...]  # of all jobs of a layer
LARGE_MACS = 200_000_000  # of a layer that has its processes to itself
OWN = 10 * ALWAYS  # a function of the user's is called again and again
LARGE_BYTES = 256 << 20  # of one of its jobs
FEW = 1 << 18  # elements, of which no job takes so much
LONGEST = 10.0  # seconds for a chunk of small layers, which are worth half a one; what takes longer comes again
SHORTEST = 2.0  # whatever the time for a single call


class Checking(msgspec.Struct, frozen=True):
    """What is to be checked. timeout: seconds for a call. limit: bytes; half of what is free where it runs, when None.

    threads: of either side, for large layers.
    """

    wanted: Wanted
    timeout: float
    limit: int | None = None
    threads: int = 1

    @property
    def rate(self) -> float:
        """Seconds for a mac."""
        return 1e-8

    def station(self) -> Bay:
        """A worker's processes."""
        return Bay(self)

    def work_of(self, step: Step) -> int:
        """What a layer is expected to cost, in macs."""
        return (OWN if self.wanted.own else ALWAYS) + step.layer.counts(step.x, step.images).macs

    def lost(self, step: Step, reason: str) -> Checks:
        """Of a layer whose worker dies whenever it is tried."""
        del step
        return ((Check("layer", "", Status.CRASHED, detail=f"the worker that tried it died, twice: {reason}"),),)

    def apart(self, step: Step) -> bool:
        """It is large, or asks functions of the user's, which may not be in one process with our own."""
        if self.wanted.own or self.work_of(step) > LARGE_MACS:
            return True
        if step.images * (prod(step.x) + prod(step.y)) < FEW:
            return False
        return any(job.memory > LARGE_BYTES for job in all_jobs(step, self.wanted))


class Found:
    """The jobs of some layers, and what was found; what a ledger is, without its verdicts."""

    def __init__(self, steps: Sequence[Step], wanted: Wanted):
        self._steps, self._wanted = steps, wanted
        self._found: list[dict[int, tuple[Check, ...]]] = [{} for _ in steps]

    def jobs(self) -> Iterator[tuple[Place, Job]]:
        """In order."""
        for index, step in enumerate(self._steps):
            for position, job in enumerate(all_jobs(step, self._wanted)):
                yield Place(index, position), job

    def note(self, place: Place, checks: tuple[Check, ...]) -> None:
        """A job's checks."""
        self._found[place.subject][place.position] = checks

    @property
    def checks(self) -> tuple[Checks, ...]:
        """Of every layer, its jobs' in order."""
        return tuple(tuple(found[position] for position in sorted(found)) for found in self._found)


class Bay(Station):
    """A worker that checks: one process for small layers, two for large ones."""

    task: Checking

    def __init__(self, task: Checking):
        super().__init__(task)
        self._inner: Workers | None = None
        self._outer: Workshop | None = None
        self._root: tempfile.TemporaryDirectory[str] | None = None
        self._environment: dict[str, Any] = {}

    def answer_to(self, chunk: Chunk) -> Answer:
        """All checks of the chunk; of one that asks for the versions, by those who will have to work."""
        large = [chunk.alone or self.task.apart(step) for step in chunk.items]
        if all(large) and (large or self.task.wanted.own):
            return self._apart(chunk)
        small = tuple(step for step, one in zip(chunk.items, large, strict=True) if not one)
        answer = self._together(msgspec.structs.replace(chunk, items=small))
        turns = iter(answer.found)
        return msgspec.structs.replace(answer, found=tuple(None if one else next(turns) for one in large))

    def stop(self) -> None:
        """End the processes."""
        inner, outer, root = self._inner, self._outer, self._root
        self._inner = self._outer = self._root = None
        if inner:
            inner.stop()
        if outer:
            outer.__exit__()
        if root:
            root.cleanup()

    def _together(self, chunk: Chunk) -> Answer:
        """By one process; nothing is found when it does not come to an end."""
        start, task = perf_counter(), self.task
        if self._inner is None or self._root is None:
            against = task.wanted.against
            self._root = tempfile.TemporaryDirectory(prefix="convcli-", ignore_cleanup_errors=True)
            patience = min(LONGEST, max(SHORTEST, task.timeout))
            self._inner = Workers(against, threads=1, timeout=patience, warm=against == WARM, run=run)
        call = self._inner.call("chunk", chunk, self._root.name)
        self._inner.send()
        reply = self.awaited(call)
        if reply.status and not chunk.items:  # it does not even start: whoever is asked next says why
            return self._apart(chunk)
        if reply.status:
            return Answer((None,) * len(chunk.items), perf_counter() - start, self._environment)
        answer: Answer = reply.value
        self._environment = answer.environment
        return answer

    def _apart(self, chunk: Chunk) -> Answer:
        """Each side in a process of its own, by one worker of this process at a time: what is large has the memory."""
        start, task = perf_counter(), self.task
        with self.alone():
            if self._outer is None:
                own, against = task.wanted.own, task.wanted.against
                pair = sides(against, own, threads=task.threads, timeout=task.timeout)
                name = own[0].name if own else against
                self._outer = Workshop(name, self.go_on, pair, limit=task.limit or memory_limit(), own=own)
                self._environment = self._outer.begin()
            found = Found(chunk.items, task.wanted)
            self._outer.work_through([found])
        return Answer(found.checks, perf_counter() - start, self._environment)


def together(chunk: Chunk, root: str) -> Answer:
    """Both sides of every layer in this process."""
    from convcli.verifier.here import here

    start, task = perf_counter(), chunk.task
    shop = _shops.get(root)
    if shop is None:
        both, limit = here(), task.limit or memory_limit()
        made = Workshop(task.wanted.against, _never, (both, both), limit=limit, root=root)
        shop = _shops[root] = (made, made.begin())
    found = Found(chunk.items, task.wanted)
    shop[0].work_through([found])
    return Answer(found.checks, perf_counter() - start, shop[1])


def run(function: str, *args: Any) -> Done:
    """What a worker's process is asked: a chunk."""
    return attempted({"chunk": together}[function], *args)


def _never() -> None:
    """Whoever is to be interrupted sits elsewhere."""


_shops: dict[str, tuple[Workshop, dict[str, Any]]] = {}
