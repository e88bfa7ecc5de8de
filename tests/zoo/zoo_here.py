"""Models that need no library, imported in this process: what is a law of the run is none of the processes'."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from convcli.errors import ImportFailed
from convcli.importer.asked import Asked
from convcli.importer.graph import Graph, Node
from convcli.verifier import memory
from convcli.verifier.workers import RAISED, Reply
from convcli.zoo import station
from convcli.zoo.station import Importer, Importing
from convcli.zoo.wanted import Wanted

INPUT = (1, 3, 8, 8)
INSTALLED = ("torch", "lib")


def graph_of(target: str, asked: Asked, name: str = "") -> Graph:
    """A convolution with as many outputs as the name has letters; `broken` is not built, `odd` has an unknown layer."""
    name = name or target.rpartition(":")[2]
    if name == "broken":
        raise ImportFailed(f"building {target} raised ValueError:\n not built")
    if name == "raises":
        raise RuntimeError("what nobody expects")
    outs = len(name)
    fields = {"out_channels": outs, "kernel_size": 3}
    nodes = [Node("Conv2d", fields, (None,), (1, outs, 6, 6), place="conv", alone=True)]
    if name == "odd":
        nodes.append(Node("Unknown", {"operation": "fold", "shape": (1, 2)}, (nodes[0],), (1, 2)))
    return Graph(name, INPUT, nodes, nodes[-1:], notes=["it is said"] if name == "noted" else [])


@contextmanager
def here(version: str = "1.0") -> Iterator[list[str]]:
    """Inside, models are imported here; the targets so far are what is given."""
    imported: list[str] = []

    def reply(self: Importer, item: Wanted) -> Reply:
        imported.append(item.target)
        task: Importing = self.task
        done = station.run("spec", item, task)
        return Reply(done.value, RAISED.get(done.raised), done.reason)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(station, "graph_of", graph_of)
        patch.setattr(memory, "limited", nullcontext)  # a limit is the process's, and these are its threads
        patch.setattr(station, "versions", lambda libraries: {name: version for name in INSTALLED if name in libraries})
        patch.setattr(Importer, "_reply", reply)
        yield imported


class Losing(ThreadPoolExecutor):
    """Workers that are lost with `deadly`, whatever is beside it."""

    def submit(self, function: Any, /, *args: Any, **options: Any) -> Future[Any]:
        """The answer, or what an executor says of a worker that is gone."""
        if not any(item.target.endswith(":deadly") for item in args[0].items):
            return super().submit(function, *args, **options)
        future: Future[Any] = Future()
        future.set_exception(ConnectionError("gone"))
        return future


def losing() -> Losing:
    return Losing(2)


def told(record: Any) -> Any:
    """The rows, times aside."""
    return [(m.target, m.status, m.reason, m.layers, m.params, m.macs, m.complete, m.notes) for m in record.models]
