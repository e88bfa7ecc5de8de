"""Shape, parameters and MACs: whole numbers that must be equal."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.layers import Layer, Shape
from convcli.verifier.job import Bench, Job, primitives, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.backends import Facts
    from convcli.verifier.workers import Call, Reply

EXECUTED_MACS = 200_000_000
UNCOUNTED = frozenset({"deform_conv"})  # torch's counter knows them not; their products are proved by execution


class FactsJob(Job):
    """Shape, parameters and MACs against what the other side says of the layer, without running it."""

    name, method = "shape", "equal"

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """One call for the facts, one for each part whose products only execution can tell."""
        del directory
        batch, call = self.step.batch, bench.theirs.call
        facts = call("facts", self.against, self.step.layer, (*batch, *self.step.x))
        return [facts, *[call("executed_macs", self.against, layer, batch, x) for layer, x in self._executable()]]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The three checks."""
        found, *executed = replies
        broken = self.broken([found], [self.against])
        if broken:
            return tuple(msgspec.structs.replace(broken, name=name) for name in ("shape", "params", "macs"))
        facts: Facts = found.value
        seconds = found.seconds
        return (
            self._equal("shape", (*self.step.batch, *self.step.y), facts.output, Status.SHAPE_MISMATCH, seconds),
            self._params(facts),
            self._macs(facts.macs, executed),
        )

    def _equal(self, name: str, ours: Any, theirs: Any, bad: Status, seconds: float = 0.0) -> Check:
        equal = ours == theirs
        detail = f"{ours}" if equal else f"convcli {ours}, {self.against} {theirs}"
        return Check(name, "equal", Status.PASSED if equal else bad, detail=detail, seconds=seconds)

    def _params(self, facts: Facts) -> Check:
        """Every tensor's shape, and with them the number of parameters."""
        tensors = self.step.layer.tensors(self.step.x)
        if tensors != facts.tensors:
            return self._equal("params", tensors, facts.tensors, Status.FAILED)
        ours, theirs = (sum(map(prod, shapes.values())) for shapes in (tensors, facts.tensors))
        return self._equal("params", ours, theirs, Status.FAILED)

    def _macs(self, counted: int, executed: list[Reply]) -> Check:
        """The counted parts by the other side's counter, the others by running them on ones."""
        images = self.step.images
        parts = primitives(self.step.layer, self.step.x)
        known = [part for part in parts if part.layer.kind not in UNCOUNTED]
        ours = sum(part.layer.counts(part.x, prod(part.of(self.step.batch))).macs for part in known)
        if len(known) == len(parts):
            return self._equal("macs", ours, counted, Status.FAILED)
        executable = self._executable()
        proved = sum(layer.counts(x, images).macs_nonpad for layer, x in executable)
        broken = self.broken(executed, [self.against] * len(executed))
        if broken:
            return msgspec.structs.replace(broken, name="macs", method="exact")
        found = sum(reply.value for reply in executed)
        status = Status.PASSED if (ours, proved) == (counted, found) else Status.FAILED
        if not executable and not known:
            return Check("macs", "exact", Status.SKIPPED, detail="too many products to prove by execution")
        words = [f"{counted} by the counter, convcli {ours}"] if known else []
        run = f"{found} products at zero offsets by execution, convcli {proved}"
        words.append(run if executable else "the rest is too large to execute")
        return Check("macs", "exact", status, detail="; ".join(words), seconds=seconds_of(executed))

    def _executable(self) -> list[tuple[Layer, Shape]]:
        """The parts that the counter does not know and that are small enough to run."""
        images = self.step.images
        unknown = [(layer, x) for _, layer, x in primitives(self.step.layer, self.step.x) if layer.kind in UNCOUNTED]
        return [(layer, x) for layer, x in unknown if images and layer.counts(x, images).macs <= EXECUTED_MACS]
