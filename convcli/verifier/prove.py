"""`--prove`: counted products against products that were multiplied, a layer of ones on both sides."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from convcli.backends import OURS
from convcli.layers import Part
from convcli.verifier.estimate import forward_bytes
from convcli.verifier.job import Bench, Job, primitives, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.verifier.workers import Call, Reply


class ProveJob(Job):
    """macs_nonpad, a transposed layer's macs_kept: the sum of the outputs of ones, without bias, at zero offsets."""

    name, method = "macs_nonpad", "exact"

    @property
    def memory(self) -> int:
        """Every part runs in float64."""
        return forward_bytes(self.step.layer, self.step.batch, self.step.x, "float64")

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Each part on both sides."""
        del directory
        self.no_elements()
        calls = []
        for part in self._parts:
            asked = (part.layer, part.of(self.step.batch), part.x)
            calls += [
                bench.ours.call("executed_macs", OURS, *asked),
                bench.theirs.call("executed_macs", self.against, *asked),
            ]
        return calls

    @property
    def _parts(self) -> list[Part]:
        """Those that multiply: a pool has no products of its own."""
        return [part for part in primitives(self.step.layer, self.step.x) if part.layer.tensors(part.x)]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The count and both sums are one number, part by part."""
        broken = self.broken(replies, ["convcli", self.against] * (len(replies) // 2))
        if broken:
            return (broken,)
        words, status = [], Status.PASSED
        for part, ours, theirs in zip(self._parts, replies[::2], replies[1::2], strict=True):
            label, layer, x = part
            counts = layer.counts(x, prod(part.of(self.step.batch)))
            name = "macs_nonpad" if counts.macs_kept is None else "macs_kept"
            prefix = f"{label}: " if label else ""
            if counts.macs_nonpad == ours.value == theirs.value:
                words.append(f"{prefix}{name} {counts.macs_nonpad} by execution of ones on both sides")
            else:
                status = Status.FAILED
                executed = f"by execution convcli {ours.value}, {self.against} {theirs.value}"
                words.append(f"{prefix}{name} {counts.macs_nonpad}, {executed}")
        return (self.check(status, "; ".join(words), seconds=seconds_of(replies)),)
