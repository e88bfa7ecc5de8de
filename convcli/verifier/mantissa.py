"""The second exact stage: data that need every bit of one operand, so that inputs cut to fewer are found, and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.verifier.alternating import long_fills
from convcli.verifier.bounds import BITS
from convcli.verifier.compare import difference
from convcli.verifier.exact import ExactJob
from convcli.verifier.exchange import Sample, load, store
from convcli.verifier.formats import stored
from convcli.verifier.job import SEVERITY, Bench, primitives, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.layers import Layer, Shape
    from convcli.verifier.workers import Call, Reply


class Long(msgspec.Struct, frozen=True):
    """One fill, in which what `role` names is long; it takes one call on each side."""

    label: str
    role: str
    layer: Layer
    shape: Shape
    sample: Sample
    note: str


class MantissaJob(ExactJob):
    """Each operand 13 bits long where the other one is of ones; a composite part by part."""

    name = "mantissa"
    whole = False  # thinned weights may leave a channel out: the structural data have it

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Each part, its operands long in turn."""
        self.no_elements()
        self._fills: list[Long] = []
        calls: list[Call] = []
        for part in primitives(self.step.layer, self.step.x):
            label, layer, x = part
            for role, fill in long_fills(self.case.part(part), BITS[self.dtype]).items():
                name = f"mantissa.{label}.{len(calls)}"
                sample = store(directory, name, fill)
                shape = (*part.of(self.step.batch), *layer.output(x))
                self._fills.append(Long(label, role, layer, shape, sample, fill.note))
                calls += [
                    bench.ours.call(
                        "exact", layer, sample, fill.quanta, self.dtype, directory, name, common_sums(self.dtype)
                    ),
                    bench.theirs.call("result", self.against, layer, sample, self.dtype, directory, f"{name}.theirs"),
                ]
        return calls

    def further(self, bench: Bench, directory: str, replies: list[Reply]) -> list[Call]:
        """Where the sides differ: which precision of the inputs would explain the other one's result."""
        del directory
        if any(reply.status for reply in replies):
            return []
        return [
            bench.ours.call("input_precision", fill.layer, fill.sample, self.dtype, replies[2 * place + 1].value)
            for place, fill in enumerate(self._fills)
            if self._compared(fill, *replies[2 * place : 2 * place + 2]).status is Status.FAILED
        ]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """One check: the worst of all fills, what was found in each, and what explains it."""
        first, explained = replies[: 2 * len(self._fills)], replies[2 * len(self._fills) :]
        broken = self.broken(first, ["convcli", self.against] * len(self._fills))
        if broken:
            return (broken,)
        found = [self._compared(fill, *first[2 * i : 2 * i + 2]) for i, fill in enumerate(self._fills)]
        worst = max(found, key=lambda check: (check.status.bad, SEVERITY.index(check.status)))
        words = dict.fromkeys(check.detail for check in found)
        words |= dict.fromkeys(f"{self.against}: {reply.value}" for reply in explained if reply.value)
        return (msgspec.structs.replace(worst, detail="; ".join(words), seconds=seconds_of(replies)),)

    def _compared(self, fill: Long, ours: Reply, theirs: Reply) -> Check:
        y, z = load(ours.value.file), load(theirs.value)
        if z.shape != fill.shape:
            return self.check(Status.SHAPE_MISMATCH, f"{self.against} gave {z.shape}, expected {fill.shape}")
        if str(z.dtype) != stored(self.dtype):
            return self.check(Status.FAILED, f"{self.against} gave {z.dtype}, expected {self.dtype}")
        self.note = fill.note
        judged = self._judged(ours.value, difference(y, z), y, z)
        where = f"{fill.label}: {fill.role}" if fill.label else fill.role
        return msgspec.structs.replace(judged, detail=f"{where} long: {judged.detail}")


def common_sums(dtype: str) -> str:
    """The precision of the proof: data of 53 bits need as many there."""
    return "float64" if dtype == "float64" else "float32"
