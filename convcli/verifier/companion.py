"""The checks of a layer between convolutions: shape, parameters, macs and what it computes in inference.

Its values are what numpy says in a few lines (backends/companions): bit for bit on data that cannot round, within the
bound of its roundings on ordinary floats. Its gradients are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from convcli.backends.companions import REASONS, exact, rounds, untold
from convcli.verifier.bounds import BITS, gammas
from convcli.verifier.companion_fills import ordinary, whole
from convcli.verifier.compare import difference, within
from convcli.verifier.estimate import ITEM, forward_bytes
from convcli.verifier.exact import common_bits
from convcli.verifier.exchange import load, store
from convcli.verifier.facts import FactsJob
from convcli.verifier.formats import stored
from convcli.verifier.job import Bench, Job, NothingToDo, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.backends import Array
    from convcli.plan import Step
    from convcli.verifier.companion_tasks import Truth
    from convcli.verifier.workers import Call, Reply

ALONE = "it is asked for convolutions alone"
COPIES = 4  # of float64: what numpy's few lines keep at a time, beside both sides' arrays


def companion_jobs(step: Step, seed: int, against: str, dtypes: tuple[str, ...]) -> Iterator[Job]:
    """Every check of one layer, in the order of the report."""
    yield CompanionFactsJob(step, seed, against)
    reason = untold(step.layer)
    if reason:
        yield UntoldJob(step, seed, against, reason)
        return
    for dtype in dtypes:
        if exact(step.layer):
            yield ExactCompanionJob(step, seed, against, dtype)
        if rounds(step.layer):
            yield BoundCompanionJob(step, seed, against, dtype)


class CompanionFactsJob(FactsJob):
    """Shape, parameters and MACs against the other side's module."""

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """One call; what is stated and not worked out has nothing to be compared with."""
        del directory
        layer = self.step.layer
        if layer.kind in REASONS or (layer.kind == "elementwise" and untold(layer)):
            raise NothingToDo("its shape and parameters are as the spec says")
        shapes = tuple(self.case.shape(name) for name in ("x", *self.step.layer.side_inputs(self.step.x)))
        return [bench.theirs.call("companion_facts", self.against, self.step.layer, shapes)]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The three checks, unless the other side is no judge of such layers."""
        if not replies[0].status and replies[0].value is None:
            return (self.check(Status.SKIPPED, f"{self.against}: {ALONE}"),)
        return super().checks(replies)


class UntoldJob(Job):
    """A layer whose values nobody here can tell."""

    method = "equal"

    def __init__(self, step: Step, seed: int, against: str, reason: str):
        super().__init__(step, seed, against)
        self.reason = reason

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Nothing."""
        del bench, directory
        raise NothingToDo(self.reason)


class CompanionJob(Job):
    """Values: numpy's in float64, the other side's in `dtype`, on the same data."""

    @property
    def memory(self) -> int:
        """Both sides' arrays, and numpy's in float64."""
        most = forward_bytes(self.step.layer, self.step.batch, self.step.x, self.dtype)
        return most + COPIES * most * ITEM["float64"] // ITEM[self.dtype]

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """The same data to both."""
        self.no_elements()
        fill = whole(self.case, common_bits(self.dtype)) if self.method == "exact" else ordinary(self.case)
        sample = store(directory, self.method, fill)
        given = (self.step.layer, sample, self.dtype, directory)
        return [
            bench.ours.call("companion_truth", *given, f"{self.method}.truth"),
            bench.theirs.call("companion_result", self.against, *given, f"{self.method}.theirs"),
        ]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Of the shape, the dtype and the values."""
        broken = self.broken(replies, ["convcli", self.against])
        if broken:
            return (broken,)
        if replies[1].value is None:
            return (self.check(Status.SKIPPED, f"{self.against}: {ALONE}"),)
        truth: Truth = replies[0].value
        y, z = load(truth.file), load(replies[1].value)
        shape = (*self.step.batch, *self.step.y)
        if y.shape != shape:
            check = self.check(Status.SHAPE_MISMATCH, f"convcli gave {y.shape}, expected {shape}")
        else:
            check = self.misshapen((self.against, z)) or self.judged(truth, y, z)
        return (msgspec.structs.replace(check, seconds=seconds_of(replies)),)

    def judged(self, truth: Truth, y: Array, z: Array) -> Check:
        """The check of two arrays of one shape."""
        raise NotImplementedError


class ExactCompanionJob(CompanionJob):
    """Bit for bit, on data of few bits."""

    method = "exact"

    def judged(self, truth: Truth, y: Array, z: Array) -> Check:
        """Equal, and no sum needs more bits than there are."""
        found = difference(y, z)
        if found.worst is not None:
            detail = f"convcli {y[found.worst]:.9g}, {self.against} {z[found.worst]:.9g}; "
            detail += f"{found.wrong} elements differ, {found.share:.1%}"
            return self.check(Status.FAILED, detail, max_abs_error=found.max_abs_error, worst_index=found.worst)
        bits = BITS[self.dtype]
        if truth.bits > bits:
            detail = f"equal, but not proven: {truth.bits:.1f} bits of {bits}"
            return self.check(Status.MISTRUSTED, detail, max_abs_error=0.0)
        if y.size > 1 and not np.any(y):
            return self.check(Status.MISTRUSTED, "equal, but every output is 0", max_abs_error=0.0)
        detail = f"exact: proven, {truth.bits:.1f} of {bits} bits used"
        return self.check(Status.PASSED, detail, max_abs_error=0.0)


class BoundCompanionJob(CompanionJob):
    """No further apart than the roundings of both sides can bring them."""

    method = "bound"

    def judged(self, truth: Truth, y: Array, z: Array) -> Check:
        """|z - y| <= (gamma_n + gamma_n of float64) * scale, and half of the smallest number for each rounding."""
        n = np.asarray(truth.roundings)
        step = float(gammas(n, self.dtype) + gammas(n, "float64"))
        if not np.isfinite(step):
            return self.check(Status.SKIPPED, f"{truth.roundings} roundings have no bound in {self.dtype}")
        scale = load(truth.scale)
        least = float(np.finfo(stored(self.dtype)).smallest_subnormal) / 2 * truth.roundings
        found = within(y, z, step * scale + least * (scale > 0))
        numbers = {"max_abs_error": found.max_abs_error, "bound_ratio": found.ratio}
        detail = f"{self.against} {found.ratio or 0.0:.3g} of the bound for {truth.roundings} roundings"
        if not found.wrong:
            return self.check(Status.PASSED, detail, **numbers)
        worst = found.worst
        detail += f"; expected {y[worst]:.9g}, {self.against} gave {z[worst]:.9g}; "
        detail += f"{found.wrong} elements beyond it, {found.share:.1%}"
        return self.check(Status.FAILED, detail, worst_index=worst, **numbers)
