"""Cases through an executor: chunks of a fraction of a second, few outstanding, answers noted as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import TYPE_CHECKING, Any, Protocol

from convcli.errors import SpecError, Unchecked
from convcli.verifier.journal import NOT_COMPARED
from convcli.verifier.many.chunk import Answer, Chunk, Task

if TYPE_CHECKING:
    from convcli.verifier.many.engines import Engine

MOMENT = 0.2  # seconds between two looks for a Ctrl-C
LEAST, USUAL = 0.2, 0.5  # seconds of work in a chunk: while a worker has nothing to do, and otherwise
MOST = 200  # cases in a chunk, however quick the last ones were
TRIES = 2  # of a case alone, after the chunk that it was in was lost
FAR = 64  # chunks for each worker that may be done before one that was sent earlier


class Cases(Protocol):
    """What is to be done, and where it is told: a ledger."""

    def cases(self) -> Iterator[tuple[int, Any]]:
        """Each with its number, one by one, as far as there is room."""

    def take(self, index: int, found: Any) -> None:
        """What was found for a case."""


Where = tuple[Cases, int]


class Sent:
    """A chunk on its way, and where its answers belong."""

    def __init__(self, number: int, chunk: Chunk, where: list[Where]):
        self.number, self.chunk, self.where, self.tries = number, chunk, where, 0


class Crew:
    """The workers of an executor. check: called at every wait; what it raises ends the work."""

    def __init__(self, engine: Engine, task: Task, check: Callable[[], None]):
        self._engine, self._task, self._check = engine, task, check
        self._open: list[tuple[Where, Any]] = []
        self._opened = 0.0  # units of work in it
        self._rate = task.rate
        self._sent: dict[Future[Answer], Sent] = {}
        self._number = 0
        self._lost: list[Sent] = []
        self._again: list[Sent] = []
        self.environment: dict[str, Any] = {}

    def begin(self) -> dict[str, Any]:
        """The workers' versions. Raises Unchecked when they cannot do what they are asked."""
        future = self._engine.submit(Chunk(self._task, ()))
        while not future.done():
            self._check()
            wait([future], MOMENT)
        try:
            self.environment = future.result().environment
        except (SpecError, Unchecked):
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise Unchecked(f"the workers of {self._engine.name} cannot do it: {told}") from error
        return self.environment

    def work_through(self, works: Iterable[Cases]) -> None:
        """Do all cases and tell each where it belongs; the works are made one by one, as far as there is room."""
        for work in works:
            for index, item in work.cases():
                self._open.append(((work, index), item))
                self._opened += self._task.work_of(item)
                idle = len(self._sent) < self._engine.workers
                if self._opened * self._rate >= (LEAST if idle else USUAL) or len(self._open) == MOST:
                    self._send()
        self._send()
        while self._sent or self._again:
            self._repeat()
            self._note()

    def close(self) -> None:
        """Call off what is not begun."""
        for future in self._sent:
            future.cancel()

    def _send(self) -> None:
        """The open chunk, as soon as there is room; meanwhile what is done is noted."""
        if not self._open:
            return
        chunk = Chunk(self._task, tuple(item for _, item in self._open))
        where = [place for place, _ in self._open]
        self._open, self._opened = [], 0.0
        self._number += 1
        sent = Sent(self._number, chunk, where)
        while not self._has_room() or self._again:
            self._repeat()
            self._note()
        self._submit(sent)

    def _repeat(self) -> None:
        """Send what has to be done alone, as far as there is room."""
        while self._again and self._has_room():
            self._submit(self._again.pop(0))

    def _has_room(self) -> bool:
        workers = self._engine.workers
        oldest = min((sent.number for sent in self._sent.values()), default=self._number)
        return len(self._sent) < 2 * workers and self._number - oldest < FAR * workers

    def _submit(self, sent: Sent) -> None:
        self._sent[self._engine.submit(sent.chunk)] = sent

    def _note(self) -> None:
        """What is done; waits for a moment when nothing is."""
        self._check()
        wait(self._sent, MOMENT, FIRST_COMPLETED)
        for future in [future for future in self._sent if future.done()]:
            self._take(future, self._sent.pop(future))
        if self._lost:
            self._try_alone()

    def _take(self, future: Future[Answer], sent: Sent) -> None:
        try:
            answer = future.result()
        except (SpecError, Unchecked):
            raise
        except (Exception, CancelledError) as error:  # whatever an executor says of a worker that is gone
            self._give_up(sent, error)
            return
        if answer.environment:  # nobody's, when nothing was found
            self._same_versions(answer.environment)
        done = 0.0
        for place, item, found in zip(sent.where, sent.chunk.items, answer.found, strict=True):
            if found is None:
                self._again.append(Sent(sent.number, Chunk(self._task, (item,), alone=True), [place]))
            else:
                done += self._task.work_of(item)
                work, index = place
                work.take(index, found)
        if done:
            self._rate = (self._rate + answer.seconds / done) / 2

    def _give_up(self, sent: Sent, error: BaseException) -> None:
        """A worker died with a chunk: its cases are tried alone; one that was alone, twice, is told as it is."""
        sent.tries += 1
        if len(sent.where) == 1 and sent.tries > TRIES:
            work, index = sent.where[0]
            reason = " ".join(f"{type(error).__name__} {error}".split())[:300]
            work.take(index, self._task.lost(sent.chunk.items[0], reason))
            return
        if len(sent.where) == 1:
            self._lost.append(sent)
            return
        for place, item in zip(sent.where, sent.chunk.items, strict=True):
            again = Sent(sent.number, Chunk(self._task, (item,)), [place])
            again.tries = 1
            self._lost.append(again)

    def _try_alone(self) -> None:
        """The cases of lost chunks, one at a time with nothing beside them: whose worker dies now is to blame."""
        while self._sent:
            self._check()
            done, _ = wait(self._sent, MOMENT, FIRST_COMPLETED)
            for future in done:
                self._take(future, self._sent.pop(future))
        while self._lost:
            sent = self._lost.pop(0)
            future = self._engine.submit(sent.chunk)
            while not future.done():
                self._check()
                wait([future], MOMENT)
            self._take(future, sent)

    def _same_versions(self, environment: dict[str, Any]) -> None:
        """Raises Unchecked that names the versions in which a worker differs from the first one."""
        names = [name for name in {**self.environment, **environment} if name not in NOT_COMPARED]
        both = [(name, self.environment.get(name), environment.get(name)) for name in names]
        other = [f"{name} is {one} on one and {two} on another" for name, one, two in both if one != two]
        if other:
            raise Unchecked(f"the workers of {self._engine.name} differ: {'; '.join(other)}")
