"""pebble's pool of processes, blaming a task for the end of its process only when it has heard all of that process.

pebble looks after its processes in one thread and reads what they say in another. When the second is late, on a busy
machine, a dead process seems to be at the task before the one that killed it: the innocent task would be the one that
crashed, and the guilty one would wait for ever.
"""

from __future__ import annotations

from contextlib import suppress
from time import sleep
from typing import Any

from pebble import ProcessPool
from pebble.pool.process import PoolManager

GLANCE = 0.005  # seconds


class Pool(ProcessPool):
    """The same, but for its manager."""

    def __init__(self, workers: int, *, context: Any, **options: Any):
        super().__init__(workers, context=context, **options)
        self._pool_manager = Listening(self._context, context)


class Listening(PoolManager):
    """Looks at a dead process when nothing that it said is unread."""

    _silences = 0  # times at which there was nothing to read, and all that had been read was dealt with

    def process_next_message(self, timeout: float) -> None:
        """In the thread that reads."""
        channel = self.worker_manager.pool_channel
        with suppress(OSError, EOFError):  # it is closed: the next line says so
            if channel is not None and not channel.poll(0):
                self._silences += 1
        super().process_next_message(timeout)

    def handle_worker_expiration(self, expiration: tuple[int, int]) -> None:
        """In the thread that looks after the processes."""
        heard = self._silences + 2  # the first of them may have begun before the process ended
        while self._silences < heard and self.context.alive:
            sleep(GLANCE)
        super().handle_worker_expiration(expiration)
