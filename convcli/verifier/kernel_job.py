"""The trials of the user's own kernel: each on data of its own, ours behind them, and what the kernel did beside.

The kernel answers first; only then does our side begin, in another process and another directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from convcli.backends.kernel import POSITIONAL
from convcli.backends.target import Target
from convcli.layers import Layer, Part, Shape
from convcli.verifier.bound import unbounded
from convcli.verifier.case import Case, Fill, Unfillable
from convcli.verifier.compare import difference
from convcli.verifier.exchange import Sample, load, store
from convcli.verifier.job import Bench, Job, primitives, seconds_of
from convcli.verifier.region_boxes import dyadic
from convcli.verifier.sequence import After
from convcli.verifier.trial import Files, Task, Trial
from convcli.verifier.variants import Variant, own_variant, reason, variants, words
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.plan import Step
    from convcli.verifier.workers import Call, Reply

NOT_JUDGED = frozenset({Status.TIMED_OUT, Status.OUT_OF_MEMORY, Status.ERROR_MISMATCH, Status.UNSUPPORTED})
CALLS_US = "it calls convcli.kernels, the reference itself: nothing was compared"


class Question(msgspec.Struct, frozen=True):
    """What the kernel is asked: a layer, or a part of one, on one input, for one stage of the test."""

    stage: str  # exact, bound, views or other
    part: str
    layer: Layer
    variant: Variant

    @property
    def shape(self) -> Shape:
        """Of the output."""
        return (*self.variant.batch, *self.layer.output(self.variant.x))


class Answer(msgspec.Struct, frozen=True):
    """The kernel's reply to a question, and ours, one for each of its data."""

    question: Question
    theirs: Reply
    ours: list[Reply]

    def files(self, turn: int) -> Files:
        """What the kernel returned."""
        trial: Trial = self.theirs.value
        return trial.files[turn]


