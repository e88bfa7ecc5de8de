"""The verdicts of a run in the order of its layers, however many: told, written to the journal, kept for the report.

Layers come in windows, a ledger each: one window for all, or a thousand layers of a stream at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import UNSET

from convcli.errors import SpecError
from convcli.verifier.journal import Explained, Header, Line, Recording, infinite, key_of, restored
from convcli.verifier.kept import Kept
from convcli.verifier.ledger import Ledger, Progress, Subject
from convcli.verifier.verdict import LayerVerdict, Status

if TYPE_CHECKING:
    from convcli.verifier.jobs import Wanted

WINDOW = 1_000  # layers of a stream that are one ledger's
KEPT = 8  # ledgers with failures that are taken apart
Placed = tuple[int, Subject]  # a layer and its place among all


class Course:
    """A run under way, through `ledgers`. ours: how many layers it has, about. listed: they are held all at once."""

    def __init__(self, placed: Iterable[Placed], ours: int, wanted: Wanted, *, listed: bool, fail_fast: bool):
        self._placed, self._ours, self._wanted = iter(placed), ours, wanted
        self._window, self._alike, self._fail_fast = max(1, ours) if listed else WINDOW, listed, fail_fast
        self._open: deque[_Window] = deque()
        self._failing: list[_Window] = []
        self.stopped = False  # at a failure, as was asked
        self.progress: Progress | None = None
        self.on_verdict: Callable[[LayerVerdict], None] | None = None
        self.kept = Kept()

    def ledgers(self, record: Recording[Line], own: Header) -> Iterator[Ledger]:
        """What is to be done, window by window, after what an earlier part of the run has done."""
        self._record, self._own = record, own
        earlier = record.earlier(own)
        line = next(earlier, None)
        while placed := list(islice(self._placed, self._window)):
            window = _Window(placed, self._ledger(placed))
            window.ledger.on_verdict = self._flush
            self._open.append(window)
            for position, subject in placed:
                if line is None:
                    break
                self._check_same(line, position, subject)
                window.ledger.take_over(restored(line.verdict, line.infinite), line.checks)
                line = next(earlier, None)
            if line is None and not record.started:
                record.start(own)
            yield window.ledger
            if window.ledger.failed:
                self.stopped = True
                return
        if line is not None:
            raise _another(line)
        if not record.started:
            record.start(own)

    def _ledger(self, placed: list[Placed]) -> Ledger:
        subjects = [subject for _, subject in placed]
        return Ledger(subjects, self._wanted, fail_fast=self._fail_fast, alike=self._alike)

    def close(self) -> None:
        """No more checks come: what is complete is told, and what was skipped after a failure."""
        for window in list(self._open):
            window.ledger.close()
            self._pass_on(window)
        self.kept.counts[Status.SKIPPED] += sum(1 for _ in self._placed) if self.stopped else 0

    def failing(self) -> list[Ledger]:
        """The ledgers with failures."""
        return [window.ledger for window in self._bad()]

    def refresh(self) -> None:
        """What was found out about failures is kept with them."""
        for one in self.explained():
            self.kept.explain(one.explained, one.explanation)

    def explained(self) -> Iterator[Explained]:
        """What was found out about failures, in the order of the layers."""
        for window in self._bad():
            for number, verdict in zip(window.ledger.numbers, window.ledger.verdicts, strict=True):
                if verdict.explanation is not UNSET:
                    yield Explained(window.placed[number][0], verdict.explanation)

    def _bad(self) -> list[_Window]:
        return [*self._failing, *(window for window in self._open if window.bad)]

    def _flush(self, _: LayerVerdict) -> None:
        """Tell what is next in the order."""
        while self._open:
            window = self._open[0]
            self._pass_on(window)
            if window.told < len(window.placed):
                return
            self._open.popleft()
            if window.bad and len(self._failing) < KEPT:
                self._failing.append(window)

    def _pass_on(self, window: _Window) -> None:
        while window.told < len(window.ledger.verdicts):
            turn, verdict = window.told, window.ledger.verdicts[window.told]
            window.told += 1
            window.bad |= verdict.status.bad
            position, subject = window.placed[window.ledger.numbers[turn]]
            if self._record.started:
                checks = window.ledger.sizes(turn)
                self._record.write(Line(position, self._key(subject), verdict, checks, infinite(verdict)))
            self.kept.add(position, verdict)
            if self.on_verdict:
                self.on_verdict(verdict)
            if self.progress:
                self.progress(self.kept.counts.total(), self._ours, verdict.name)

    def _check_same(self, line: Line, position: int, subject: Subject) -> None:
        told = (position, self._key(subject), subject.step.name)
        if told != (line.index, line.key, line.verdict.name):
            raise _another(line)

    def _key(self, subject: Subject) -> str:
        return key_of(subject.step, self._own.seed, self._own.salt)


class _Window:
    """Layers that are one ledger's; how many of its verdicts are told, whether one was bad."""

    def __init__(self, placed: list[Placed], ledger: Ledger):
        self.placed, self.ledger, self.told, self.bad = placed, ledger, 0, False


def _another(line: Line) -> SpecError:
    return SpecError(f"its layer {line.verdict.name} is another one here", field="--resume")
