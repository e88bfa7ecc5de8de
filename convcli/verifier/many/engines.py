"""Executors by name: local workers, a dask cluster, whatever a function of the user's makes."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from time import monotonic
from typing import Any

from convcli.axis import whole
from convcli.errors import BackendMissing, SpecError, Unchecked
from convcli.verifier.many.chunk import Answer, Chunk, Stations, answered
from convcli.verifier.workshop import cores

INSTALL = 'pip install "convcli[dask]"'
LOCAL = "local"
LOOK_AGAIN = 2.0  # seconds for which a cluster's size is taken for granted


class Engine:
    """An executor, made anew when it broke, and how many workers it has."""

    def __init__(self, name: str, make: Callable[[], Executor], count: Callable[[Executor], int]):
        self.name, self._make, self._count = name, make, count
        self._executor: Executor | None = None
        self._workers, self._looked = 1, 0.0
        self._answered: Callable[[Chunk], Answer] = answered

    @property
    def workers(self) -> int:
        """As many as there are now; a cluster may grow, and shrink."""
        if self._executor and monotonic() - self._looked > LOOK_AGAIN:
            self._workers, self._looked = max(1, self._count(self._executor)), monotonic()
        return self._workers

    def submit(self, chunk: Chunk) -> Future[Answer]:
        """The answer to a chunk, on its way. Raises Unchecked when there is no executor to be had."""
        try:
            return self._made().submit(self._answered, chunk)
        except (BrokenExecutor, RuntimeError):  # a pool of processes breaks as a whole
            self.close()
            return self._made().submit(self._answered, chunk)

    def _made(self) -> Executor:
        if self._executor is None:
            try:
                self._executor = self._make()
            except (SpecError, Unchecked):
                raise
            except Exception as error:
                raise Unchecked(f"{self.name}: {type(error).__name__}: {error}") from error
            self._looked = 0.0
        return self._executor

    def close(self) -> None:
        """Send nothing more."""
        executor, self._executor = self._executor, None
        if executor:
            executor.shutdown(wait=False)


class Local(Engine):
    """`count` workers here: threads, each with its own process."""

    def __init__(self, count: int):
        super().__init__("this machine", lambda: ThreadPoolExecutor(count, "convcli"), lambda _: count)
        self._stations = Stations()
        self._answered = self._stations.answered

    def close(self) -> None:
        """The processes end as well, whatever they are doing."""
        super().close()
        self._stations.close()


class Dask(Engine):
    """A dask cluster, by the address of its scheduler."""

    def __init__(self, address: str):
        try:
            self._distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise BackendMissing(f"distributed is not installed; {INSTALL}") from error
        logging.getLogger("distributed.client").setLevel(logging.ERROR)  # lost workers are the crew's to deal with
        self._client: Any = None
        self._address = address
        super().__init__(address, self._connected, lambda _: sum(self._client.nthreads().values()))

    def _connected(self) -> Executor:
        address = self._address.replace("dask://", "tcp://", 1)
        self._client = self._distributed.Client(address, set_as_default=False)
        executor: Executor = self._client.get_executor(pure=False)
        return executor

    def close(self) -> None:
        """The connection, too."""
        super().close()
        client, self._client = self._client, None
        if client:
            client.close()


def is_away(name: str | None) -> bool:
    """Whether such an executor's workers may be other machines."""
    return name not in {None, LOCAL}


def engine_of(name: str | None, workers: int | None = None, *, most: int | None = None) -> Engine:
    """Of `local` or None, of `dask://host:port`, or of `package.module:factory`, a function that makes an executor.

    workers: how many it has, where it does not tell; on this machine one for a core, `most` of them at the most, when
    None. Raises SpecError, BackendMissing.
    """
    if workers is not None:
        whole("jobs", workers, least=1)
    if name is None or name == LOCAL:
        return Local(workers or min(cores(), max(1, most or cores())))
    if name.startswith("dask://"):
        if not name.removeprefix("dask://").strip("/"):
            raise SpecError(f"{name} names no scheduler", field="--executor", allowed="dask://host:port")
        return Dask(name)
    module, colon, function = name.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), function]):
        allowed = "local, dask://host:port, or package.module:factory"
        raise SpecError(f"{name} is not known", field="--executor", allowed=allowed)
    make = _factory(name, module, function)
    return Engine(name, lambda: _checked(name, make()), lambda executor: workers or _width(executor))


def _factory(name: str, module: str, function: str) -> Callable[[], Any]:
    if "" not in sys.path:
        sys.path.insert(0, "")  # the directory in which the command was typed, as with --kernel
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"{name}: {error}", field="--executor") from error
    if not callable(found):
        raise SpecError(f"{name}: {function} is no function", field="--executor")
    return found  # type: ignore[no-any-return]


def _checked(name: str, made: Any) -> Executor:
    if not isinstance(made, Executor) and not callable(getattr(made, "submit", None)):
        raise SpecError(f"{name} made a {type(made).__name__}, not an executor", field="--executor")
    return made  # type: ignore[no-any-return]


def _width(executor: Any) -> int:
    """What executors say of themselves: those of the standard library, loky's, mpi4py's."""
    for attribute in ("_max_workers", "num_workers"):
        found = getattr(executor, attribute, None)
        if isinstance(found, int):
            return found
    return cores()
