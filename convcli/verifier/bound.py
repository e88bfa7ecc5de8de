"""The bound stage: on ordinary floats, no further apart than rounding can bring two correct implementations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.layers import Layer, Shape
from convcli.verifier.bounds import BITS, coarse, gamma, roundings
from convcli.verifier.case import Case, Fill
from convcli.verifier.compare import within
from convcli.verifier.estimate import forward_bytes
from convcli.verifier.exchange import load, store
from convcli.verifier.facts import UNCOUNTED
from convcli.verifier.fills import ordinary
from convcli.verifier.formats import stored
from convcli.verifier.job import SEVERITY, Bench, Job, NothingToDo, primitives, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.verifier.tasks import Reference
    from convcli.verifier.workers import Call, Reply


class BoundStage(Job):
    """Ordinary floats to both sides, a composite part by part; what a side gives is held to its bound."""

    method = "bound"
    label, ours, theirs = "bound", "reference", "result"  # the tasks that either side is asked for

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Each part's data to both."""
        self.no_elements()
        calls = []
        for part, layer, x in primitives(self.step.layer, self.step.x):
            n = max(self.roundings(layer, x).values())
            reason = unbounded(layer, n, self.dtype)
            if reason:
                raise NothingToDo(reason)
            name = f"{self.label}.{part}" if part else self.label
            sample = store(directory, name, self.fill(self.case.part(layer, x)))
            given = (layer, sample, self.dtype)
            calls += [
                bench.ours.call(self.ours, *given, coarse(n)[0], directory, name),
                bench.theirs.call(self.theirs, self.against, *given, directory, f"{name}.theirs"),
            ]
        return calls

    def fill(self, case: Case) -> Fill:
        """The data of a part."""
        raise NotImplementedError

    def roundings(self, layer: Layer, x: Shape) -> dict[str, int]:
        """The most that one product suffers on its way into each result of a part."""
        raise NotImplementedError

    def held(self, shape: Shape, ours: Reference, theirs: str, n: int, factor: float = 0.0) -> Check:
        """One result against its bound for n roundings; factor: what the rounding of S itself may have taken."""
        y, z = load(ours.file), load(theirs)
        own = ours.file != ours.reference
        for side, result in [("convcli", y)] * own + [(self.against, z)]:
            if result.shape != shape:
                return self.check(Status.SHAPE_MISMATCH, f"{side} gave {result.shape}, expected {shape}")
            if str(result.dtype) != stored(self.dtype):
                return self.check(Status.FAILED, f"{side} gave {result.dtype}, expected {self.dtype}")
        truth, magnitude = load(ours.reference), load(ours.magnitude)
        each = gamma(n, self.dtype) or 0.0
        bound = (each + (gamma(n, "float64") or 0.0)) * (factor or coarse(n)[1]) * magnitude  # the reference rounds too
        sides = {self.against: within(truth, z, bound)}
        if own:
            sides["convcli"] = within(truth, y, bound)
        words = ", ".join(f"{side} {found.ratio or 0.0:.3g}" for side, found in sides.items())
        detail = f"{words} of the bound for {n} roundings"
        side, worst = max(sides.items(), key=lambda item: item[1].ratio or 0.0)
        if worst.wrong:
            gave = z if side == self.against else y
            detail += f"; expected {truth[worst.worst]:.9g}, {side} gave {gave[worst.worst]:.9g}; "
            detail += f"{worst.wrong} elements beyond it, {worst.share:.1%}"
        return self.check(
            Status.FAILED if worst.wrong else Status.PASSED,
            detail,
            max_abs_error=worst.max_abs_error,
            bound_ratio=worst.ratio,
            worst_index=worst.worst if worst.wrong else None,
        )


class BoundJob(BoundStage):
    """The output: no further apart than rounding can bring it."""

    @property
    def memory(self) -> int:
        """Our side's reference is in float64."""
        return forward_bytes(self.step.layer, self.step.batch, self.step.x, "float64")

    def fill(self, case: Case) -> Fill:
        """Normal floats."""
        return ordinary(case)

    def roundings(self, layer: Layer, x: Shape) -> dict[str, int]:
        """Those of the output."""
        return {"": roundings(layer, x)}

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
        check = self.held((*self.step.batch, *layer.output(x)), ours, theirs, roundings(layer, x))
        return msgspec.structs.replace(check, detail=f"{label}: {check.detail}") if label else check


def unbounded(layer: Layer, n: int, dtype: str) -> str:
    """Why n roundings have no bound; "" when they have one."""
    if gamma(n, dtype) is None:
        return f"{n} roundings have no bound in {dtype}"
    if layer.kind in UNCOUNTED and BITS[dtype] < BITS["float32"]:
        return f"no exact coordinates in {dtype}"
    return ""
