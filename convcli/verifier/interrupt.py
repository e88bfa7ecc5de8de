"""Ctrl-C, and a request to end (SIGTERM), as a question that is asked where it can be answered.

A KeyboardInterrupt that strikes inside a queue's lock can leave it waiting for ever; so the first Ctrl-C is only noted,
and raised at the next wait. The second one strikes at once.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Self


class Interrupt:
    """A context in which `check` raises KeyboardInterrupt after a Ctrl-C; in the main thread, where signals arrive."""

    def __init__(self) -> None:
        self._asked = False
        self._mine = False
        self._term = False

    def __enter__(self) -> Self:
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._mine = True
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, self._note)
                self._term = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._term:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            signal.default_int_handler(number, frame)
        self._asked = True

    def check(self) -> None:
        """Raise KeyboardInterrupt when it was asked for, once."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt
