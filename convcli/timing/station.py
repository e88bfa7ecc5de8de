"""Layers to be measured: what `bench` sends to a worker, and how a worker measures them.

Every layer is measured by one worker, with all sides in turn in one process; so ratios hold, whoever it was. When that
process dies or hangs, the layer says so and the next one has a new process.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import msgspec

from convcli.backends import require
from convcli.errors import BackendMissing
from convcli.timing import measure
from convcli.timing.course import Different
from convcli.timing.measure import FEWEST, How, Readings
from convcli.timing.record import Timing, timed
from convcli.verifier.estimate import backward_bytes, forward_bytes, gigabytes, memory_limit
from convcli.verifier.job import effort
from convcli.verifier.many.chunk import Answer, Chunk, Station
from convcli.verifier.verdict import Status
from convcli.verifier.workers import Reply, Workers

MACS_A_SECOND = 2e10  # of one side, about


class Measuring(msgspec.Struct, frozen=True):
    """What is to be measured. timeout: seconds for a layer. limit: bytes; half of what is free there, when None."""

    how: How
    timeout: float
    limit: int | None = None

    @property
    def rate(self) -> float:
        """The unit of work is a second."""
        return 1.0

    def station(self) -> Stand:
        """A worker's process."""
        return Stand(self)

    def work_of(self, one: Different) -> float:
        """Seconds that a layer is expected to take: as asked, or as long as the fewest readings of every side."""
        return max(self.how.seconds, (1 + FEWEST) * len(self.how.sides) * one.macs / MACS_A_SECOND)

    def lost(self, one: Different, reason: str) -> Timing:
        """Of a layer whose worker dies whenever it is tried."""
        return without(one, Status.CRASHED, f"the worker that tried it died, twice: {reason}")


class Stand(Station):
    """A worker that measures, in a process of its own, one layer at a time."""

    task: Measuring

    def __init__(self, task: Measuring):
        super().__init__(task)
        threads = task.how.threads
        self._workers = Workers("", threads=threads, timeout=task.timeout, warm=False, run=measure.run)
        self._environment: dict[str, Any] | None = None
        self._limit = 0

    def answer_to(self, chunk: Chunk) -> Answer:
        """The times of each layer; other workers of this process wait meanwhile.

        Layers that are skipped count as if they had been measured: those that come next will be.
        """
        with self.alone():
            if self._environment is None:
                self._environment = self._begin()
            start = perf_counter()
            found = tuple(map(self._measured, chunk.items))
            return Answer(found, max(perf_counter() - start, chunk.work), self._environment)

    def stop(self) -> None:
        """End the process; the next call starts another."""
        self._environment = None
        self._workers.stop()

    def _begin(self) -> dict[str, Any]:
        """The versions of all sides. Raises BackendMissing when one is not here."""
        self._limit = self.task.limit or memory_limit()
        for side in self.task.how.sides:
            require(side.backend)
        reply = self._reply("environment", self.task.how.sides)
        if reply.status:
            raise BackendMissing(reply.reason)
        found: dict[str, Any] = reply.value
        return found

    def _measured(self, one: Different) -> Timing:
        step, how = one.step, self.task.how
        needed = (backward_bytes if how.grad else forward_bytes)(step.layer, step.batch, step.x, how.dtype)
        if needed > self._limit:
            needs = f"needs about {gigabytes(needed)}, --max-memory is {gigabytes(self._limit)}"
            return without(one, Status.SKIPPED, needs)
        if not effort(step.layer, step.x, step.images):
            return without(one, Status.SKIPPED, "there is nothing to compute")
        reply = self._reply("measure", step.layer, step.batch, step.x, how)
        if reply.status:
            return without(one, reply.status, reply.reason)
        readings: Readings = reply.value
        return timed(one.timing, readings.nanoseconds, readings.missing)

    def _reply(self, function: str, *args: Any) -> Reply:
        """Of the process, while we ask whether anybody wants it."""
        self.go_on()
        call = self._workers.call(function, *args)
        self._workers.send()
        return self.awaited(call)


def without(one: Different, status: Status, reason: str) -> Timing:
    """The layer without times, and why it has none."""
    return msgspec.structs.replace(one.timing, status=status, reason=reason)
