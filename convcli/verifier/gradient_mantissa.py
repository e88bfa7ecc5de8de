"""The second exact stage of the gradients: data that need every bit of one operand of their products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.verifier.bounds import BITS
from convcli.verifier.case import Case
from convcli.verifier.exchange import Sample, store
from convcli.verifier.gradient import ExactGradientJob, arrays_of, check_name
from convcli.verifier.job import SEVERITY, Bench, primitives, seconds_of
from convcli.verifier.long_gradients import long_gradients
from convcli.verifier.mantissa import common_sums
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.verifier.workers import Call, Reply


class Long(msgspec.Struct, frozen=True):
    """One fill of one part, in which the arrays `role` are long; it takes one call on each side."""

    label: str
    role: tuple[str, ...]
    case: Case
    sample: Sample
    note: str

    @property
    def where(self) -> str:
        """depthwise: x and weight long"""
        words = f"{' and '.join(self.role)} long"
        return f"{self.label}: {words}" if self.label else words


class GradientMantissaJob(ExactGradientJob):
    """dy 13 bits long where what it is multiplied by is of ones, and the other way round; a composite part by part."""

    name = "grad_mantissa"
    whole = False  # the structural data have shown the signal

    @property
    def names(self) -> tuple[str, ...]:
        """One check for all."""
        return ("mantissa",)

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Each part, its operands long in turn."""
        self.no_elements()
        self._fills: list[Long] = []
        calls: list[Call] = []
        for part in primitives(self.step.layer, self.step.x):
            label, layer, _ = part
            case = self.case.part(part)
            for role, fill in long_gradients(case, BITS[self.dtype]).items():
                name = f"mantissa.{label}.{len(calls)}"
                sample = store(directory, name, fill)
                self._fills.append(Long(label, role, case, sample, fill.note))
                proof = (fill.quanta, self.dtype, directory, name, common_sums(self.dtype))
                calls += [
                    bench.ours.call("exact_gradients", layer, sample, *proof),
                    bench.theirs.call(
                        "gradients", self.against, layer, sample, self.dtype, directory, f"{name}.theirs"
                    ),
                ]
        return calls

    def further(self, bench: Bench, directory: str, replies: list[Reply]) -> list[Call]:
        """Where the sides differ: which precision of the operands would explain the other one's gradients."""
        del directory
        if any(reply.status for reply in replies):
            return []
        calls = []
        for fill, ours, theirs in zip(self._fills, replies[::2], replies[1::2], strict=True):
            failed = [name for name, check in self._each(fill, ours, theirs) if check.status is Status.FAILED]
            files = {name: theirs.value[name] for name in failed if name in theirs.value}
            if files:
                given = (fill.case.layer, fill.sample, self.dtype, fill.role, files)
                calls.append(bench.ours.call("gradient_precision", *given))
        return calls

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """One check: the worst of all fills and gradients, what was found in each, and what explains it."""
        first, explained = replies[: 2 * len(self._fills)], replies[2 * len(self._fills) :]
        missing = self._missing(first)
        if missing:
            return missing
        pairs = zip(self._fills, first[::2], first[1::2], strict=True)
        found = [self._of_fill(fill, ours, theirs) for fill, ours, theirs in pairs]
        worst = max(found, key=lambda check: (check.status.bad, SEVERITY.index(check.status)))
        words = [check.detail for check in found]
        words += [f"{self.against}: {reply.value}" for reply in explained if reply.value]
        return (msgspec.structs.replace(worst, name=self.name, detail="; ".join(words), seconds=seconds_of(replies)),)

    def _each(self, fill: Long, ours: Reply, theirs: Reply) -> list[tuple[str, Check]]:
        """Every gradient of one fill."""
        names = arrays_of(fill.case.layer, fill.case.x)
        self.note = ""
        return [
            (name, self._compared(name, fill.case.shape(name), ours.value[name], theirs.value.get(name)))
            for name in names
        ]

    def _of_fill(self, fill: Long, ours: Reply, theirs: Reply) -> Check:
        """The worst gradient speaks for all that are as bad; when none is wrong, the one that needs the most bits."""
        checks = self._each(fill, ours, theirs)
        bits = {name: ours.value[name].bits for name, _ in checks}
        _, worst = max(checks, key=lambda each: (each[1].status.bad, SEVERITY.index(each[1].status), bits[each[0]]))
        alike = ", ".join(check_name(name) for name, check in checks if check.status is worst.status)
        told = worst.detail if worst.status.good else f"{alike}: {worst.detail}"
        detail = "; ".join(filter(None, (f"{fill.where}: {told}", fill.note)))
        return msgspec.structs.replace(worst, detail=detail)
