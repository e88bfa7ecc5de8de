"""The checks of one layer. A job prepares its data, says what each side must do, and judges the replies.

To come: gradients, a second fill and proofs by execution are further jobs.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.layers import Layer, Shape
from convcli.verifier.bounds import BITS, coarse, gamma, roundings
from convcli.verifier.compare import Difference, difference, within
from convcli.verifier.estimate import forward_bytes
from convcli.verifier.exchange import load, store
from convcli.verifier.fills import Case, Unfillable, ordinary, structural
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.backends import Facts
    from convcli.plan import Step
    from convcli.verifier.tasks import Exact, Reference
    from convcli.verifier.workers import Call, Reply, Workers

LOOPS_MACS = 100_000  # our slowest method takes about 0.2 s for them
EXECUTED_MACS = 200_000_000
UNCOUNTED = frozenset({"deform_conv"})  # torch's counter knows them not; their products are proved by execution
SEVERITY = list(Status)


class NothingToDo(Exception):  # noqa: N818 - a reason, not an error
    """The check cannot be made; the message says why."""


class Bench(msgspec.Struct, frozen=True):
    """Both sides' workers and the other side's name."""

    against: str
    ours: Any
    theirs: Any


class Job:
    """One check of one layer, or a few that share their calls."""

    name = "forward"
    method = ""

    def __init__(self, step: Step, seed: int, against: str, dtype: str = ""):
        self.step, self.against, self.dtype = step, against, dtype
        self.case = Case(step.layer, step.x, step.batch, seed)

    @property
    def memory(self) -> int:
        """Bytes that the job holds at its worst."""
        return 0

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Write the data into `directory`, send the calls off. Raises NothingToDo, Unfillable."""
        raise NotImplementedError

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The verdict on the replies, in the order of the calls."""
        raise NotImplementedError

    def check(self, status: Status, detail: str, **numbers: Any) -> Check:  # noqa: ANN401 - Check's own fields
        """A check of this job."""
        return Check(name=self.name, method=self.method, status=status, dtype=self.dtype, detail=detail, **numbers)

    def broken(self, replies: list[Reply], sides: list[str]) -> Check | None:
        """The check when a side did not answer: the worst of what happened, with every side's reason."""
        bad = [(reply, side) for reply, side in zip(replies, sides, strict=True) if reply.status]
        if not bad:
            return None
        status = max((reply.status for reply, _ in bad if reply.status), key=SEVERITY.index)
        reasons = dict.fromkeys(f"{side}: {reply.reason}" for reply, side in bad)
        return self.check(status, "; ".join(reasons), seconds=_seconds(replies))

    def no_elements(self) -> None:
        """Refuse to compare nothing."""
        if not self.step.images * prod(self.step.y):
            raise NothingToDo("the output has no elements")

    def misshapen(self, *results: tuple[str, Any]) -> Check | None:
        """The check when a result has another shape or dtype than the layer says."""
        for side, y in results:
            if y.shape != (*self.step.batch, *self.step.y):
                return self.check(Status.SHAPE_MISMATCH, f"{side} gave {y.shape}, expected {(*self.step.batch, *self.step.y)}")
            if str(y.dtype) != self.dtype:
                return self.check(Status.FAILED, f"{side} gave {y.dtype}, expected {self.dtype}")
        return None


