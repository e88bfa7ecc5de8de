"""Pieces of a layer on the threads that BLAS would use: as many as OPENBLAS_NUM_THREADS, or whoever else, has set.

BLAS shares out large products alone; the copies between them stay on one thread. Here a thread takes whole pieces, its
copies and its products, and multiplies by itself. What a piece comes to does not depend on the thread that takes it.
"""

from __future__ import annotations

import ctypes
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from numpy.linalg import lapack_lite

from convcli.kernels.arguments import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Piece = TypeVar("Piece")
LOCK = Lock()
NAMES = ("scipy_openblas_{}64_", "openblas_{}64_", "scipy_openblas_{}", "openblas_{}")  # in numpy's wheels; elsewhere


def shared(work: Callable[[Iterator[Piece]], object], pieces: Iterable[Piece]) -> None:
    """work(some of the pieces) on every thread, the caller's among them; a piece goes to the first that is free.

    No two pieces may write to the same numbers. One piece stays here, and BLAS may share out its products. So do all
    while the threads are taken: in a call from within another, or beside it.
    """
    if threads() == 1:
        work(iter(pieces))
        return
    every = iter(pieces)
    first = list(itertools.islice(every, 2))
    if len(first) < 2:
        work(iter(first))
        return
    left = Left(itertools.chain(first, every))
    with alone() as count:
        held = [work]  # a task that is cancelled stays in the pool's queue until a thread wakes: its arrays must not
        others = [_pool(os.getpid(), count - 1).submit(_quietly, held, left) for _ in range(count - 1)]
        try:
            work(left)
        finally:
            for _ in left:  # after an error, or Ctrl-C, nobody begins another
                pass
            begun = [other for other in others if not other.cancel()]
            wait(begun)
            held.clear()
        for other in begun:
            other.result()


class Left(Iterator[Piece]):
    """What nobody has taken yet. Not a list: of a large layer that alone would take a third of a MiB."""

    def __init__(self, pieces: Iterator[Piece]):
        self._pieces, self._one_at_a_time = pieces, Lock()

    def __next__(self) -> Piece:
        with self._one_at_a_time:
            return next(self._pieces)


def threads() -> int:
    """As many as BLAS had when this was first asked, whatever goes on now."""
    return _blas().threads


@contextmanager
def alone() -> Iterator[int]:
    """The number of threads that BLAS has; until the end BLAS works on the one that calls it."""
    blas = _blas()
    with LOCK:
        count = blas.get()
        if count > 1:
            blas.put(1)
    try:
        yield count
    finally:
        if count > 1:
            blas.put(count)


class Blas(NamedTuple):
    """How many threads it may use: what it says now, a way to tell it, and what it said first."""

    get: Callable[[], int]
    put: Callable[[int], object]
    threads: int


@cache
def _blas() -> Blas:
    """numpy's OpenBLAS; another one is left alone, and so are its threads."""
    library = ctypes.CDLL(lapack_lite.__file__)  # finds what the module is linked to, too
    for name in NAMES:
        if hasattr(library, name.format("set_num_threads")):
            get, put = library[name.format("get_num_threads")], library[name.format("set_num_threads")]
            return Blas(get, put, get())
    return Blas(lambda: 1, lambda _: None, 1)


@cache
def _pool(process: int, count: int) -> ThreadPoolExecutor:  # noqa: ARG001 - threads do not survive a fork
    return ThreadPoolExecutor(count, "convcli")


def _quietly(held: list[Callable[[Iterator[Piece]], object]], left: Iterator[Piece]) -> None:
    (work,) = held
    with quiet():  # a thread begins with numpy's own warnings
        work(left)
