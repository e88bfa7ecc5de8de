"""A side's work in this very process: no messages, and nothing that would outlive a crash."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from convcli.verifier.tasks import run
from convcli.verifier.workers import RAISED, Call, Reply, Workers


class Here:
    """Stands for a side's workers: does what it is asked at once."""

    def call(self, function: str, *args: Any) -> Call:
        """The answer of one of `tasks.TASKS`, as a call that is done."""
        done = run(function, *args)
        if done.reason.startswith("KeyboardInterrupt"):  # a task keeps everything to itself
            raise KeyboardInterrupt
        reply = Reply(done.value, RAISED.get(done.raised), done.reason, done.seconds)
        return cast("Call", _Answer(reply, (function, *args)))

    def send(self) -> None:
        """Nothing waits."""

    def stop(self) -> None:
        """Nothing runs."""


class _Answer(msgspec.Struct, frozen=True):
    reply: Reply
    task: tuple[Any, ...]
    done: bool = True


def here() -> Workers:
    """Both sides may be one and the same."""
    return cast("Workers", Here())
