"""Work in pieces on the threads that BLAS would use: as many as OPENBLAS_NUM_THREADS, or whoever else, has set.

numpy's BLAS shares out large products alone; copies, einsum and small products stay on one thread. Here each thread
takes whole pieces of a layer instead, and works out its products by itself. No piece depends on who takes it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from convcli.kernels.arguments import quiet

Piece = TypeVar("Piece")
LOCK = Lock()
NAMES = ("scipy_openblas_{}64_", "openblas_{}64_", "scipy_openblas_{}", "openblas_{}")  # in wheels of numpy; elsewhere


def shared(work: Callable[[Iterator[Piece]], object], pieces: Iterable[Piece]) -> None:
    """work(some of the pieces) on every thread, the caller's among them; each piece goes to whoever is free for it.

    The pieces must not write to the same numbers. The threads of one call are taken: a call from within another, or
    beside it, stays where it is.
    """
    every = list(pieces)
    left = iter(every)
    if len(every) == 1:
        work(left)
        return
    with alone() as count:
        if count == 1:
            work(left)
            return
        others = [_pool(os.getpid(), count - 1).submit(_quietly, work, left) for _ in range(count - 1)]
        try:
            work(left)
        finally:
            for _ in left:  # after an error, or Ctrl-C, nobody begins another
                pass
            begun = [other for other in others if not other.cancel()]
            wait(begun)
        for other in begun:
            other.result()


def _quietly(work: Callable[[Iterator[Piece]], object], left: Iterator[Piece]) -> None:
    with quiet():  # a thread begins with numpy's own warnings
        work(left)


def evenly(count: int, least: int) -> int:
    """At most so many of `count` things make a piece, for every thread to have as many: all of them on one thread.

    At least `least`, unless there are fewer: what is over sooner than another thread begins is not shared.
    """
    parts = max(1, min(2 * threads(), count // max(1, least))) if threads() > 1 else 1
    parts -= parts % threads() if parts > threads() else 0
    return max(1, -(-count // parts))


def threads() -> int:
    """As many as BLAS had when this was first asked, whatever goes on now."""
    return _blas()[2]


@contextmanager
def alone() -> Iterator[int]:
    """The number of threads that BLAS has; until the end of it, BLAS works on the one that calls it."""
    get, put, _ = _blas()
    with LOCK:
        count = get()
        if count > 1:
            put(1)
    try:
        yield count
    finally:
        if count > 1:
            put(count)


@cache
def _blas() -> tuple[Callable[[], int], Callable[[int], Any], int]:
    """How many threads numpy's OpenBLAS may use, and how to tell it; another BLAS is left alone, with one."""
    library = ctypes.CDLL(np.linalg._umath_linalg.__file__)  # finds what the module is linked to, too
    for name in NAMES:
        if hasattr(library, name.format("set_num_threads")):
            get, put = library[name.format("get_num_threads")], library[name.format("set_num_threads")]
            return get, put, get()
    return (lambda: 1), (lambda _: None), 1


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a fork has count of its own
    return ThreadPoolExecutor(threads, "convcli")
