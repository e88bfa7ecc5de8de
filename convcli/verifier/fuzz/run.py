"""`fuzz`: cases one after the other, kind by kind in turn, through both sides' workers; what fails is made smaller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, count, tee
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from convcli.axis import whole
from convcli.errors import SpecError
from convcli.verifier.explain.shrink import SECONDS
from convcli.verifier.fuzz.draws import Drawn, drawn
from convcli.verifier.fuzz.failing import Failing, untimed
from convcli.verifier.fuzz.results import FuzzOutcome, Result, Tally, outcome_of, whole_again
from convcli.verifier.fuzz.space import kinds_of
from convcli.verifier.jobs import Wanted
from convcli.verifier.journal import End, Recording, header, infinite, key_of
from convcli.verifier.ledger import Ledger, Subject
from convcli.verifier.repro import spelled
from convcli.verifier.run import DTYPES
from convcli.verifier.session import TIMEOUT, Session
from convcli.verifier.shard import Shard, shard_of
from convcli.verifier.verdict import LayerVerdict

if TYPE_CHECKING:
    from convcli.backends.target import Target
    from convcli.plan import Step

CASES = 200  # of each kind, when nothing is said
LOOPS_MACS = 3_000  # what the plain loops are asked to do; they would take longer than all else
CHUNK = 16  # cases whose checks are gathered together
AHEAD = 64  # an endless run asks for so many layers at a time
Progress = Callable[[int, int | None, int], None]


def fuzz(  # noqa: PLR0913 - each is one option of the command
    kinds: Sequence[str] = (),
    *,
    cases: int | None = None,
    duration: float | None = None,
    seed: int = 0,
    dtypes: Sequence[str] = DTYPES,
    grad: bool = False,
    jobs: int | None = None,
    max_memory: int | None = None,
    timeout: float = TIMEOUT,
    against: str = "torch",
    kernel: Target | None = None,
    journal: str | Path | None = None,
    resume: str | Path | None = None,
    shard: str | Shard | None = None,
    executor: str | None = None,
    shrink_seconds: float = SECONDS,
    progress: Progress | None = None,
) -> FuzzOutcome:
    """Random legal layers against another implementation: every legal pair of their factors' values, then at random.

    kinds: "conv", "conv_transpose", "separable", "deform_conv", "deform_conv_pack", "deform_roi_pool",
    "deform_roi_pool_pack"; all of them when there are none.
    cases: of each kind, 200 when neither they nor a duration are given. duration: seconds. seed: case `index` of a kind
    is a function of the three alone. journal: a file that takes every result as a JSON line as soon as it is there.
    resume: such a file, of a run with the same options, to be continued. shard: "3/7", the third of seven equal
    shares of the cases. executor: who makes the checks (docs/many.md). shrink_seconds: the most that is spent on
    making one failure smaller. progress: told (cases done, cases in all if known, failures). The other options are
    those of `verify`.

    Raises BackendMissing, SpecError before any work. Ctrl-C ends it: the outcome holds what was finished.
    """
    if cases is not None and duration is not None:
        raise SpecError("cases and duration exclude each other", field="cases")
    if duration is not None and not duration > 0:
        raise SpecError(f"duration={duration} is too short", field="duration", allowed="more than 0 seconds")
    part = shard_of(shard)
    if duration is not None and not part.whole:
        raise SpecError("how many cases a time holds is not known beforehand", field="--shard", allowed="--cases")
    chosen = kinds_of(kinds)
    most = whole("cases", CASES if cases is None else cases, least=1) if duration is None else None
    wanted = Wanted(
        against,
        tuple(dict.fromkeys(dtypes)),
        whole("seed", seed, least=0),
        grad=grad,
        kernel=kernel,
        loops_macs=LOOPS_MACS,
    )
    options: dict[str, Any] = {
        "kinds": list(chosen),
        **({"cases": most} if duration is None else {"duration": duration}),
        **({"kernel": kernel.place, "arrays": kernel.arrays} if kernel else {"against": against}),
        "grad": grad,
        "dtypes": list(wanted.dtypes),
    }
    sources = wanted.sources
    record = Recording(journal, resume, "fuzz", Result)
    session = Session(wanted, layers=AHEAD, jobs=jobs, max_memory=max_memory, timeout=timeout, executor=executor)
    run = _Run(chosen, most, duration, wanted, session, part, shrink_seconds, progress)
    interrupted = False
    try:
        with session, record:
            own = header("fuzz", seed, {**options, **sources, "shard": str(part)}, session.environment)
            run.salt = own.salt
            run.take_over(record.earlier(own))
            record.start(own)
            run.go(record)
            record.write(End(run.tally.cases if most is None else most * len(chosen)))
    except KeyboardInterrupt:
        interrupted = True
        run.close()
    return outcome_of(
        run.tally,
        seed=seed,
        options=options,
        environment=session.environment,
        seconds=run.seconds,
        interrupted=interrupted,
        shard="" if part.whole else str(part),
    )


class _Run:
    """The cases on their way: drawn in order, checked in any, told in order."""

    def __init__(
        self,
        kinds: tuple[str, ...],
        most: int | None,
        duration: float | None,
        wanted: Wanted,
        session: Session,
        shard: Shard,
        shrink_seconds: float,
        progress: Progress | None,
    ):
        self._kinds, self._most, self._duration = kinds, most, duration
        self._wanted, self._session, self._shard, self._progress = wanted, session, shard, progress
        self._failing = Failing(session, wanted, shrink_seconds)
        self._start = perf_counter()
        self._before = 0.0  # seconds that an earlier run took
        self._record: Recording[Result] | None = None
        self._ahead: list[Drawn] = []  # drawn and not yet told
        self._verdicts: dict[str, LayerVerdict] = {}
        self._stop = False
        self._cases = self._in_turn()
        self.salt = b""
        self.tally = Tally(kinds)

    @property
    def seconds(self) -> float:
        """Since the beginning, an earlier part of the run included."""
        return self._before + perf_counter() - self._start

    def take_over(self, results: Iterable[Result]) -> None:
        """What an earlier run has done. Raises SpecError when its cases are not ours."""
        for told in results:
            result = whole_again(told)
            case = next(self._cases, None)
            if case is None or (case.name, self._key(case.step)) != (result.case, result.key):
                raise SpecError(f"its case {result.case} is another one here", field="--resume")
            self._failing.saw(result)
            self.tally.add(result, case.row)
            self._before = result.seconds

    def go(self, record: Recording[Result]) -> None:
        """All cases; from the first failure on the others wait until it is shrunk."""
        self._record, self._start = record, perf_counter()
        while not self._stop:
            self._session.work_through(self._ledgers())
            self._tell()

    def close(self) -> None:
        """Interrupted: what is there is reported as it is, but only whole results are in the journal."""
        self._record = None
        for case in list(self._ahead):
            verdict = self._verdicts.pop(case.name, None)
            if verdict is not None:
                self._note(case, self._result(case, verdict, shrink=False))

    def _in_turn(self) -> Iterator[Drawn]:
        """Our share of all cases."""
        ours, every = tee(self._every())
        costs = ((None, step.layer.counts(step.x, step.images).macs) for step in (case.step for case in every))
        return ours if self._shard.whole else compress(ours, self._shard.of(costs))

    def _every(self) -> Iterator[Drawn]:
        for index in count() if self._most is None else range(self._most):
            for kind in self._kinds:
                yield drawn(kind, self._wanted.seed, index)

    def _ledgers(self) -> Iterator[Ledger]:
        """Chunks of cases, until there are no more, or a failure is to be looked at."""
        while not any(verdict.status.bad for verdict in self._verdicts.values()):
            out_of_time = self._duration is not None and self.seconds >= self._duration
            chunk = [] if out_of_time else [case for _, case in zip(range(CHUNK), self._cases, strict=False)]
            if not chunk:
                self._stop = True
                return
            self._ahead += chunk
            ledger = Ledger([Subject(case.step, "") for case in chunk], self._wanted)
            ledger.on_verdict = self._take
            yield ledger

    def _take(self, verdict: LayerVerdict) -> None:
        """A verdict is there; all good ones that are next in the order are told."""
        self._verdicts[verdict.name] = verdict
        while self._ahead:
            found = self._verdicts.get(self._ahead[0].name)
            if found is None or found.status.bad:
                return
            self._tell_next()

    def _tell(self) -> None:
        """All verdicts are there; the bad ones are shrunk in their turn."""
        while self._ahead:
            self._tell_next()

    def _tell_next(self) -> None:
        case = self._ahead[0]
        result = self._result(case, self._verdicts[case.name], shrink=True)
        del self._verdicts[case.name]
        if self._record:
            self._record.write(result)
        self._note(case, result)

    def _note(self, case: Drawn, result: Result) -> None:
        self._ahead.remove(case)
        self.tally.add(result, case.row)
        if self._progress:
            total = None if self._most is None or not self._shard.whole else self._most * len(self._kinds)
            self._progress(self.tally.cases, total, len(self.tally.failures))

    def _result(self, case: Drawn, verdict: LayerVerdict, *, shrink: bool) -> Result:
        step, bad = case.step, [check for check in verdict.checks if check.status.bad]
        smallest, found = None, untimed(verdict) if verdict.status.bad else None
        if shrink and found:
            smallest, found = self._failing.smallest(case.kind, step, verdict)
        return Result(
            case=case.name,
            key=self._key(step),
            kind=case.kind,
            index=case.index,
            layer=spelled(step)[0],
            input=(*step.batch, *step.x),
            status=verdict.status,
            reason="; ".join(dict.fromkeys(c.detail for c in verdict.checks if c.status is verdict.status))
            if verdict.status.idle
            else "",
            failing=tuple(f"{check.name} [{check.dtype}]" if check.dtype else check.name for check in bad),
            smallest=smallest,
            verdict=found,
            repro=found.repro if found else "",
            infinite=infinite(found),
            seconds=round(self.seconds, 3),
        )

    def _key(self, step: Step) -> str:
        return key_of(step, self._wanted.seed, self.salt)
