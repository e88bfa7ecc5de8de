"""The workers in which both sides run: a crash, a hang or a monstrous layer ends a process, never the report."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, TimeoutError  # noqa: A004 - pebble raises this one
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import msgspec
from pebble import ProcessExpired

from convcli.verifier.done import each
from convcli.verifier.pool import Pool
from convcli.verifier.processes import LEFT, PRELOAD, SpawnWorkers, prepare, server
from convcli.verifier.verdict import Status

MOST_CALLS = 32  # in one batch
BATCH_SECONDS = 10.0  # more than tiny layers take; what takes longer is called again, alone
AGAIN = 3  # times for a call whose pool broke
RAISED = {"unsupported": Status.UNSUPPORTED, "memory": Status.OUT_OF_MEMORY, "refused": Status.ERROR_MISMATCH}


class Reply(msgspec.Struct, frozen=True):
    """What came of a call: its value, or the status that its failure means and the reason."""

    value: Any = None
    status: Status | None = None
    reason: str = ""
    seconds: float = 0.0


class Batch:
    """Calls that go to a worker in one message: for tiny layers the messages are what costs."""

    def __init__(self, workers: Workers):
        self._workers = workers
        self.tasks: list[tuple[Any, ...]] = []
        self.sent: Future[Any] | None = None

    @property
    def future(self) -> Future[Any]:
        """Of all the answers; who asks for it sends the batch off."""
        if self.sent is None:
            self.sent = self._workers.scheduled(self)
        return self.sent

    @property
    def error(self) -> BaseException | None:
        """Why there are no answers, when the batch has come to its end."""
        try:
            return self.future.exception()
        except CancelledError as error:
            return error


class Call:
    """One call in a worker, and what it takes to make it again."""

    def __init__(self, workers: Workers, task: tuple[Any, ...]):
        self._workers, self.task = workers, task
        self._batch = workers.batch()
        self._place = len(self._batch.tasks)
        self._batch.tasks.append(task)
        self._again = AGAIN

    @property
    def future(self) -> Future[Any]:
        """What to wait for."""
        return self._batch.future

    @property
    def done(self) -> bool:
        """The reply is there.

        A call whose batch died is made once more, alone: only one of them is to blame. One whose pool broke before it
        began, as somebody ended a process that did nothing, is made again in a new pool.
        """
        if self._batch.sent is None or not self._batch.sent.done():
            return False
        error = self._batch.error
        alone = len(self._batch.tasks) == 1
        broken = isinstance(error, BrokenProcessPool) and self._again > 0
        if error and (broken or not alone):
            self._again -= alone
            self._batch, self._place = Batch(self._workers), 0
            self._batch.tasks.append(self.task)
            return self._batch.future.done()
        return True

    @property
    def reply(self) -> Reply:
        """What came of it; waits for it."""
        error = self._batch.error
        if error:
            status, reason = death(error, starved=self._workers.starved)
            return Reply(None, status, reason)
        done = self._batch.future.result()[self._place]
        return Reply(done.value, RAISED.get(done.raised), done.reason, done.seconds)


class Workers:
    """The process of one side, made anew when it dies; it may take `timeout` seconds over a call.

    run: what carries a task out in it, `tasks.run` unless said. warm: from a fork server that has imported torch.
    apart: from a fork server, so that it is no child of ours.
    """

    def __init__(
        self,
        backend: str,
        *,
        threads: int,
        timeout: float,
        warm: bool,
        apart: bool = False,
        run: Callable[..., Any] | None = None,
    ):
        self._run = run
        self._start, self.timeout = (backend, threads, dict(os.environ)), timeout
        self._context = server(PRELOAD if warm else "") if warm or apart else SpawnWorkers()
        self._starved = processes_starved()
        self._pool = self._new_pool()
        self._open = Batch(self)

    def _new_pool(self) -> Pool:
        return Pool(1, initializer=prepare, initargs=self._start, context=self._context)

    def call(self, function: str, *args: Any) -> Call:
        """Ask for one of `tasks.TASKS`. It is sent when somebody waits for it, or when it has enough company."""
        return Call(self, (function, *args))

    def batch(self) -> Batch:
        """The one that is open for more calls."""
        if self._open.sent or len(self._open.tasks) >= MOST_CALLS:
            self.send()
            self._open = Batch(self)
        return self._open

    def send(self) -> None:
        """Send off the calls that wait for others to join them."""
        if self._open.tasks and not self._open.sent:
            self._open.sent = self.scheduled(self._open)

    def scheduled(self, batch: Batch) -> Future[Any]:
        """The future of a batch; the pool is made anew when it broke."""
        if self._run is None:
            from convcli.verifier.tasks import run  # the initializer sets the threads before a worker imports numpy

            self._run = run
        args = (self._run, batch.tasks)
        timeout = self.timeout if len(batch.tasks) == 1 else min(self.timeout, BATCH_SECONDS)
        try:
            return self._pool.schedule(each, args=args, timeout=timeout)
        except RuntimeError:
            self.stop()
            self._pool = self._new_pool()
            return self._pool.schedule(each, args=args, timeout=timeout)

    @property
    def starved(self) -> bool:
        """Some process was killed for want of memory since we began, or nobody knows."""
        return self._starved is None or self._starved != processes_starved()

    def stop(self) -> None:
        """End the processes, whatever they are doing, and what they have left behind."""
        pool = self._pool  # another thread that still asks may make a new one meanwhile, and stops that
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()
        for worker in self._context.started:
            worker.sweep()
        self._context.started.clear()


def death(error: BaseException, *, starved: bool = True) -> tuple[Status, str]:
    """What the end of a worker means. starved: the system may have been out of memory."""
    if isinstance(error, TimeoutError):
        seconds = f"within {error.args[1]:g} seconds" if error.args[1:] else "in time"
        return Status.TIMED_OUT, f"no answer {seconds}"
    if not isinstance(error, ProcessExpired):
        return Status.CRASHED, f"the process could not be kept alive: {error or type(error).__name__}"
    code = error.exitcode or 0
    if code == -getattr(signal, "SIGKILL", 9):
        if starved:
            return Status.OUT_OF_MEMORY, "the process was killed (SIGKILL), as a system out of memory does"
        return Status.CRASHED, "the process was killed from outside (SIGKILL)"
    if code < 0:
        return Status.CRASHED, f"the process died: {signal_name(-code)}"
    return Status.CRASHED, f"the process left with code {0 if code == LEFT else code}"


def processes_starved() -> int | None:
    """How many processes the system has killed for want of memory since it started; None where it does not tell."""
    try:
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:  # not Linux
        pass
    return None


def signal_name(number: int) -> str:
    """SIGSEGV for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