class KernelJob(Job):
    """One layer in one dtype; with `others`, as views and on inputs of other sizes too."""

    prefix = ""  # of the names of checks that both directions have
    whole = True  # a composite is asked for as a whole, but for the bound

    def __init__(self, step: Step, seed: int, target: Target, dtype: str, *, others: bool):
        super().__init__(step, seed, target.name, dtype)
        self.target, self.seed, self.others = target, seed, others
        self.no_bound = ""
        self._questions: list[Question] = []
        self._ours: list[int] = []  # which question each of our calls belongs to

    def filled(self, question: Question, case: Case) -> Fill:
        """The data of a question, made from its case. Raises Unfillable."""
        raise NotImplementedError

    def expected(self, bench: Bench, question: Question, sample: Sample, fill: Fill, directory: str) -> Call:
        """Our side's call."""
        raise NotImplementedError

    def roundings(self, layer: Layer, x: Shape, images: int) -> int:
        """How many a bound must allow for."""
        raise NotImplementedError

    def judged(self, answer: Answer, turn: int) -> Check:
        """The worst that there is to say of one set of data."""
        raise NotImplementedError

    # What is asked.

    @property
    def small(self) -> bool:
        """Never: what a stranger's function does to its process is not to be done to the data of other layers."""
        return False

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """The kernel's calls; behind them ours, which wait for all of them."""
        self.no_elements()
        theirs, ours = Path(directory) / "given", Path(directory) / "expected"
        theirs.mkdir(parents=True)
        ours.mkdir()
        self._questions, self._ours = [], []
        calls: list[Call | After] = []
        waiting: list[Callable[[], Call]] = []
        for question, fills in self._asked():
            number = len(calls)
            samples = tuple(store(str(theirs), f"{number}.{turn}", fill) for turn, fill in enumerate(fills))
            views = question.stage == "views"
            memory = max(self.memory, bench.share)
            task = Task(question.layer, samples, self.dtype, str(theirs), f"{number}.theirs", memory, views)
            ask = partial(bench.theirs.call, "trial", self.target, task)
            calls.append(After(calls[:1], calls[0], ask) if calls else ask())  # what hangs there is not tried again
            self._questions.append(question)
            for turn, (fill, sample) in enumerate(zip(fills, samples, strict=True)):
                where = ours / f"{number}.{turn}"
                where.mkdir()
                waiting.append(partial(self.expected, bench, question, sample, fill, str(where)))
                self._ours.append(number)
        behind = [After(calls, calls[number], then) for number, then in zip(self._ours, waiting, strict=True)]
        return cast("list[Call]", [*calls, *behind])

    def _asked(self) -> Iterator[tuple[Question, list[Fill]]]:
        """Every question with its data: two sets for the exact stage, else one."""
        own = own_variant(self.step)
        for question in self._at("exact", own):
            yield question, [self._fill(question, f"exact {turn}") for turn in (0, 1)]
        for question in self._bounded(own):
            yield question, [self._fill(question, "bound")]
        if not self.others:
            return
        found = [("views", own), *[("other", variant) for variant in variants(self.step)]]
        for question in (question for stage, variant in found for question in self._at(stage, variant)):
            try:
                yield question, [self._fill(question, question.stage)]
            except Unfillable:
                continue

    def _at(self, stage: str, variant: Variant) -> list[Question]:
        whole = dyadic(self.step.layer)
        if self.whole:
            return [Question(stage, "", whole, variant)]
        return [self._of_part(stage, part, variant) for part in asked(whole, variant.x)]

    def _of_part(self, stage: str, part: Part, variant: Variant) -> Question:
        own = msgspec.structs.replace(variant, batch=part.of(variant.batch), x=part.x)
        return Question(stage, part.name, part.layer, own)

    def _bounded(self, own: Variant) -> list[Question]:
        """The parts, when all of them have a bound; `no_bound` says why not."""
        parts = asked(self.step.layer, own.x)
        counts = ((layer, self.roundings(layer, x, self.step.images)) for _, layer, x in parts)
        self.no_bound = next(filter(None, (unbounded(layer, n, self.dtype) for layer, n in counts)), "")
        return [] if self.no_bound else [self._of_part("bound", part, own) for part in parts]

    def _fill(self, question: Question, stage: str) -> Fill:
        """Every stage, dtype and direction has data of its own: nothing said in one of them is of use in another."""
        words = f"{self.seed} {stage} {self.dtype} {self.prefix}".strip()
        salt = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=7).digest(), "big")
        return self.filled(question, Case(question.layer, question.variant.x, question.variant.batch, salt))

    # What is said of the answers.

    def answers(self, replies: list[Reply]) -> dict[str, list[Answer]]:
        """By stage, in the order of the questions."""
        asked = len(self._questions)
        found: dict[str, list[Answer]] = {stage: [] for stage in ("exact", "bound", "views", "other")}
        for number, (question, theirs) in enumerate(zip(self._questions, replies[:asked], strict=True)):
            ours = [reply for at, reply in zip(self._ours, replies[asked:], strict=True) if at == number]
            found[question.stage].append(Answer(question, theirs, ours))
        return found

    def twice(self, answer: Answer, first: Check, second: Check) -> Check:
        """The verdict on the two sets of data of an exact stage."""
        check = first if first.status.bad else second
        words = ""
        if answer.theirs.value.reference and check.status is Status.PASSED:
            check, words = msgspec.structs.replace(check, status=Status.MISTRUSTED), CALLS_US
        elif second.status is Status.FAILED and _same(answer.files(0), answer.files(1)):
            remembers = any(load(file).any() for file in answer.files(0).values())
            words = "it gives the answer of an earlier call to new data" if remembers else "it gives nothing but zeros"
        elif first.status.good and second.status is Status.FAILED:
            words = "right when it is first called, wrong the second time"
        return msgspec.structs.replace(check, detail="; ".join(filter(None, (words, check.detail))))

    def conduct(self, replies: list[Reply]) -> Check:
        """What it did beside computing."""
        trials = [reply.value for reply in replies[: len(self._questions)] if not reply.status]
        faults = dict.fromkeys(fault for trial in trials for fault in trial.faults)
        status = Status.FAILED if faults else Status.PASSED
        fine = "inputs unchanged, results its own, the same answer again, nothing replaced"
        return Check(f"{self.prefix}conduct", "equal", status, self.dtype, detail="; ".join(faults) or fine)

    def views(self, right: bool, answers: list[Answer]) -> tuple[Check, ...]:  # noqa: FBT001
        """The same on arrays of another order in memory; not to take them is no fault."""
        if not answers:
            return ()
        check = max(map(self._tried, answers), key=lambda check: list(Status).index(check.status))
        theirs = [answer.theirs for answer in answers]
        refused = next((reply for reply in theirs if reply.status in NOT_JUDGED), None)
        if refused:
            check = self.check(Status.SKIPPED, f"it does not take views ({refused.reason})")
        elif check.status is Status.FAILED:
            said = "right on contiguous arrays, wrong on views (strides ignored)" if right else "wrong on views too"
            check = msgspec.structs.replace(check, detail=f"{said}; {check.detail}")
        elif check.status.good:
            check = self.check(Status.PASSED, "right on arrays whose last axis is not the fastest in memory")
        return (self._of_all(check, "views", theirs),)

    def inputs(self, exact: Status, answers: list[Answer]) -> tuple[Check, ...]:
        """Right here and wrong there has a reason; to refuse another size is no fault."""
        if not answers:
            return ()
        own = own_variant(self.step)
        right = [own] if exact.good or exact is Status.MISTRUSTED else []
        wrong = [own] if exact in {Status.FAILED, Status.SHAPE_MISMATCH} else []
        refused: list[str] = []
        bad: Check | None = None
        for variant, group in _by_input(answers, whole=self.whole).items():
            lacking = next((answer.theirs for answer in group if answer.theirs.status in NOT_JUDGED), None)
            if lacking:
                refused.append(f"no answer for {variant.words} ({lacking.reason})")
                continue
            faults = [check for check in map(self._tried, group) if check.status.bad]
            (wrong if faults else right).append(variant)
            bad = bad or next(iter(faults), None)
        said = [reason(right, wrong)] if wrong else ["right on " + words(right)] if right else []
        said += refused
        status = bad.status if bad else exact if wrong else Status.PASSED
        if len(refused) == len(_by_input(answers, whole=self.whole)):
            status = Status.SKIPPED
        check = self.check(status, "; ".join([*said, bad.detail] if bad else said))  # the first of the bad ones
        check = self._of_all(check, "other_inputs", [answer.theirs for answer in answers])
        return (msgspec.structs.replace(check, worst_index=bad.worst_index) if bad else check,)

    def _tried(self, answer: Answer) -> Check:
        return self.broken([answer.theirs], [self.against]) or self.judged(answer, 0)

    def _of_all(self, check: Check, name: str, replies: list[Reply]) -> Check:
        named = msgspec.structs.replace(check, name=f"{self.prefix}{name}", method="exact")
        return msgspec.structs.replace(named, max_abs_error=None, seconds=seconds_of(replies))


def asked(layer: Layer, x: Shape) -> list[Part]:
    """The parts that a kernel is asked for: a pack's linear layers are nobody's."""
    return [part for part in primitives(layer, x) if part.layer.kind in POSITIONAL]


def _by_input(answers: list[Answer], *, whole: bool) -> dict[Variant, list[Answer]]:
    """The answers on one input of the layer; of a composite, the parts' inputs follow the first one's."""
    found: dict[Variant, list[Answer]] = {}
    key = Variant((), ())
    first = answers[0].question.part
    for answer in answers:
        if whole or answer.question.part == first:
            key = answer.question.variant
        found.setdefault(key, []).append(answer)
    return found


def _same(one: Files, other: Files) -> bool:
    """The same results, every one."""
    return all(_equal(file, other[name]) for name, file in one.items() if name in other) and one.keys() == other.keys()


def _equal(one: str, other: str) -> bool:
    y, z = load(one), load(other)
    return y.shape == z.shape and not difference(y, z).wrong
