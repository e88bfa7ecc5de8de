"""Calls that wait for others: what is expected is worked out only when the kernel under test has answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from convcli.verifier.workers import Call, Reply


class After:
    """A call that is made when all of `first` are done, unless `needs`, one of them, failed: its reply then stands."""

    def __init__(self, first: Sequence[Call | After], needs: Call | After, then: Callable[[], Call]):
        self._first, self._needs, self._then = first, needs, then
        self._call: Call | After | None = None

    @property
    def done(self) -> bool:
        """The reply is there."""
        if self._call is None and all(call.done for call in self._first):
            self._call = self._needs if self._needs.reply.status else self._then()
        return self._call is not None and self._call.done

    @property
    def future(self) -> Future[Any]:
        """What to wait for next."""
        if self._call is not None:
            return self._call.future
        return next((call.future for call in self._first if not call.done), self._first[-1].future)

    @property
    def task(self) -> tuple[Any, ...]:
        """What was asked; nothing when it came to no call."""
        return () if self._call is None or self._call is self._needs else self._call.task

    @property
    def reply(self) -> Reply:
        """What came of it; of a call that is done."""
        return Reply() if self._call is None else self._call.reply
