"""Which layers are to be checked, what is known of each, and the verdicts in the order of the spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from convcli.backends.known import difference_known
from convcli.errors import SpecError
from convcli.layers import is_convolution
from convcli.verifier.case import Case
from convcli.verifier.fault import EXPLAINED, Fault, kind_of
from convcli.verifier.job import Job
from convcli.verifier.jobs import Wanted, all_jobs
from convcli.verifier.repro import command
from convcli.verifier.verdict import Check, Explanation, LayerVerdict, Status, worst

if TYPE_CHECKING:
    from convcli.plan import Plan, Step

NOT_MADE = -1  # jobs of a layer that was skipped
VALUES = frozenset({"forward", "mantissa"})  # the checks that a known difference excuses
Progress = Callable[[int, int, str], None]


class Subject(msgspec.Struct, frozen=True):
    """A layer of a spec."""

    step: Step
    source: str


class Place(msgspec.Struct, frozen=True):
    """Where a job's checks belong: which subject, and which of its jobs."""

    subject: int
    position: int


def chosen(plans: Sequence[Plan], only: Sequence[str], *, convolutions: bool = False) -> list[Subject]:
    """The layers of the plans, or those whose names match. SpecError for a name that matches none.

    convolutions: of these alone, where nobody has a word on the layers between them.
    """
    subjects = [
        Subject(step, plan.network.source)
        for plan in plans
        for step in plan.steps
        if not convolutions or is_convolution(step.layer)
    ]
    return named(subjects, only) if only else subjects


def named(subjects: Sequence[Subject], only: Sequence[str]) -> list[Subject]:
    """Those whose names match. SpecError for a name that matches none."""
    names = [subject.step.name for subject in subjects]
    for pattern in only:
        if not any(_matches(name, pattern) for name in names):
            raise SpecError(
                f"no layer is named {pattern!r}",
                field="only",
                allowed=", ".join(names[:20]) + (", ..." if len(names) > 20 else ""),
            )
    return [one for one in subjects if any(_matches(one.step.name, pattern) for pattern in only)]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