class FactsJob(Job):
    """Shape, parameters and MACs against what the other side says of the layer, without running it."""

    name, method = "shape", "equal"

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """One call for the facts, one for each part whose products only execution can tell."""
        del directory
        calls = [bench.theirs.call("facts", self.against, self.step.layer, (*self.step.batch, *self.step.x))]
        return calls + [
            bench.theirs.call("executed_macs", self.against, layer, self.step.batch, x) for _, layer, x in self._executable()
        ]

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

    def _equal(self, name: str, ours: Any, theirs: Any, bad: Status, seconds: float = 0.0) -> Check:  # noqa: ANN401 - numbers, shapes
        equal = ours == theirs
        detail = f"{ours}" if equal else f"convcli {ours}, {self.against} {theirs}"
        return Check(name, "equal", Status.PASSED if equal else bad, detail=detail, seconds=seconds)

    def _params(self, facts: Facts) -> Check:
        """Every tensor's shape, and with them the number of parameters."""
        tensors = self.step.layer.tensors(self.step.x)
        if tensors != facts.tensors:
            return self._equal("params", tensors, facts.tensors, Status.FAILED)
        return self._equal("params", sum(map(prod, tensors.values())), sum(map(prod, facts.tensors.values())), Status.FAILED)

    def _macs(self, counted: int, executed: list[Reply]) -> Check:
        """The counted parts by the other side's counter, the others by running them on ones."""
        images = self.step.images
        parts = _primitives(self.step.layer, self.step.x)
        known = [(layer, x) for _, layer, x in parts if layer.kind not in UNCOUNTED]
        ours = sum(layer.counts(x, images).macs for layer, x in known)
        if len(known) == len(parts):
            return self._equal("macs", ours, counted, Status.FAILED)
        executable = self._executable()
        proved = sum(layer.counts(x, images).macs_nonpad for _, layer, x in executable)
        broken = self.broken(executed, [self.against] * len(executed))
        if broken:
            return msgspec.structs.replace(broken, name="macs", method="exact")
        found = sum(reply.value for reply in executed)
        status = Status.PASSED if (ours, proved) == (counted, found) else Status.FAILED
        if not executable and not known:
            return Check("macs", "exact", Status.SKIPPED, detail="too many products to prove by execution")
        words = [f"{counted} by the counter, convcli {ours}"] if known else []
        words.append(f"{found} products at zero offsets by execution, convcli {proved}" if executable else "the rest is too large to execute")
        return Check("macs", "exact", status, detail="; ".join(words), seconds=_seconds(executed))

    def _executable(self) -> list[tuple[str, Layer, Shape]]:
        """The parts that the counter does not know and that are small enough to run."""
        images = self.step.images
        parts = [(name, layer, x) for name, layer, x in _primitives(self.step.layer, self.step.x) if layer.kind in UNCOUNTED]
        return [(name, layer, x) for name, layer, x in parts if images and layer.counts(x, images).macs <= EXECUTED_MACS]


class MethodsJob(Job):
    """Every method of our kernels against the plain loops, on exact data, in small layers."""

    name, method = "methods", "exact"

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """One call on our side."""
        self.no_elements()
        sample = store(directory, "methods", structural(self.case, _common_bits(self.dtype)))
        return [bench.ours.call("disagreeing", self.step.layer, sample, self.dtype)]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """All of them equal."""
        broken = self.broken(replies, ["convcli"])
        if broken:
            return (broken,)
        ran, different = replies[0].value
        detail = f"{', '.join(different)} differ from {ran[0]}" if different else " = ".join(ran)
        return (self.check(Status.FAILED if different else Status.PASSED, detail, seconds=replies[0].seconds),)


