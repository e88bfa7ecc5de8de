"""Those who work, kept for as many ledgers as one likes: a run has one ledger, shrinking and fuzzing have many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from convcli.axis import whole
from convcli.backends import require
from convcli.errors import SpecError
from convcli.verifier.bounds import BITS
from convcli.verifier.estimate import memory_limit
from convcli.verifier.interrupt import Interrupt
from convcli.verifier.many.checks import Checking
from convcli.verifier.many.crew import Crew
from convcli.verifier.many.engines import engine_of, is_away
from convcli.verifier.workers import Workers
from convcli.verifier.workshop import Workshop, cores, sides

if TYPE_CHECKING:
    from convcli.verifier.explain.experiment import Workbench
    from convcli.verifier.jobs import Wanted
    from convcli.verifier.ledger import Ledger

TIMEOUT = 60.0
PATIENCE = 5.0  # seconds for a call about a failure: smaller layers, or data that others took already


class Session:
    """A context: entering it starts the workers, leaving it ends them. Ctrl-C raises KeyboardInterrupt in `work`.

    executor: who makes the checks: "local", "dask://host:port" or "package.module:factory". jobs: how many they are,
    here as many as there are cores when None. environment: versions, threads, jobs, and which other side; complete
    once the context is entered.

    Raises BackendMissing when the other side cannot run, SpecError for what makes no sense, both before any work.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        layers: int,
        jobs: int | None = None,
        max_memory: int | None = None,
        timeout: float = TIMEOUT,
        executor: str | None = None,
    ):
        for dtype in wanted.dtypes:
            if dtype not in BITS:
                raise SpecError(f"dtype={dtype!r} is not known", field="dtype", allowed=", ".join(BITS))
        if not timeout > 0:
            raise SpecError(f"timeout={timeout} is too short", field="timeout", allowed="more than 0 seconds")
        own = wanted.own
        if own and wanted.prove:
            raise SpecError("a function of one's own is asked for values alone: it proves no count", field="prove")
        if any(target.role == "autograd" and target.arrays != "torch" for target in own):
            raise SpecError("nothing differentiates numpy arrays: --kernel-grad names the backward", field="grad")
        require(own[0].arrays if own else wanted.against)
        self._threads = max(1, cores() // 2)  # of either side, where both have the machine
        self._limit = memory_limit() if max_memory is None else whole("max_memory", max_memory, least=1)
        self._wanted, self._timeout = wanted, timeout
        self.away = is_away(executor)
        given = None if max_memory is None else self._limit
        self._task = Checking(wanted, timeout, given, 1 if self.away else self._threads)
        self._engine = engine_of(executor, jobs, most=layers)
        other = own[0].place if own else wanted.against
        self.environment: dict[str, Any] = {"threads": self._threads, "jobs": jobs, "against": other}
        self._rounds = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._check = stack.enter_context(Interrupt()).check
            self._stack = stack
            stack.callback(self._engine.close)
            self._crew = Crew(self._engine, self._task, self._check)
            stack.callback(self._crew.close)
            found = self._crew.begin()
            self.environment["jobs"] = self._engine.workers
            self._rounds = found["rounds"]
            self.environment = {**found, **self.environment}
            del self.environment["rounds"]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @cached_property
    def _workshop(self) -> Workshop:
        """Processes here for what failed, each side in its own: it is made smaller, and explained."""
        own, against = self._wanted.own, self._wanted.against
        pair = sides(against, own, threads=self._threads, timeout=self._timeout)
        name = own[0].name if own else against
        made = Workshop(name, self._check, pair, limit=self._limit, own=own)
        shop = self._stack.enter_context(made)
        shop.begin()
        return shop

    @contextmanager
    def workbench(self) -> Iterator[Workbench]:
        """Where single failures are taken apart, by the same workers, with less patience."""
        from convcli.verifier.explain.experiment import Workbench

        shop = self._workshop
        started: list[Workers] = []

        def jury() -> Workers:
            if not started:
                started.append(Workers("", threads=self._threads, timeout=self._timeout, warm=True))
            return started[0]

        sides = (shop.bench.ours, shop.bench.theirs)
        try:
            for workers in sides:
                workers.timeout = min(self._timeout, PATIENCE)
            yield Workbench(shop.bench, self._wanted, shop.replies, shop.root, jury)
        finally:
            for workers in sides:
                workers.timeout = self._timeout
            for workers in started:
                workers.stop()

    def work(self, *ledgers: Ledger) -> None:
        """Make every check of some ledgers and note it there, by the processes for failures."""
        self._workshop.work_through(map(self._told, ledgers))

    def work_through(self, ledgers: Iterable[Ledger]) -> None:
        """The same of ledgers that are made one by one, each as soon as there is room for it; by whoever is to work."""
        self._crew.work_through(map(self._told, ledgers))

    def _told(self, ledger: Ledger) -> Ledger:
        ledger.rounds, ledger.environment = self._rounds, self.environment
        return ledger
