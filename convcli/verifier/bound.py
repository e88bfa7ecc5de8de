"""The bound stage: on ordinary floats, no further apart than rounding can bring two correct implementations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.layers import Layer, Shape
from convcli.verifier.bounds import BITS, coarse, gamma, roundings
from convcli.verifier.compare import within
from convcli.verifier.estimate import forward_bytes
from convcli.verifier.exchange import load, store
from convcli.verifier.facts import UNCOUNTED
from convcli.verifier.fills import ordinary
from convcli.verifier.job import SEVERITY, Bench, Job, NothingToDo, primitives, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.verifier.tasks import Reference
    from convcli.verifier.workers import Call, Reply


class BoundJob(Job):
    """Ordinary floats: no further apart than rounding can bring them. A composite part by part."""

    method = "bound"

    @property
    def memory(self) -> int:
        """Our side's reference is in float64."""
        return forward_bytes(self.step.layer, self.step.batch, self.step.x, "float64")

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Each part's data to both."""
        self.no_elements()
        calls = []
        for label, layer, x in primitives(self.step.layer, self.step.x):
            n = roundings(layer, x)
            if gamma(n, self.dtype) is None:
                raise NothingToDo(f"{n} roundings have no bound in {self.dtype}")
            if layer.kind in UNCOUNTED and BITS[self.dtype] < BITS["float32"]:
                raise NothingToDo(f"no exact coordinates in {self.dtype}")
            name = f"bound.{label}" if label else "bound"
            sample = store(directory, name, ordinary(self.case.part(layer, x)))
            calls += [
                bench.ours.call("reference", layer, sample, self.dtype, coarse(n)[0], directory, name),
                bench.theirs.call("result", self.against, layer, sample, self.dtype, directory, f"{name}.theirs"),
            ]
        return calls

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The part that comes nearest to its bound, or crosses it, speaks for all."""
        broken = self.broken(replies, ["convcli", self.against] * (len(replies) // 2))
        if broken:
            return (broken,)
        parts = primitives(self.step.layer, self.step.x)
        found = [
            self._part(*part, ours.value, theirs.value)
            for part, ours, theirs in zip(parts, replies[::2], replies[1::2], strict=True)
        ]
        worst = max(found, key=lambda check: (SEVERITY.index(check.status), check.bound_ratio or 0.0))
        errors = [check.max_abs_error for check in found if check.max_abs_error is not None]
        return (
            msgspec.structs.replace(
                worst,
                detail="; ".join(check.detail for check in found),
                max_abs_error=max(errors, default=None),
                seconds=seconds_of(replies),
            ),
        )

    def _part(self, label: str, layer: Layer, x: Shape, ours: Reference, theirs: str) -> Check:
        y, z = load(ours.file), load(theirs)
        shape = (*self.step.batch, *layer.output(x))
        prefix = f"{label}: " if label else ""
        if z.shape != shape or y.shape != shape:
            return self.check(
                Status.SHAPE_MISMATCH, f"{prefix}convcli gave {y.shape}, {self.against} {z.shape}, expected {shape}"
            )
        if str(z.dtype) != self.dtype:
            return self.check(Status.FAILED, f"{prefix}{self.against} gave {z.dtype}, expected {self.dtype}")
        n = roundings(layer, x)
        magnitude, truth = load(ours.magnitude), load(ours.reference)
        each = gamma(n, self.dtype) or 0.0
        bound = (each + (gamma(n, "float64") or 0.0)) * coarse(n)[1] * magnitude  # the reference rounds too
        sides = {self.against: within(truth, z, bound)}
        if self.dtype != "float64":
            sides["convcli"] = within(truth, y, bound)
        words = ", ".join(f"{side} {found.ratio or 0.0:.3g}" for side, found in sides.items())
        detail = f"{prefix}{words} of the bound for {n} roundings"
        worst = max(sides.values(), key=lambda found: found.ratio or 0.0)
        if worst.wrong:
            side, gave = next((s, z if s == self.against else y) for s, found in sides.items() if found is worst)
            detail += f"; expected {truth[worst.worst]:.9g}, {side} gave {gave[worst.worst]:.9g}; "
            detail += f"{worst.wrong} elements beyond it, {worst.share:.1%}"
        return self.check(
            Status.FAILED if worst.wrong else Status.PASSED,
            detail,
            max_abs_error=worst.max_abs_error,
            bound_ratio=worst.ratio,
            worst_index=worst.worst if worst.wrong else None,
        )
