"""The gradients of the user's own backward, or of autograd through the user's own torch function: part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from convcli.layers import Layer, Shape
from convcli.verifier.bounds import SQUARES, coarse, gradient_roundings
from convcli.verifier.case import Case, Fill
from convcli.verifier.compare import Difference
from convcli.verifier.estimate import backward_bytes
from convcli.verifier.exact import common_bits
from convcli.verifier.exchange import Sample
from convcli.verifier.gradient import BoundGradientJob, ExactGradientJob, arrays_of, check_name
from convcli.verifier.gradient_fills import ordinary_gradients, structural_gradients
from convcli.verifier.job import SEVERITY, Bench, Job
from convcli.verifier.kernel_job import Answer, KernelJob, Question
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.backends import Array
    from convcli.verifier.gradient_tasks import ExactGradient
    from convcli.verifier.workers import Call, Reply

Made = TypeVar("Made", bound=Job)


class GradientsJob(KernelJob):
    """Every gradient of every part of one layer, in one dtype."""

    prefix, whole, name = "backward_", False, "grad"

    @property
    def memory(self) -> int:
        """Two sets of data, and their results kept; the reference is in float64."""
        return 2 * backward_bytes(self.step.layer, self.step.batch, self.step.x, "float64")

    def filled(self, question: Question, case: Case) -> Fill:
        """Normal floats for the bound, else small integers; dy with them."""
        bound = question.stage == "bound"
        return ordinary_gradients(case) if bound else structural_gradients(case, common_bits(self.dtype))

    def expected(self, bench: Bench, question: Question, sample: Sample, fill: Fill, directory: str) -> Call:
        """Every gradient with its proof, or with what it may be off by."""
        layer, x = question.layer, question.variant.x
        if question.stage == "bound":
            precision = coarse(self.roundings(layer, x, self.step.images))[0]
            given = (layer, sample, self.dtype, precision, directory, "bound", SQUARES)
            return bench.ours.call("reference_gradients", *given)
        return bench.ours.call("exact_gradients", layer, sample, fill.quanta, self.dtype, directory)

    def roundings(self, layer: Layer, x: Shape, images: int) -> int:
        """Of the gradient that adds up most."""
        return max(gradient_roundings(layer, x, images).values())

    def judged(self, answer: Answer, turn: int) -> Check:
        """The worst gradient."""
        return max(self._exact(answer, turn), key=_severity)

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Exact and bounded gradients, conduct, views and other inputs."""
        if replies[0].status:  # nothing else was asked
            parts = [(q.part, q.layer, q.variant.x) for q in self._questions if q.stage == "exact"]
            return tuple(check for part in parts for check in self._broken(replies[0], "exact", part))
        found = self.answers(replies)
        exact = [check for answer in found["exact"] for check in self._twice(answer)]
        bound = [check for answer in found["bound"] for check in self._bound(answer)]
        if self.no_bound:
            bound = [Check("grad", "bound", Status.SKIPPED, self.dtype, detail=self.no_bound)]
        right = {check.name for check in exact if check.status.good}
        bound = [
            _on_others(check) if check.name in right and check.status is Status.FAILED else check for check in bound
        ]
        worst = max(exact, key=_severity)
        views = self.views(worst.status.good, found["views"])
        return (*exact, *bound, self.conduct(replies), *views, *self.inputs(worst.status, found["other"]))

    def _twice(self, answer: Answer) -> list[Check]:
        part = (answer.question.part, answer.question.layer, answer.question.variant.x)
        broken = self._broken(answer.theirs, "exact", part)
        if broken:
            return list(broken)
        pairs = zip(self._exact(answer, 0), self._exact(answer, 1), strict=True)
        checks = [self.twice(answer, first, second) for first, second in pairs]
        return [msgspec.structs.replace(checks[0], seconds=answer.theirs.seconds), *checks[1:]]

    def _exact(self, answer: Answer, turn: int) -> list[Check]:
        """Each gradient of one set of data."""
        question, ours = answer.question, answer.ours[turn]
        job = self._one(_Exact, question)
        broken = job.broken([ours], ["convcli"])
        if broken:
            return [broken]
        files = answer.files(turn)
        names = arrays_of(question.layer, question.variant.x)
        return [_of_part(question.part, job.judged(name, ours.value[name], files.get(name))) for name in names]

    def _bound(self, answer: Answer) -> list[Check]:
        """Each gradient on ordinary floats."""
        question = answer.question
        layer, x = question.layer, question.variant.x
        job = self._one(BoundGradientJob, question)
        broken = self._broken(answer.theirs, "bound", (question.part, layer, x))
        broken = broken or self._broken(answer.ours[0], "bound", (question.part, layer, x), side="convcli")
        if broken:
            return list(broken)
        theirs = msgspec.structs.replace(answer.theirs, value=answer.files(0))
        checks = [_of_part(question.part, check) for check in job.checks([answer.ours[0], theirs])]
        return [msgspec.structs.replace(checks[0], seconds=answer.theirs.seconds), *checks[1:]]

    def _broken(self, reply: Reply, method: str, part: tuple[str, Layer, Shape], side: str = "") -> tuple[Check, ...]:
        """One check for each gradient when a side did not answer."""
        broken = self.broken([reply], [side or self.against])
        if not broken:
            return ()
        label, layer, x = part
        named = msgspec.structs.replace(broken, method=method)
        names = arrays_of(layer, x)
        return tuple(_of_part(label, msgspec.structs.replace(named, name=check_name(name))) for name in names)

    def _one(self, kind: type[Made], question: Question) -> Made:
        """A comparison of one part on one input."""
        layer, variant = question.layer, question.variant
        step = msgspec.structs.replace(
            self.step, layer=layer, batch=variant.batch, x=variant.x, y=layer.output(variant.x)
        )
        return kind(step, self.seed, self.against, self.dtype)


class _Exact(ExactGradientJob):
    """One gradient at a time against what we say."""

    def judged(self, name: str, proof: ExactGradient, file: str | None) -> Check:
        """Our gradient against the kernel's."""
        return self._compared(name, self.case.shape(name), proof, file)

    def _judged(self, name: str, proof: ExactGradient, found: Difference, y: Array, z: Array) -> Check:
        if found.worst is None:
            return super()._judged(name, proof, found, y, z)
        detail = f"expected {y[found.worst]:.9g}, {self.against} gave {z[found.worst]:.9g}; "
        detail += f"{found.wrong} elements differ, {found.share:.1%}"
        numbers = {"max_abs_error": found.max_abs_error, "worst_index": found.worst}
        return self._named(name, Status.FAILED, detail, **numbers)


def _severity(check: Check) -> int:
    return SEVERITY.index(check.status) if check.status.bad else -1


def _of_part(part: str, check: Check) -> Check:
    """grad_depthwise.weight"""
    if not part:
        return check
    return msgspec.structs.replace(check, name=check.name.replace("grad_", f"grad_{part}.", 1))


def _on_others(check: Check) -> Check:
    return msgspec.structs.replace(check, detail=f"right on whole numbers, wrong on others; {check.detail}")