class ExactJob(Job):
    """Bit for bit, on data of which it is proven that nothing can round."""

    method = "exact"
    note = ""

    @property
    def memory(self) -> int:
        """Both sides' arrays."""
        return forward_bytes(self.step.layer, self.step.batch, self.step.x, self.dtype)

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """The same data to both."""
        self.no_elements()
        fill = structural(self.case, _common_bits(self.dtype))
        self.note = fill.note
        sample = store(directory, "exact", fill)
        return [
            bench.ours.call("exact", self.step.layer, sample, fill.quanta, self.dtype, directory),
            bench.theirs.call("result", self.against, self.step.layer, sample, self.dtype, directory, "exact.theirs"),
        ]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Equal, proven, and with a signal in it."""
        broken = self.broken(replies, ["convcli", self.against])
        if broken:
            return (broken,)
        proof: Exact = replies[0].value
        y, z = load(proof.file), load(replies[1].value)
        check = self.misshapen(("convcli", y), (self.against, z)) or self._judged(proof, difference(y, z), y, z)
        return (msgspec.structs.replace(check, seconds=_seconds(replies)),)

    def _judged(self, proof: Exact, found: Difference, y: Any, z: Any) -> Check:  # noqa: ANN401 - arrays
        if found.worst is not None:
            detail = f"expected {z[found.worst]:.9g} ({self.against}), found {y[found.worst]:.9g} (convcli); "
            detail += f"{found.wrong} elements differ, {found.share:.1%}"
            return self.check(Status.FAILED, detail, max_abs_error=found.max_abs_error, worst_index=found.worst)
        bits = BITS[self.dtype]
        detail = f"exact: proven, {proof.bits:.1f} of {bits} bits used"
        status = Status.PASSED
        if proof.bits > bits:
            status, detail = Status.MISTRUSTED, f"equal, but not proven: {proof.bits:.1f} bits of {bits}"
        elif 2 * proof.silent > proof.live:
            status, detail = Status.MISTRUSTED, f"equal, but {proof.silent} of {proof.live} outputs show nothing but the bias"
        elif not proof.live and self.step.layer.counts(self.step.x, self.step.images).macs_nonpad:
            status, detail = Status.MISTRUSTED, "equal, but no output holds a product"
        return self.check(status, "; ".join(filter(None, (detail, self.note))), max_abs_error=0.0)


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
        for label, layer, x in _primitives(self.step.layer, self.step.x):
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
        parts = _primitives(self.step.layer, self.step.x)
        found = [self._part(*part, ours.value, theirs.value) for part, ours, theirs in zip(parts, replies[::2], replies[1::2], strict=True)]
        worst = max(found, key=lambda check: (SEVERITY.index(check.status), check.bound_ratio or 0.0))
        errors = [check.max_abs_error for check in found if check.max_abs_error is not None]
        return (
            msgspec.structs.replace(
                worst,
                detail="; ".join(check.detail for check in found),
                max_abs_error=max(errors, default=None),
                seconds=_seconds(replies),
            ),
        )

    def _part(self, label: str, layer: Layer, x: Shape, ours: Reference, theirs: str) -> Check:
        y, z = load(ours.file), load(theirs)
        shape = (*self.step.batch, *layer.output(x))
        prefix = f"{label}: " if label else ""
        if z.shape != shape or y.shape != shape:
            return self.check(Status.SHAPE_MISMATCH, f"{prefix}convcli gave {y.shape}, {self.against} {z.shape}, expected {shape}")
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
            side, y = next((side, z if side == self.against else y) for side, found in sides.items() if found is worst)
            detail += f"; expected {truth[worst.worst]:.9g}, {side} gave {y[worst.worst]:.9g}; {worst.wrong} elements beyond it, {worst.share:.1%}"
        return self.check(
            Status.FAILED if worst.wrong else Status.PASSED,
            detail,
            max_abs_error=worst.max_abs_error,
            bound_ratio=worst.ratio,
            worst_index=worst.worst if worst.wrong else None,
        )


def jobs(step: Step, *, seed: int, dtypes: tuple[str, ...], against: str) -> Iterator[Job]:
    """Every check of one layer, in the order of the report."""
    yield FactsJob(step, seed, against)
    if dtypes and step.layer.counts(step.x, step.images).macs <= LOOPS_MACS:
        yield MethodsJob(step, seed, against, dtypes[0])
    for dtype in dtypes:
        yield ExactJob(step, seed, against, dtype)
        yield BoundJob(step, seed, against, dtype)


def _primitives(layer: Layer, x: Shape) -> list[tuple[str, Layer, Shape]]:
    """(name, layer, input) of each part; a layer without parts is its own, without a name."""
    return [(part.name, part.layer, part.x) for part in layer.parts(x)] or [("", layer, x)]


def _common_bits(dtype: str) -> int:
    """float64 sees float32's data."""
    return min(BITS[dtype], BITS["float32"])


def _seconds(replies: list[Reply]) -> float:
    return sum(reply.seconds for reply in replies)


__all__ = ["Bench", "Job", "NothingToDo", "Unfillable", "jobs"]
