"""A case that failed, made as small as it gets; the first of each distinct failure is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from convcli.verifier.explain.explanation import explanation
from convcli.verifier.explain.shrink import shrunk
from convcli.verifier.fuzz.results import Result, Smallest
from convcli.verifier.ledger import Ledger, Subject
from convcli.verifier.repro import spelled
from convcli.verifier.verdict import Check, LayerVerdict

if TYPE_CHECKING:
    from convcli.plan import Step
    from convcli.verifier.jobs import Wanted
    from convcli.verifier.session import Session

MOST = 50  # failures of one kind that are shrunk: a kernel that is always wrong needs no more


class Failing:
    """Remembers which failures it has seen."""

    def __init__(self, session: Session, wanted: Wanted, seconds: float):
        self._session, self._wanted, self._seconds = session, wanted, seconds
        self._seen: set[object] = set()
        self._shrunk: dict[str, int] = {}

    def saw(self, result: Result) -> None:
        """A failure of a run that is continued."""
        if result.smallest:
            self._seen.add(_group(result.smallest, result.verdict))
            self._shrunk[result.kind] = self._shrunk.get(result.kind, 0) + 1

    def smallest(self, kind: str, step: Step, verdict: LayerVerdict) -> tuple[Smallest | None, LayerVerdict]:
        """The smallest relative with a check that fails as one of these does, and what is found there."""
        if self._shrunk.get(kind, 0) >= MOST:
            return None, untimed(verdict)
        self._shrunk[kind] = self._shrunk.get(kind, 0) + 1
        failing = {(check.name, check.status) for check in verdict.checks if check.status.bad}

        def fails(relative: Step) -> bool:
            return any((check.name, check.status) in failing for check in self._ledger(relative).verdicts[0].checks)

        if self._session.away and not fails(step):  # what went wrong there does not go wrong here
            return None, untimed(verdict)
        least = shrunk(step, fails, seconds=self._seconds)
        ledger = self._ledger(least.step)
        layer, *_ = spelled(least.step)
        at = Smallest(layer, (*least.step.batch, *least.step.x), least.tries, least.complete)
        found = untimed(ledger.verdicts[0])
        if _group(at, found) not in self._seen:
            self._seen.add(_group(at, found))
            found = self._explained(ledger, found)
        return at, found

    def _ledger(self, step: Step) -> Ledger:
        ledger = Ledger([Subject(step, "")], self._wanted)
        self._session.work(ledger)
        return ledger

    def _explained(self, ledger: Ledger, verdict: LayerVerdict) -> LayerVerdict:
        faults = ledger.faults().get(0)
        if not faults:
            return verdict
        with self._session.workbench() as workbench:
            found = explanation(workbench, faults[0], seconds=self._seconds)
        return msgspec.structs.replace(verdict, explanation=found)


def untimed(verdict: LayerVerdict) -> LayerVerdict:
    """The verdict without what differs from run to run, and without a name."""
    checks = tuple(_untimed(check) for check in verdict.checks if check.status.bad)
    return msgspec.structs.replace(verdict, checks=checks, seconds=0.0)


def _untimed(check: Check) -> Check:
    return msgspec.structs.replace(check, seconds=0.0)


def _group(at: Smallest, verdict: LayerVerdict | None) -> object:
    return at.layer, at.input, verdict.status if verdict else UNSET
