"""How a task in a worker came to its end: what it raises becomes data, nothing unpicklable crosses the border."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec

from convcli.backends import Unsupported


class Done(msgspec.Struct, frozen=True):
    """A task that came to its end: its answer, or what was raised ("unsupported", "memory", "refused") and why."""

    value: Any = None
    raised: str = ""
    reason: str = ""
    seconds: float = 0.0


def attempted(task: Callable[..., Any], *args: Any) -> Done:
    """The task's answer, or what it raised."""
    start = perf_counter()
    try:
        return Done(task(*args), seconds=perf_counter() - start)
    except Unsupported as error:
        return Done(raised="unsupported", reason=_text(error), seconds=perf_counter() - start)
    except BaseException as error:  # a backend may raise anything, SystemExit too
        text, memory = _text(error), out_of_memory(error)
        reason = f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__
        return Done(raised="memory" if memory else "refused", reason=reason, seconds=perf_counter() - start)


def out_of_memory(error: BaseException) -> bool:
    """Whatever type a library gives it."""
    text = _text(error)
    return isinstance(error, MemoryError) or "allocate memory" in text or "No space left" in text


def each(run: Callable[..., Done], tasks: list[tuple[Any, ...]]) -> list[Done]:
    """Several tasks in one message."""
    return [run(*task) for task in tasks]


def _text(error: BaseException) -> str:
    """What it says, in one line; an exception of a stranger's may not even be able to say that."""
    try:
        return " ".join(str(error).split())
    except BaseException:
        return ""