class Ledger:
    """Takes checks in whatever order they come; tells verdicts in order, each as soon as it can be told.

    Layers of one configuration have the same data and so the same checks: they are made once.
    """

    def __init__(self, subjects: list[Subject], wanted: Wanted, *, fail_fast: bool = False, alike: bool = True):
        """alike: layers of one configuration are looked for."""
        self.subjects, self.wanted, self.fail_fast = subjects, wanted, fail_fast
        self.progress: Progress | None = None
        self.on_verdict: Callable[[LayerVerdict], None] | None = None
        self.rounds = False
        self.environment: dict[str, Any] = {}
        self.failed = False
        self._over = False  # a failure is told: the rest is skipped
        self.verdicts: list[LayerVerdict] = []
        self.numbers: list[int] = []  # of which subjects: all, unless the work was broken off
        self._twin = twins(subjects, wanted.seed) if alike else list(range(len(subjects)))
        self._checks: dict[int, dict[int, tuple[Check, ...]]] = {}
        self._jobs: dict[int, int] = {}

    def take_over(self, verdict: LayerVerdict, checks: Sequence[int]) -> None:
        """The next verdict, of an earlier run. checks: how many each of its jobs made."""
        index = len(self.verdicts)
        ends = list(accumulate(checks))
        parts = [verdict.checks[end - count : end] for count, end in zip(checks, ends, strict=True)]
        self._checks[index], self._jobs[index] = dict(enumerate(parts)), len(parts) or NOT_MADE
        self.failed |= self.fail_fast and verdict.status.bad
        self._tell(index, verdict)

    def sizes(self, turn: int) -> tuple[int, ...]:
        """How many checks each job of a verdict made."""
        if not self.verdicts[turn].checks:
            return ()
        found = self._checks[self._twin[self.numbers[turn]]]
        return tuple(len(found[position]) for position in sorted(found))

    def jobs(self) -> Iterator[tuple[Place, Job]]:
        """What is to be done, in order; nothing more after a failure when that is wanted."""
        for index, subject in enumerate(self.subjects):
            if self._twin[index] != index or index in self._checks:
                continue
            found = list(self.made(subject.step))
            self._checks[index], self._jobs[index] = {}, len(found)
            for position, job in enumerate(found):
                if self.failed:
                    return
                yield Place(index, position), job

    def made(self, step: Step) -> Iterable[Job]:
        """The jobs of a layer, in order; a ledger of other checks has others."""
        return all_jobs(step, self.wanted)

    def cases(self) -> Iterator[tuple[int, Step]]:
        """The layers that are to be checked, in order, for whoever makes all checks of a layer at once."""
        for index, subject in enumerate(self.subjects):
            if self.failed:
                return
            if self._twin[index] == index and index not in self._checks:
                yield index, subject.step

    def take(self, index: int, checks: Sequence[tuple[Check, ...]]) -> None:
        """Take the checks of all jobs of a layer; tell the verdicts that are complete now."""
        self._checks[index], self._jobs[index] = {}, len(checks)
        for position, found in enumerate(checks):
            self.note(Place(index, position), found)

    def note(self, place: Place, checks: tuple[Check, ...]) -> None:
        """Take a job's checks; tell the verdicts that are complete now."""
        self._checks[place.subject][place.position] = checks
        self.failed |= self.fail_fast and any(check.status.bad for check in checks)
        while len(self.verdicts) < len(self.subjects) and not self._over and self._complete(len(self.verdicts)):
            self._tell(len(self.verdicts), self._verdict(len(self.verdicts)))

    def close(self) -> None:
        """No more checks come: tell what is complete behind a gap; after a failure the rest is skipped, done or not."""
        for index in range(self.numbers[-1] + 1 if self.numbers else 0, len(self.subjects)):
            if self._over or (self.failed and not self._complete(index)):
                self._checks.pop(index, None)
                self._tell(index, self._skipped(index))
            elif self._complete(index):
                self._tell(index, self._verdict(index))

    def faults(self) -> dict[int, tuple[Fault, ...]]:
        """The failed checks by the verdict's number, those first that explain most: exact ones, of values."""
        found = {}
        for index, verdict in enumerate(self.verdicts):
            if self._twin[index] != index or not self._complete(index) or not self._taken_apart(index):
                continue
            made, step = self._checks[index], self.subjects[index].step
            jobs = list(self.made(step))
            if len(jobs) != len(made):  # whoever was to do them is gone
                continue
            kinds = [kind_of(jobs[position]) for position in sorted(made) for _ in made[position]]
            pairs = zip(verdict.checks, kinds, strict=True)
            faults = [Fault(step, check, kind) for check, kind in pairs if check.status in EXPLAINED]
            if faults:
                found[index] = tuple(sorted(faults, key=lambda fault: fault.rank))
        return found

    def _taken_apart(self, index: int) -> bool:
        """Whether there are known mistakes and smaller relatives to look among: a companion is small as it is."""
        return is_convolution(self.subjects[index].step.layer)

    def explain(self, index: int, explanation: Explanation) -> None:
        """Add to a verdict what was found out later."""
        self.verdicts[index] = msgspec.structs.replace(self.verdicts[index], explanation=explanation)

    def _complete(self, index: int) -> bool:
        twin = self._twin[index]
        return twin in self._checks and len(self._checks[twin]) == self._jobs[twin]

    def _tell(self, index: int, verdict: LayerVerdict) -> None:
        self.numbers.append(index)
        self.verdicts.append(verdict)
        self._over |= self.fail_fast and verdict.status.bad
        if self.on_verdict:
            self.on_verdict(verdict)
        if self.progress:
            self.progress(len(self.verdicts), len(self.subjects), verdict.name)

    def _verdict(self, index: int) -> LayerVerdict:
        twin = self._twin[index]
        found = self._checks[twin]
        checks = settled(tuple(check for position in sorted(found) for check in found[position]), rounds=self.rounds)
        checks = self._excused(self.subjects[index].step, checks)
        again = twin != index
        if again:
            checks = tuple(msgspec.structs.replace(check, seconds=0.0) for check in checks)
        return self._told(
            index,
            worst(checks),
            checks,
            f"the same layer, and so the same data, as {self.subjects[twin].step.name}: checked once" if again else "",
        )

    def _excused(self, step: Step, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        """What the other side is known to get wrong; not to get it wrong is then a fault."""
        reason = difference_known(self.wanted.against, self.environment, step.layer, step.x, step.batch)
        return tuple(excused(check, reason) if check.name in VALUES else check for check in checks)

    def _skipped(self, index: int) -> LayerVerdict:
        return self._told(index, Status.SKIPPED, (), "a layer before it failed")

    def _told(self, index: int, status: Status, checks: tuple[Check, ...], reason: str) -> LayerVerdict:
        subject = self.subjects[index]
        step = subject.step
        fault = next((check.dtype for check in checks if check.status.bad and check.dtype), "")
        return LayerVerdict(
            name=step.name,
            type=step.type,
            status=status,
            checks=checks,
            repro=command(
                step,
                subject.source,
                seed=self.wanted.seed,
                dtype=fault,
                also=self.wanted.flags,
                own=self.wanted.own,
            ),
            source=subject.source,
            line=UNSET if step.line is None else step.line,
            reason=reason,
            seconds=sum(check.seconds for check in checks),
        )


def twins(subjects: Sequence[Subject], seed: int) -> list[int]:
    """For every layer the first one that is of its configuration."""
    first: dict[bytes, int] = {}
    steps = (subject.step for subject in subjects)
    keys = (Case(step.layer, step.x, step.batch, seed).key for step in steps)
    return [first.setdefault(key, index) for index, key in enumerate(keys)]


def excused(check: Check, reason: str) -> Check:
    """A check of values for which a difference is known, for that reason."""
    if not reason or check.status.idle:
        return check
    if check.status.bad:
        detail = f"a known difference: {reason}; {check.detail}"
        return msgspec.structs.replace(check, status=Status.UNSUPPORTED, detail=detail)
    if (check.name, check.method) != ("forward", "exact"):  # whether the list is right is for this one to say
        return check
    detail = f"listed as a known difference, but equal; take it off the list: {reason}"
    return msgspec.structs.replace(check, status=Status.FAILED, detail=detail)


def settled(checks: tuple[Check, ...], *, rounds: bool) -> tuple[Check, ...]:
    """A side that rounds by nature (Winograd, FFT) may fail the exact stage when it holds the bound: INEXACT."""
    if not rounds:
        return checks
    bounds = [check for check in checks if check.method == "bound"]
    bad = {_held(check) for check in bounds if check.status is not Status.PASSED}
    held = {_held(check) for check in bounds} - bad
    failed = [c for c in checks if (c.method, c.status) == ("exact", Status.FAILED) and _held(c) in held]
    return tuple(
        msgspec.structs.replace(check, status=Status.INEXACT, detail=f"rounds, within the bound; {check.detail}")
        if check in failed
        else check
        for check in checks
    )


def _held(check: Check) -> tuple[bool, str]:
    """What a bound speaks for: the values or all the gradients, in one precision."""
    return check.name.startswith("grad"), check.dtype
