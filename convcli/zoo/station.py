"""Where models are imported: each in a process of its own, which has seen no other model and may die of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from convcli.errors import BackendMissing, SpecError, Unchecked
from convcli.importer.asked import Asked, graph_of, is_onnx, told
from convcli.verifier.done import Done, attempted, out_of_memory
from convcli.verifier.many.chunk import Answer, Chunk, Station
from convcli.verifier.verdict import Status
from convcli.verifier.workers import Reply, Workers
from convcli.zoo.record import Model
from convcli.zoo.wanted import Wanted

DEATHS = {Status.CRASHED, Status.TIMED_OUT, Status.OUT_OF_MEMORY}
MOST_SAID = 500  # letters of a reason


class Found(msgspec.Struct, frozen=True):
    """What became of a model, and its spec where there is one."""

    model: Model
    spec: str = ""


class Importing(msgspec.Struct, frozen=True):
    """What all models of a run have in common. home: where the command was typed. libraries: whose versions matter."""

    asked: Asked
    timeout: float
    home: str
    libraries: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Seconds that a model takes, at a first guess."""
        return 1.0

    def station(self) -> Importer:
        """A worker's processes."""
        return Importer(self)

    def work_of(self, item: Wanted) -> float:
        """Nobody knows before: all alike."""
        del item
        return 1.0

    def lost(self, item: Wanted, reason: str) -> Found:
        """Of a model whose worker dies whenever it is tried."""
        return failed(item, Status.CRASHED, f"the worker that tried it died, twice: {reason}")


class Importer(Station):
    """A process for a model, one after the other, from a fork server that has imported torch where that is needed."""

    task: Importing

    def __init__(self, task: Importing):
        super().__init__(task)
        self._workers: Workers | None = None
        self._environment: dict[str, Any] = {}

    def answer_to(self, chunk: Chunk) -> Answer:
        """Every model, whatever becomes of it."""
        start = perf_counter()
        self._environment = self._environment or versions(self.task.libraries)
        return Answer(tuple(map(self._found, chunk.items)), perf_counter() - start, self._environment)

    def stop(self) -> None:
        """End the process."""
        workers, self._workers = self._workers, None
        if workers:
            workers.stop()

    def _found(self, item: Wanted) -> Found:
        start = perf_counter()
        reply = self._reply(item)
        status = reply.status if reply.status in DEATHS else Status.FAILED
        found = failed(item, status, reply.reason) if reply.status else reply.value
        seconds = round(perf_counter() - start, 3)
        return msgspec.structs.replace(found, model=msgspec.structs.replace(found.model, seconds=seconds))

    def _reply(self, item: Wanted) -> Reply:
        task = self.task
        warm = "torch" in task.libraries
        self._workers = Workers("", threads=1, timeout=task.timeout, warm=warm, apart=True, run=run)
        try:
            call = self._workers.call("spec", item, task)
            self._workers.send()
            return self.awaited(call)
        finally:
            self.stop()


def libraries_of(targets: Sequence[str]) -> tuple[str, ...]:
    """torch or onnx, and what the targets' modules are called: where one is of a library, its version tells it."""
    places = [target.rpartition(":")[0] for target in targets if not is_onnx(target)]
    modules = [place.partition(".")[0] for place in places if not place.endswith(".py")]
    needed = ["torch"] * bool(places) + ["onnx"] * any(map(is_onnx, targets))
    return tuple(dict.fromkeys([*needed, *modules]))


def versions(libraries: Sequence[str]) -> dict[str, Any]:
    """Of those that are installed. Raises BackendMissing when torch or onnx is not; nothing is imported."""
    found: dict[str, Any] = {}
    for name in libraries:
        try:
            found[name] = version(name)
        except (PackageNotFoundError, ValueError):  # a module of the user's own; ValueError: no name at all
            if name in {"torch", "onnx"} and find_spec(name) is None:
                raise BackendMissing(f'{name} is not installed; pip install "convcli[{name}]"') from None
    return found


def run(function: str, *args: Any) -> Done:
    """What a worker's process is asked: the spec of a model."""
    return attempted({"spec": spec}[function], *args)


def spec(item: Wanted, task: Importing) -> Found:
    """The model's spec, made in this process, where its code then has run."""
    from convcli.importer.document import document, text
    from convcli.records import Scope, record_of
    from convcli.spec.build import network
    from convcli.verifier.estimate import memory_limit
    from convcli.verifier.memory import limited

    if Path(task.home).is_dir():
        os.chdir(task.home)
    try:
        with limited(memory_limit()):
            graph = graph_of(item.target, task.asked)
    except (SpecError, Unchecked) as error:
        memory = any(map(out_of_memory, filter(None, (error, error.__cause__))))
        return failed(item, Status.OUT_OF_MEMORY if memory else Status.FAILED, str(error))
    totals = record_of(network(document(graph), graph.name), Scope("summary")).totals
    model = Model(
        name=item.name,
        target=item.target,
        file=item.file,
        layers=len(graph.nodes),
        params=totals.params or 0,
        macs=totals.macs or 0,
        complete=totals.complete,
        notes=tuple(told(graph)),
    )
    return Found(model, text(graph))


def failed(item: Wanted, status: Status, reason: str) -> Found:
    """No spec, and why."""
    words = " ".join(reason.split())[:MOST_SAID]
    return Found(Model(name=item.name, target=item.target, status=status, reason=words, complete=False))
