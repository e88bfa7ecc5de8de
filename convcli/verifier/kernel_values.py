"""The forward values of the user's own kernel: exact as a whole, within their bound part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.layers import Layer, Shape
from convcli.verifier.bound import BoundJob, Part
from convcli.verifier.bounds import SQUARES, coarse, roundings
from convcli.verifier.case import Case, Fill
from convcli.verifier.compare import difference
from convcli.verifier.estimate import forward_bytes
from convcli.verifier.exact import ExactJob, common_bits
from convcli.verifier.exchange import Sample, load
from convcli.verifier.fills import ordinary, structural
from convcli.verifier.job import Bench, seconds_of
from convcli.verifier.kernel_job import Answer, KernelJob, Question, asked
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.verifier.workers import Call, Reply


class ValuesJob(KernelJob):
    """y of one layer in one dtype."""

    @property
    def memory(self) -> int:
        """Two sets of data, and their results kept; the reference is in float64."""
        return 2 * forward_bytes(self.step.layer, self.step.batch, self.step.x, "float64")

    def filled(self, question: Question, case: Case) -> Fill:
        """Normal floats for the bound, else small integers."""
        return ordinary(case) if question.stage == "bound" else structural(case, common_bits(self.dtype))

    def expected(self, bench: Bench, question: Question, sample: Sample, fill: Fill, directory: str) -> Call:
        """y with its proof, or with what it may be off by."""
        layer, x = question.layer, question.variant.x
        if question.stage == "bound":
            precision = coarse(roundings(layer, x))[0]
            given = (layer, sample, self.dtype, precision, directory, "bound", SQUARES)
            return bench.ours.call("reference", *given)
        return bench.ours.call("exact", layer, sample, fill.quanta, self.dtype, directory, "exact")

    def roundings(self, layer: Layer, x: Shape, images: int) -> int:
        """Of one output."""
        del images
        return roundings(layer, x)

    def judged(self, answer: Answer, turn: int) -> Check:
        """Equal, proven, and with a signal in it."""
        question, mine = answer.question, answer.ours[turn]
        y = question.layer.output(question.variant.x)
        step = msgspec.structs.replace(self.step, batch=question.variant.batch, x=question.variant.x, y=y)
        job = _Exact(step, self.seed, self.against, self.dtype)
        job.whole = question.stage == "exact"
        return job.judged(mine, answer.files(turn)["y"])

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Shape, exact and bounded values, conduct, views and other inputs; one when it does not answer."""
        broken = self.broken(replies[:1], [self.against])
        if broken:
            return (msgspec.structs.replace(broken, method="exact"),)
        found = self.answers(replies)
        (first,) = found["exact"]
        exact = self.twice(first, self.judged(first, 0), self.judged(first, 1))
        exact = msgspec.structs.replace(exact, seconds=first.theirs.seconds)
        bound = self._bound(found["bound"])
        if exact.status.good and bound.status is Status.FAILED:
            bound = msgspec.structs.replace(bound, detail=f"right on whole numbers, wrong on others; {bound.detail}")
        views = self.views(exact.status.good, found["views"])
        others = self.inputs(exact.status, found["other"])
        return (*self._shape(first), exact, bound, self.conduct(replies), *views, *others)

    def _shape(self, answer: Answer) -> tuple[Check, ...]:
        """Told once."""
        if not self.others:
            return ()
        shape, found = answer.question.shape, load(answer.files(0)["y"]).shape
        words = f"{shape}" if found == shape else f"convcli {shape}, {self.against} {found}"
        return (Check("shape", "equal", Status.PASSED if found == shape else Status.SHAPE_MISMATCH, detail=words),)

    def _bound(self, answers: list[Answer]) -> Check:
        """The part that comes nearest to its bound, or crosses it, speaks for all."""
        job = _Bound(self.step, self.seed, self.against, self.dtype)
        if self.no_bound:
            return job.check(Status.SKIPPED, self.no_bound)
        theirs, ours = [answer.theirs for answer in answers], [answer.ours[0] for answer in answers]
        broken = job.broken(theirs, [self.against] * len(theirs)) or job.broken(ours, ["convcli"] * len(ours))
        if broken:
            return broken
        pairs = [
            reply
            for answer in answers
            for reply in (answer.ours[0], msgspec.structs.replace(answer.theirs, value=answer.files(0)["y"]))
        ]
        (check,) = job.checks(pairs)
        return msgspec.structs.replace(check, seconds=seconds_of(theirs))


class _Bound(BoundJob):
    """The parts that the kernel is asked for."""

    @property
    def parts(self) -> list[Part]:
        """Those that are no pack's linear layers."""
        names = {part.name for part in asked(self.step.layer, self.step.x)}
        return [part for part in super().parts if part.label in names]


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
