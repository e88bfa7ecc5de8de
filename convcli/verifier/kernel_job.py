"""The checks of the user's own kernel: values, conduct, and inputs of other sizes, each on data of its own.

The kernel answers first; only then does our side begin, in another process and another directory.
"""

from __future__ import annotations

import hashlib
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from convcli.backends.kernel import Target
from convcli.errors import SpecError
from convcli.layers import Layer, Shape
from convcli.verifier.bound import BoundJob
from convcli.verifier.bounds import BITS, coarse, gamma, roundings
from convcli.verifier.compare import difference
from convcli.verifier.exact import ExactJob, common_bits
from convcli.verifier.exchange import Sample, load, store
from convcli.verifier.facts import UNCOUNTED
from convcli.verifier.fills import Case, Unfillable, ordinary, structural
from convcli.verifier.job import SEVERITY, Bench, NothingToDo, primitives, seconds_of
from convcli.verifier.sequence import After
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.plan import Step
    from convcli.verifier.trial import Trial
    from convcli.verifier.workers import Call, Reply

FEW_MACS, MANY_MACS, TIMES = 300_000, 20_000_000, 16  # what the inputs of other sizes may cost, beside the layer itself
LARGER = (67, 45, 33, 21, 14)
NOT_JUDGED = frozenset({Status.TIMED_OUT, Status.OUT_OF_MEMORY, Status.ERROR_MISMATCH, Status.UNSUPPORTED})


class Variant(msgspec.Struct, frozen=True):
    """The layer on another input."""

    batch: Shape
    x: Shape

    @property
    def words(self) -> str:
        """2 of 9x12, or 9x12."""
        images = f"{prod(self.batch)} of " if prod(self.batch) > 1 else ""
        return images + "x".join(map(str, self.x[1:]))

    @property
    def square(self) -> bool:
        """All its axes are equally long."""
        return len(set(self.x[1:])) == 1


class _Exact(ExactJob):
    """One exact comparison with what we say."""

    def judged(self, reply: Reply, file: str) -> Check:
        """Our side's reply against the kernel's result."""
        broken = self.broken([reply], ["convcli"])
        if broken:
            return broken
        y, z = load(reply.value.file), load(file)
        bad = self.misshapen((self.against, z))
        found = None if bad else difference(y, z)
        if bad or found is None or found.worst is None:
            return bad or self._judged(reply.value, difference(y, z), y, z)
        detail = f"expected {y[found.worst]:.9g}, {self.against} gave {z[found.worst]:.9g}; "
        detail += f"{found.wrong} elements differ, {found.share:.1%}"
        return self.check(Status.FAILED, detail, max_abs_error=found.max_abs_error, worst_index=found.worst)


