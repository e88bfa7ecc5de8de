"""Processes for strangers' code: without the caller's script, quiet, of a group of their own, the first to go.

Our side's are spawned and never see torch, unless both sides work in one. The other side's come from a fork server
that has imported it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

PRELOAD = "convcli.verifier.preload"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# OpenBLAS' threads look for more to do for 2^26 ticks, and a library that runs after it on the same cores waits for
# them: torch on two threads took 31 ms for 1.3. After 2^22 ticks, 1 or 2 ms, they sleep.
ASLEEP = ("OPENBLAS_THREAD_TIMEOUT", "22")
LEFT = 256  # no process can leave with it


def prepare(backend: str, threads: int, environment: dict[str, str]) -> None:
    """Make a fresh process a worker: quiet, quick to end, with its share of the cores, the backend imported.

    environment: the caller's now; a fork server has that of its start.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, even in the middle of a C function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    sys.stdout.flush()
    os.dup2(2, 1)  # standard output is the report's alone
    _expendable()
    warnings.simplefilter("ignore")
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # what a library asked for in the server is of its environment
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    os.environ.setdefault(*ASLEEP)
    if not backend:  # the tasks import what they need
        return
    from convcli.backends import backend as found

    try:
        module = found(backend)
    except Exception:  # the first task meets it again and reports it
        return
    set_threads = getattr(module, "set_threads", None)
    if set_threads:
        set_threads(threads)


def _expendable() -> None:
    """A group of its own, to be ended with all that it starts; no core file; the first to go when memory runs out."""
    with suppress(OSError, AttributeError):
        os.setpgid(0, 0)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        import resource
    except ImportError:  # not on this system
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


@contextmanager
def _no_main() -> Iterator[None]:
    """A child would run the caller's script again to find its functions; ours are all in modules."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _a_parent() -> Iterator[None]:
    """Executors' workers are mostly daemons, which may have no children: ours end when nobody asks them any more."""
    process = multiprocessing.current_process()
    daemon = process.daemon
    if daemon:
        process.daemon = False
    try:
        yield
    finally:
        if daemon:
            process.daemon = True


class Worker(BaseProcess):
    """A process that starts without the caller's script. started: those of its context that may still run."""

    started: list[Worker]

    def start(self) -> None:
        """As always, but for that; before it is swept up behind those that have ended: a pid may be another's later."""
        ended = [worker for worker in self.started if worker.exitcode is not None]
        for worker in ended:
            worker.sweep()
        self.started[:] = [worker for worker in self.started if worker not in ended]
        with _no_main(), _a_parent():
            super().start()
        self.started.append(self)

    def sweep(self) -> None:
        """End what it has started, all of which is in its group."""
        with suppress(OSError, AttributeError):  # nothing is left, as it should be; or there are no groups here
            if self.pid:
                os.killpg(self.pid, signal.SIGKILL)

    @property
    def exitcode(self) -> int | None:
        """No worker leaves of its own accord; pebble takes a code of 0 for no accident and waits for its answer."""
        code = super().exitcode
        return LEFT if code == 0 else code


class SpawnWorker(Worker, SpawnProcess):
    """A fresh interpreter."""


class SpawnWorkers(SpawnContext):
    """Fresh interpreters."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Worker] = []

    def Process(self, *args: Any, **options: Any) -> SpawnWorker:  # type: ignore[override]  # noqa: N802
        """One of them."""
        worker = SpawnWorker(*args, **options)
        worker.started = self.started
        return worker


if sys.platform != "win32":
    from multiprocessing.context import ForkServerContext, ForkServerProcess

    class ForkWorker(Worker, ForkServerProcess):
        """A copy of the server."""

    class ForkWorkers(ForkServerContext):
        """Copies of a server that may have imported the backend."""

        def __init__(self) -> None:
            super().__init__()
            self.started: list[Worker] = []

        def Process(self, *args: Any, **options: Any) -> ForkWorker:  # type: ignore[override]  # noqa: N802
            """One of them."""
            worker = ForkWorker(*args, **options)
            worker.started = self.started
            return worker


def server(preload: str) -> SpawnWorkers | ForkWorkers:
    """The fork server where there is one, else fresh interpreters."""
    if sys.platform != "win32" and "forkserver" in multiprocessing.get_all_start_methods():
        context = ForkWorkers()
        context.set_forkserver_preload([preload] if preload else [])
        return context
    return SpawnWorkers()
