"""A chunk of cases and its answer: what an executor's worker is given, and gives back.

A worker keeps one process for chunks, in which both sides do their work: for small layers messages are what costs.
When that process dies or takes too long, the chunk's cases are done one by one with each side in a process of its own,
as are large layers and the user's functions; so a case that kills its process is a row of the report, no other is lost.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, wait
from multiprocessing.util import Finalize
from time import perf_counter
from typing import Any

import msgspec

from convcli.plan import Step
from convcli.verifier.done import Done, attempted
from convcli.verifier.estimate import memory_limit
from convcli.verifier.job import Job
from convcli.verifier.jobs import Wanted, all_jobs
from convcli.verifier.ledger import Place
from convcli.verifier.shard import ALWAYS
from convcli.verifier.verdict import Check, Status
from convcli.verifier.workers import Reply, Workers
from convcli.verifier.workshop import MOMENT, WARM, Workshop, sides

Checks = tuple[tuple[Check, ...], ...]  # of all jobs of a case
LARGE_MACS = 200_000_000  # of a layer that has its processes to itself
LONGEST = 20.0  # seconds for a chunk of small layers, which are worth one; what takes longer is done one by one
IDLE = 30.0  # seconds after which the processes of a worker that has nothing to do are ended


class Task(msgspec.Struct, frozen=True):
    """What all chunks of a run have in common. limit: bytes; half of what is free where it runs, when None."""

    wanted: Wanted
    timeout: float
    limit: int | None = None
    threads: int = 1


class Chunk(msgspec.Struct, frozen=True):
    """Cases that are sent together."""

    task: Task
    steps: tuple[Step, ...]

    @property
    def work(self) -> int:
        """What it is expected to cost, in macs."""
        return sum(map(work_of, self.steps))

    @property
    def apart(self) -> bool:
        """Its layers are large, or functions of the user's, which may not be in one process with our own."""
        return bool(self.task.wanted.own) or any(work_of(step) > LARGE_MACS for step in self.steps)


class Answer(msgspec.Struct, frozen=True):
    """The checks of every case, how long they took, and by which versions they were made."""

    checks: tuple[Checks, ...]
    seconds: float
    environment: dict[str, Any]


def work_of(step: Step) -> int:
    """What a case is expected to cost, in macs."""
    return ALWAYS + step.layer.counts(step.x, step.images).macs


class Cases:
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


def lost(reason: str) -> Checks:
    """Of a case whose worker dies whenever it is tried."""
    return ((Check("layer", "", Status.CRASHED, detail=f"the worker that tried it died, twice: {reason}"),),)


def answered(chunk: Chunk) -> Answer:
    """The chunk's answer, in whatever thread or process of whatever machine this is called."""
    station: Station | None = getattr(_local, "station", None)
    if station is None or station.task != chunk.task:
        if station:
            station.close()
        station = _local.station = Station(chunk.task)
    return station.answer(chunk)


class Station:
    """The processes of one worker of an executor, started when they are needed, ended when nothing comes any more."""

    def __init__(self, task: Task):
        self.task = task
        self._lock = threading.Lock()
        self._inner: Workers | None = None
        self._outer: Workshop | None = None
        self._root: tempfile.TemporaryDirectory[str] | None = None
        self._environment: dict[str, Any] = {}
        self._idle: threading.Timer | None = None
        self._ended = False
        _stations.append(self)

    def answer(self, chunk: Chunk) -> Answer:
        """All checks of the chunk."""
        with self._lock:
            if self._idle:
                self._idle.cancel()
            try:
                found = None if chunk.apart else self._together(chunk)
                return found or self._apart(chunk)
            finally:
                if self._ended:
                    self._stop()
                else:
                    self._idle = threading.Timer(IDLE, self.close)
                    self._idle.daemon = True
                    self._idle.start()

    def close(self) -> None:
        """End the processes; they are started again when they are needed."""
        with self._lock:
            self._stop()

    def end(self) -> None:
        """End the processes for ever, whatever they are doing."""
        self._ended = True
        self._stop()

    def _go_on(self) -> None:
        """Raise when nobody wants the answer any more."""
        if self._ended:
            raise CancelledError

    def _stop(self) -> None:
        inner, outer, root, self._inner, self._outer, self._root = (
            self._inner,
            self._outer,
            self._root,
            None,
            None,
            None,
        )
        if inner:
            inner.stop()
        if outer:
            outer.__exit__()
        if root:
            root.cleanup()

    def _together(self, chunk: Chunk) -> Answer | None:
        """By one process; None when it does not come to an end."""
        task = self.task
        if self._inner is None or self._root is None:
            against = task.wanted.against
            self._root = tempfile.TemporaryDirectory(prefix="convcli-", ignore_cleanup_errors=True)
            warm = against == WARM
            self._inner = Workers(against, count=1, threads=task.threads, timeout=LONGEST, warm=warm, run=run)
        call = self._inner.call("chunk", chunk, self._root.name)
        self._inner.send()
        while True:
            self._go_on()  # before it is asked: a call whose process was ended is made again
            if call.done:
                break
            wait([call.future], MOMENT)
        reply: Reply = call.reply
        return None if reply.status else reply.value

    def _apart(self, chunk: Chunk) -> Answer:
        """Each side in a process of its own."""
        start, task = perf_counter(), self.task
        if self._outer is None:
            own, against = task.wanted.own, task.wanted.against
            pair = sides(against, own, count=1, threads=task.threads, timeout=task.timeout)
            name = own[0].name if own else against
            self._outer = Workshop(name, self._go_on, pair, count=1, limit=task.limit or memory_limit(), own=own)
            self._environment = self._outer.begin()
        cases = Cases(chunk.steps, task.wanted)
        self._outer.work_through([cases])
        return Answer(cases.checks, perf_counter() - start, self._environment)


def together(chunk: Chunk, root: str) -> Answer:
    """Both sides of every case in this process."""
    from convcli.verifier.here import here

    start, task = perf_counter(), chunk.task
    shop = _shops.get(root)
    if shop is None:
        both, limit = here(), task.limit or memory_limit()
        made = Workshop(task.wanted.against, _go_on, (both, both), count=1, limit=limit, root=root)
        shop = _shops[root] = (made, made.begin())
    cases = Cases(chunk.steps, task.wanted)
    shop[0].work_through([cases])
    return Answer(cases.checks, perf_counter() - start, shop[1])


def run(function: str, *args: Any) -> Done:
    """What a worker's process is asked: a chunk."""
    return attempted({"chunk": together}[function], *args)


def close_all() -> None:
    """End all processes of all workers in this process, whatever they are doing."""
    while _stations:
        _stations.pop().end()


def _go_on() -> None:
    """Whoever is to be interrupted sits elsewhere."""


_local = threading.local()
_stations: list[Station] = []
_shops: dict[str, tuple[Workshop, dict[str, Any]]] = {}
Finalize(None, close_all, exitpriority=100)  # atexit is not asked in a process of multiprocessing
