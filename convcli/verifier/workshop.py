"""Where jobs run: both sides' workers, the files between them, and the memory that is in use."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec

from convcli.backends import OURS
from convcli.errors import BackendMissing, SpecError
from convcli.verifier import trial
from convcli.verifier.case import Unfillable
from convcli.verifier.estimate import gigabytes
from convcli.verifier.exchange import Lost
from convcli.verifier.job import Bench, Job, NothingToDo
from convcli.verifier.verdict import Check, Status
from convcli.verifier.workers import Call, Reply, Workers

if TYPE_CHECKING:
    from convcli.backends.target import Target
    from convcli.verifier.ledger import Place

WARM = "torch"  # what the fork server preloads
MOST = 3  # jobs: one of each side waits while another runs
TOGETHER = 16  # small jobs that count as one
MOMENT = 0.2  # seconds between two looks for a Ctrl-C


class Notes(Protocol):
    """What is to be checked, and where it is noted: a ledger."""

    def jobs(self) -> Iterator[tuple[Place, Job]]:
        """The jobs, one by one, each with its place."""

    def note(self, place: Place, checks: tuple[Check, ...]) -> None:
        """A job's checks."""


Where = tuple[Notes, "Place"]
Checked = tuple[Where, tuple[Check, ...]]


class _Running(msgspec.Struct):
    where: Any
    job: Job
    calls: list[Call]
    directory: str
    replies: list[Reply] | None = None


def sides(against: str, own: tuple[Target, ...], **options: Any) -> tuple[Workers, Workers]:
    """The processes of our side, and those of the other one: of a library, or of the user's functions."""
    ours = Workers(OURS, **options, warm=False)
    if own:
        return ours, Workers("", **options, warm=own[0].arrays == WARM, apart=True, run=trial.run)
    return ours, Workers(against, **options, warm=against == WARM)


class Workshop:
    """One layer at a time and what can wait behind it, within `limit` bytes. A context: leaving it ends every process.

    pair: both sides' workers. check: called at every wait; what it raises ends the work. own: the user's functions.
    root: where files go, a directory of the system's for such things when None.
    """

    def __init__(
        self,
        against: str,
        check: Callable[[], None],
        pair: tuple[Workers, Workers],
        *,
        limit: int,
        own: tuple[Target, ...] = (),
        root: str | None = None,
    ):
        self._check = check
        self.limit = limit
        self._started = 0
        self._running: list[_Running] = []
        self._root = tempfile.TemporaryDirectory(prefix="convcli-", dir=root, ignore_cleanup_errors=True)
        self._described = own or against
        self._bench = Bench(against, *pair, share=limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for workers in (self._bench.theirs, self._bench.ours):
            workers.stop()
        self._running.clear()
        self._root.cleanup()

    def begin(self) -> dict[str, Any]:
        """Both sides' versions, and whether the other one `rounds`. Raises BackendMissing when it does not start."""
        ours = self._bench.ours.call("environment")
        theirs = self._bench.theirs.call("describe", self._described)
        mine, found = self.replies([ours, theirs])
        if found.status:
            raise BackendMissing(f"{self._bench.against} does not start: {found.reason}")
        if "unusable" in found.value:
            raise SpecError(problems=found.value["unusable"])
        self._bench = replace(self._bench, rounds=found.value.get("rounds", False))
        return {**mine.value, **found.value}

    @property
    def bench(self) -> Bench:
        """Both sides' workers."""
        return self._bench

    @property
    def root(self) -> str:
        """The directory of all files."""
        return self._root.name

    def replies(self, calls: Sequence[Call]) -> list[Reply]:
        """What came of the calls; waits for all of them."""
        while not all(call.done for call in calls):
            self._wait(list(calls))
        return [call.reply for call in calls]

    def work_through(self, ledgers: Iterable[Notes]) -> None:
        """Make every check of some ledgers and note it there; each is made as soon as there is room for its jobs."""
        for ledger in ledgers:
            for place, job in ledger.jobs():
                while not self.has_room(job):
                    _note(self.finished())
                _note(self.start((ledger, place), job))
        while not self.idle:
            _note(self.finished())

    @property
    def idle(self) -> bool:
        """No job is running."""
        return not self._running

    def has_room(self, job: Job) -> bool:
        """The job can start now, beside those that run."""
        taken = sum(running.job.memory for running in self._running)
        busy = sum(1 / TOGETHER if running.job.small else 1 for running in self._running)
        return not self._running or (busy < MOST and taken + job.memory <= self.limit)

    def start(self, where: Where, job: Job) -> list[Checked]:
        """Start a job; or its checks at once, when there is nothing to do or no room for it at all."""
        if job.memory > self.limit:
            needs = f"needs about {gigabytes(job.memory)}, --max-memory is {gigabytes(self.limit)}"
            return [(where, (job.check(Status.SKIPPED, needs),))]
        self._started += 1
        directory = str(Path(self._root.name) / str(self._started))
        try:
            self._running.append(_Running(where, job, job.start(self._bench, directory), directory))
        except (NothingToDo, Unfillable) as reason:
            check = job.check(Status.SKIPPED, str(reason))
        except (FileNotFoundError, FileExistsError):
            check = job.check(Status.CRASHED, f"{self._bench.against} deleted the data meanwhile")
        except (MemoryError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in {errno.ENOSPC, errno.ENOMEM, errno.EDQUOT}:
                raise
            check = job.check(Status.OUT_OF_MEMORY, f"no room for the data: {error}")
        else:
            if not job.small:
                self._bench.ours.send()
                self._bench.theirs.send()
            return []
        discard(directory)
        return [(where, (check,))]

    def finished(self) -> list[Checked]:
        """The checks of the jobs that are done; waits until there is one."""
        while True:
            done = [running for running in self._running if all(call.done for call in running.calls)]
            checked = [self._checked(running) for running in done if not self._asks_further(running)]
            if checked:
                return checked
            if done:
                continue
            self._wait([call for running in self._running for call in running.calls])

    def _wait(self, calls: list[Call]) -> None:
        """Until one of the calls is done, or for a moment; a Ctrl-C is answered here."""
        self._check()
        wait([call.future for call in calls if not call.future.done()], MOMENT, FIRST_COMPLETED)
        self._check()

    def _asks_further(self, running: _Running) -> bool:
        """A job's second round of calls has begun."""
        if running.replies is not None:
            return False
        replies = [call.reply for call in running.calls]
        try:
            further = running.job.further(self._bench, running.directory, replies)
        except (MemoryError, Lost):  # the verdict meets the same, and says so
            further = []
        if further:
            running.calls, running.replies = further, replies
        return bool(further)

    def _checked(self, running: _Running) -> Checked:
        self._running.remove(running)
        replies: list[Reply] = [*(running.replies or []), *[call.reply for call in running.calls]]
        try:
            checks = running.job.checks(replies)
        except MemoryError as error:
            checks = (running.job.check(Status.OUT_OF_MEMORY, f"no room for the comparison: {error}"),)
        except Lost as error:
            checks = (running.job.check(Status.CRASHED, f"{self._bench.against}: {error}"),)
        discard(running.directory)
        return running.where, checks


def _note(checked: list[Checked]) -> None:
    for (ledger, place), checks in checked:
        ledger.note(place, checks)


def discard(directory: str) -> None:
    """Remove a job's files; tiny layers have none."""
    if Path(directory).exists():
        shutil.rmtree(directory, ignore_errors=True)


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
