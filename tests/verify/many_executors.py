"""Executors that go wrong: one whose processes die of a layer, one that has no worker, one that is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

from convcli.verifier.many.chunk import Answer, Chunk

DEADLY = 5  # output channels


def deadly(function: Callable[[Chunk], Answer], chunk: Chunk) -> Answer:
    """The process ends at such a layer, whatever is beside it."""
    steps = [getattr(item, "step", item) for item in chunk.items]  # what bench sends has more to it
    if any(getattr(step.layer, "out_channels", 0) == DEADLY for step in steps):
        os._exit(1)
    return function(chunk)


class Fragile(ProcessPoolExecutor):
    """A pool that breaks as a whole when one of its processes dies."""

    def submit(self, function: Any, /, *args: Any, **options: Any) -> Future[Any]:
        """The same, but for deadly layers."""
        return super().submit(deadly, function, *args, **options)


def fragile() -> Executor:
    return Fragile(2, mp_context=get_context("spawn"))


def processes() -> Executor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


def threads() -> Executor:
    return ThreadPoolExecutor(2)


def none() -> None:
    return None


def failing() -> Executor:
    raise ConnectionError("no such cluster")


number = 5
