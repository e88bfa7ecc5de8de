"""A chunk of cases and its answer: what an executor's worker is given, and gives back; of any kind of work.

What a kind of work is, its `Task` says: it is sent with every chunk, and makes the `Station` of a worker, the processes
in which the cases are worked on. So a case that kills its process is a row of the report, and the worker lives on.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from contextlib import contextmanager
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from convcli.verifier.workers import Call, Reply

MOMENT = 0.2  # seconds between two looks whether anybody still wants the answer
IDLE = 30.0  # seconds after which the processes of a worker that has nothing to do are ended


class Task(Protocol):
    """What all chunks of a run have in common; a frozen struct. rate: seconds for a unit of work, at a first guess."""

    @property
    def rate(self) -> float:
        """Seconds that a unit of work takes, at a first guess."""

    def station(self) -> Station:
        """A worker's processes, not yet started."""

    def work_of(self, item: Any) -> float:
        """What a case is expected to cost, in units of the task's own."""

    def lost(self, item: Any, reason: str) -> Any:
        """What is told of a case whose worker dies whenever it is tried."""


class Chunk(msgspec.Struct, frozen=True):
    """Cases that are sent together. alone: of one that must not be done beside others."""

    task: Any
    items: tuple[Any, ...]
    alone: bool = False

    @property
    def work(self) -> float:
        """What it is expected to cost."""
        task: Task = self.task
        return sum(map(task.work_of, self.items))


class Answer(msgspec.Struct, frozen=True):
    """What was found for every case, how long it took, and by which versions it was made.

    A case for which there is None has to be sent again, alone.
    """

    found: tuple[Any, ...]
    seconds: float
    environment: dict[str, Any]


class Station(ABC):
    """The processes of one worker of an executor, started when they are needed, ended when nothing comes any more."""

    def __init__(self, task: Any):
        self.task = task
        self._lock = threading.Lock()
        self._idle: threading.Timer | None = None
        self._ended = False

    @abstractmethod
    def answer_to(self, chunk: Chunk) -> Answer:
        """All that was asked; an empty chunk asks for the versions alone. `go_on` is to be called while it waits."""

    @abstractmethod
    def stop(self) -> None:
        """End the processes, whatever they are doing; they are started again when they are needed."""

    def answer(self, chunk: Chunk) -> Answer:
        """The answer to a chunk."""
        with self._lock:
            if self._idle:
                self._idle.cancel()
            try:
                return self.answer_to(chunk)
            finally:
                if self._ended:
                    self.stop()
                else:
                    self._idle = threading.Timer(IDLE, self.rest)
                    self._idle.daemon = True
                    self._idle.start()

    def rest(self) -> None:
        """End the processes until something comes."""
        with self._lock:
            self.stop()

    def end(self) -> None:
        """End the processes for ever, whatever they are doing."""
        self._ended = True
        if self._idle:
            self._idle.cancel()
        self.stop()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While the other workers of this process that ask for it wait: who is large, or measured, has the machine."""
        while not _alone.acquire(timeout=MOMENT):
            self.go_on()
        try:
            yield
        finally:
            _alone.release()

    def awaited(self, call: Call) -> Reply:
        """What came of a call of the processes, while somebody wants the answer."""
        while True:
            self.go_on()  # before it is asked: a call whose process was ended is made again
            if call.done:
                return call.reply
            wait([call.future], MOMENT)

    def go_on(self) -> None:
        """Raise when nobody wants the answer any more."""
        if self._ended:
            raise CancelledError


class Stations:
    """One for every thread that answers chunks."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._all: list[Station] = []

    def answered(self, chunk: Chunk) -> Answer:
        """The chunk's answer, by the station of this thread."""
        station: Station | None = getattr(self._local, "station", None)
        if station is None or station.task != chunk.task:
            if station:
                station.end()
                self._all.remove(station)
            station = self._local.station = chunk.task.station()
            self._all.append(station)
        return station.answer(chunk)

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        while self._all:
            self._all.pop().end()


def answered(chunk: Chunk) -> Answer:
    """The chunk's answer, in whatever thread or process of whatever machine this is called."""
    return _stations.answered(chunk)


_alone = threading.Lock()
_stations = Stations()
Finalize(None, _stations.close, exitpriority=100)  # atexit is not asked in a process of multiprocessing