class KernelJob(BoundJob):
    """One layer in one dtype; with `others`, on inputs of other sizes too."""

    def __init__(self, step: Step, seed: int, target: Target, dtype: str, *, others: bool):
        super().__init__(step, seed, target.name, dtype)
        self.target, self.seed, self.others = target, seed, others
        self.variants: list[Variant] = []
        self.no_bound = ""
        self._calls: list[Call | After] = []

    @property
    def memory(self) -> int:
        """Two sets of data, and their results kept."""
        return 2 * super().memory

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """The kernel's calls; behind them ours, which wait for all of them."""
        self.no_elements()
        theirs, ours = Path(directory) / "given", Path(directory) / "expected"
        theirs.mkdir(parents=True)
        ours.mkdir()
        self._calls, waiting = [], []  # the kernel's calls; (which of them it judges, ours)

        def ask(layer: Layer, samples: tuple[Sample, ...], label: str) -> None:
            args = ("trial", self.target, layer, samples, self.dtype, str(theirs), label)
            first = self._calls[:1]  # what crashes or hangs there is not tried again
            later = After(first, first[0], partial(bench.theirs.call, *args)) if first else None
            self._calls.append(later or bench.theirs.call(*args))

        layer = self.step.layer
        fills = [structural(self._case(f"exact {turn}"), common_bits(self.dtype)) for turn in (0, 1)]
        samples = tuple(store(str(theirs), f"exact.{turn}", fill) for turn, fill in enumerate(fills))
        ask(layer, samples, "exact")
        for turn, (fill, sample) in enumerate(zip(fills, samples, strict=True)):
            waiting.append((0, self._expected(bench, layer, sample, fill.quanta, ours / f"exact.{turn}")))
        for label, part, x in self._bounded():
            sample = store(str(theirs), f"bound.{label}", ordinary(self._case("bound").part(part, x)))
            ask(part, (sample,), f"bound.{label}.theirs")
            precision = coarse(roundings(part, x))[0]
            args = ("reference", part, sample, self.dtype, precision, str(ours), f"bound.{label}")
            waiting.append((len(self._calls) - 1, partial(bench.ours.call, *args)))
        for variant in self._variants():
            case = msgspec.structs.replace(self._case("other"), x=variant.x, batch=variant.batch)
            try:
                fill = structural(case, common_bits(self.dtype))
            except Unfillable:
                continue
            number = len(self.variants)
            sample = store(str(theirs), f"other.{number}", fill)
            ask(layer, (sample,), f"other.{number}.theirs")
            expected = self._expected(bench, layer, sample, fill.quanta, ours / f"other.{number}")
            waiting.append((len(self._calls) - 1, expected))
            self.variants.append(variant)
        first = list(self._calls)
        return cast("list[Call]", [*first, *[After(first, first[place], then) for place, then in waiting]])

    def _expected(self, bench: Bench, layer: Layer, sample: Sample, quanta: Any, directory: Path) -> Any:
        directory.mkdir()
        return partial(bench.ours.call, "exact", layer, sample, quanta, self.dtype, str(directory), "exact")

    def _case(self, stage: str) -> Case:
        """Every stage and every dtype has data of its own: nothing said in one of them is of use in another."""
        salt = hashlib.blake2b(f"{self.seed} {stage} {self.dtype}".encode(), digest_size=7).digest()
        return msgspec.structs.replace(self.case, seed=int.from_bytes(salt, "big"))

    def _bounded(self) -> list[tuple[str, Layer, Shape]]:
        """The parts, when all of them have a bound; `no_bound` says why not."""
        parts = primitives(self.step.layer, self.step.x)
        for _, layer, x in parts:
            if gamma(roundings(layer, x), self.dtype) is None:
                self.no_bound = f"{roundings(layer, x)} roundings have no bound in {self.dtype}"
            elif layer.kind in UNCOUNTED and BITS[self.dtype] < BITS["float32"]:
                self.no_bound = f"no exact coordinates in {self.dtype}"
        return [] if self.no_bound else parts

    def _variants(self) -> list[Variant]:
        """A small square, a small oblong, a larger one, and two images where there is one: as far as they are legal."""
        layer, batch, x = self.step.layer, self.step.batch, self.step.x
        if not self.others:
            return []
        own = layer.counts(x, self.step.images).macs
        most = max(own, min(max(TIMES * own, FEW_MACS), MANY_MACS))
        rank, small = len(layer.axes), max(axis.span + axis.stride for axis in layer.axes) + 2
        spaces = [(small,) * rank, tuple(small + 3 * axis for axis in range(rank))]
        spaces += [tuple(size + 2 * axis + 1 for axis in range(rank)) for size in LARGER]
        wanted = [Variant(batch, (x[0], *space)) for space in spaces]
        if batch == (1,):
            wanted.insert(2, Variant((2,), wanted[0].x))
        found: list[Variant] = []
        for variant in wanted:
            large = len(found) and prod(variant.x) > prod(wanted[1].x)
            if variant == Variant(batch, x) or variant in found or (large and prod(variant.x) <= prod(x)):
                continue
            if _macs(layer, variant) <= most:
                found.append(variant)
                if large:
                    break
        return found

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Shape, exact and bounded values, conduct, and the inputs of other sizes; one when it does not answer."""
        broken = self.broken(replies[:1], [self.against])
        if broken:
            return (msgspec.structs.replace(broken, method="exact"),)
        asked = len(self._calls)
        theirs, ours = replies[:asked], replies[asked:]
        parts = asked - 1 - len(self.variants)
        exact = self._exact_check(theirs[0], ours[:2])
        bound = self._bound_check(theirs[1 : 1 + parts], ours[2 : 2 + parts])
        if exact.status.good and bound.status is Status.FAILED:
            bound = msgspec.structs.replace(bound, detail=f"right on whole numbers, wrong on others; {bound.detail}")
        others = self._others(exact, theirs[1 + parts :], ours[2 + parts :])
        return (*self._shape(theirs[0]), exact, bound, *self._conduct(theirs), *others)

    def _shape(self, reply: Reply) -> tuple[Check, ...]:
        """Told once."""
        if not self.others:
            return ()
        shape = (*self.step.batch, *self.step.y)
        found = load(reply.value.files[0]).shape
        words = f"{shape}" if found == shape else f"convcli {shape}, {self.against} {found}"
        return (Check("shape", "equal", Status.PASSED if found == shape else Status.SHAPE_MISMATCH, detail=words),)

    def _exact_check(self, reply: Reply, ours: list[Reply]) -> Check:
        job = _Exact(self.step, self.seed, self.against, self.dtype)
        trial: Trial = reply.value
        first, second = (job.judged(ours[turn], trial.files[turn]) for turn in (0, 1))
        check = first if first.status.bad else second
        words = ""
        if trial.reference and check.status is Status.PASSED:
            check = msgspec.structs.replace(check, status=Status.MISTRUSTED)
            words = "it calls convcli.kernels, the reference itself: nothing was compared"
        elif second.status is Status.FAILED and _same(*trial.files):
            words = "it gives the answer of an earlier call to new data"
        elif first.status.good and second.status is Status.FAILED:
            words = "right when it is first called, wrong the second time"
        detail = "; ".join(filter(None, (words, check.detail)))
        return msgspec.structs.replace(check, detail=detail, seconds=reply.seconds)

    def _bound_check(self, theirs: list[Reply], ours: list[Reply]) -> Check:
        if self.no_bound:
            return self.check(Status.SKIPPED, self.no_bound)
        broken = self.broken(theirs, [self.against] * len(theirs)) or self.broken(ours, ["convcli"] * len(ours))
        if broken:
            return broken
        parts = primitives(self.step.layer, self.step.x)
        found = [
            self._part(*part, mine.value, reply.value.files[0])
            for part, mine, reply in zip(parts, ours, theirs, strict=True)
        ]
        worst = max(found, key=lambda check: (SEVERITY.index(check.status), check.bound_ratio or 0.0))
        return msgspec.structs.replace(
            worst, detail="; ".join(check.detail for check in found), seconds=seconds_of(theirs)
        )

    def _conduct(self, theirs: list[Reply]) -> tuple[Check, ...]:
        """What it did beside computing."""
        faults = dict.fromkeys(fault for reply in theirs if not reply.status for fault in reply.value.faults)
        status = Status.FAILED if faults else Status.PASSED
        fine = "inputs unchanged, results its own, the same answer again, nothing replaced"
        return (Check("conduct", "equal", status, self.dtype, detail="; ".join(faults) or fine),)

    def _others(self, exact: Check, theirs: list[Reply], ours: list[Reply]) -> tuple[Check, ...]:
        """Right here and wrong there has a reason; to refuse another size is no fault."""
        if not self.variants:
            return ()
        own = Variant(self.step.batch, self.step.x)
        right = [own] if exact.status.good or exact.status is Status.MISTRUSTED else []
        wrong = [own] if exact.status in {Status.FAILED, Status.SHAPE_MISMATCH} else []
        refused: list[str] = []
        bad: Check | None = None
        for variant, reply, mine in zip(self.variants, theirs, ours, strict=True):
            if reply.status in NOT_JUDGED:
                refused.append(f"no answer for {variant.words} ({reply.reason})")
                continue
            check = self._other(variant, reply, mine)
            (wrong if check.status.bad else right).append(variant)
            bad = bad or (check if check.status.bad else None)
        words = [reason(right, wrong)] if wrong else ["right on " + _list(right)] if right else []
        words += refused
        status = bad.status if bad else exact.status if wrong else Status.PASSED
        if len(refused) == len(self.variants):
            status = Status.SKIPPED
        detail = "; ".join([*words, bad.detail] if bad else words)  # the first of the bad ones
        check = Check("other_inputs", "exact", status, self.dtype, detail=detail, seconds=seconds_of(theirs))
        return (msgspec.structs.replace(check, worst_index=bad.worst_index) if bad else check,)

    def _other(self, variant: Variant, reply: Reply, mine: Reply) -> Check:
        y = self.step.layer.output(variant.x)
        step = msgspec.structs.replace(self.step, batch=variant.batch, x=variant.x, y=y)
        job = _Exact(step, self.seed, self.against, self.dtype)
        job.whole = False
        return job.broken([reply], [self.against]) or job.judged(mine, reply.value.files[0])


def reason(right: list[Variant], wrong: list[Variant]) -> str:
    """What the inputs on which a kernel is right have in common, and the wrong ones have not."""
    said = f"right on {_list(right)}, wrong on {_list(wrong)}" if right else f"wrong on {_list(wrong)} too"
    if not right:
        return said
    if all(prod(v.batch) == 1 for v in right) and all(prod(v.batch) > 1 for v in wrong):
        return f"right on one image only: {said}"
    if len(right[0].x) > 2 and all(v.square for v in right) and not any(v.square for v in wrong):
        return f"right on square inputs only: {said}"
    if max(prod(v.x) for v in right) < min(prod(v.x) for v in wrong):
        return f"right on small inputs only: {said}"
    return said


def _macs(layer: Layer, variant: Variant) -> float:
    try:
        y = layer.output(variant.x)
    except (SpecError, NothingToDo):
        return float("inf")
    return layer.counts(variant.x, prod(variant.batch)).macs if prod(y) else float("inf")


def _list(variants: list[Variant]) -> str:
    return ", ".join(variant.words for variant in variants)


def _same(one: str, other: str) -> bool:
    y, z = load(one), load(other)
    return y.shape == z.shape and not difference(y, z).wrong
