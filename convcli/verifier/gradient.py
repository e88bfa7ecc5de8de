"""The gradients of every input and tensor: bit for bit on exact data, within their own bounds on ordinary floats.

The adjoint identity ties them to the forward pass on our side alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.layers import NO_GRADIENT, Layer, Shape
from convcli.verifier.bound import BoundStage, Held, Part, Result, Scale
from convcli.verifier.bounds import BITS, gradient_roundings
from convcli.verifier.case import Case, Fill
from convcli.verifier.compare import Difference, difference
from convcli.verifier.estimate import backward_bytes
from convcli.verifier.exact import common_bits
from convcli.verifier.exchange import Stored, load, store
from convcli.verifier.facts import UNCOUNTED
from convcli.verifier.fills import UNITS
from convcli.verifier.formats import stored
from convcli.verifier.gradient_fills import ordinary_gradients, structural_gradients
from convcli.verifier.job import Bench, Job, primitives, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.verifier.gradient_tasks import ExactGradient
    from convcli.verifier.workers import Call, Reply

FEW = 8  # so few elements may all be 0 by chance


class GradientJob(Job):
    """What the two stages share: the names of the gradients, and a side that did not answer."""

    name = "grad"

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays that have a gradient, as the whole layer names them."""
        return arrays_of(self.step.layer, self.step.x)

    @property
    def memory(self) -> int:
        """Both sides' arrays and gradients; the reference is in float64."""
        return backward_bytes(self.step.layer, self.step.batch, self.step.x, self.dtype)

    def _missing(self, replies: list[Reply]) -> tuple[Check, ...]:
        """One check per gradient when a side did not answer."""
        broken = self.broken(replies, ["convcli", self.against] * (len(replies) // 2))
        if not broken:
            return ()
        return tuple(msgspec.structs.replace(broken, name=check_name(name)) for name in self.names)

    def _misfit(self, name: str, shape: Shape, *results: tuple[str, Any]) -> Check | None:
        for side, gradient in results:
            if gradient.shape != shape:
                return self._named(name, Status.SHAPE_MISMATCH, f"{side} gave {gradient.shape}, expected {shape}")
            if str(gradient.dtype) != stored(self.dtype):
                return self._named(name, Status.FAILED, f"{side} gave {gradient.dtype}, expected {self.dtype}")
        return None

    def _named(self, name: str, status: Status, detail: str, **numbers: Any) -> Check:
        return msgspec.structs.replace(self.check(status, detail, **numbers), name=check_name(name))


class ExactGradientJob(GradientJob):
    """Every gradient of the layer as a whole, bit for bit, on data of which it is proven that nothing can round."""

    method = "exact"
    note = ""
    whole = True  # these data alone must show everything

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """The same data to both."""
        self.no_elements()
        fill = structural_gradients(self.case, common_bits(self.dtype))
        self.note = fill.note
        sample, layer = store(directory, "grad", fill), self.step.layer
        return [
            bench.ours.call("exact_gradients", layer, sample, fill.quanta, self.dtype, directory),
            bench.theirs.call("gradients", self.against, layer, sample, self.dtype, directory, "grad.theirs"),
        ]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Each gradient equal, proven, and with a signal in it."""
        missing = self._missing(replies)
        if missing:
            return missing
        ours, theirs = replies[0].value, replies[1].value
        checks = [self._compared(name, self.case.shape(name), ours[name], theirs.get(name)) for name in self.names]
        return (msgspec.structs.replace(checks[0], seconds=seconds_of(replies)), *checks[1:])

    def _compared(self, name: str, shape: Shape, proof: ExactGradient, theirs: Stored | None) -> Check:
        if theirs is None:
            return self._named(name, Status.FAILED, f"{self.against} gave no such gradient")
        y, z = load(proof.file), load(theirs)
        misfit = self._misfit(name, shape, ("convcli", y), (self.against, z))
        return misfit or self._judged(name, proof, difference(y, z), y, z)

    def _judged(self, name: str, proof: ExactGradient, found: Difference, y: Any, z: Any) -> Check:
        if found.worst is not None:
            detail = f"convcli {y[found.worst]:.9g}, {self.against} {z[found.worst]:.9g}; "
            detail += f"{found.wrong} elements differ, {found.share:.1%}"
            numbers: dict[str, Any] = {"max_abs_error": found.max_abs_error, "worst_index": found.worst}
            return self._named(name, Status.FAILED, detail, **numbers)
        bits, status = BITS[self.dtype], Status.PASSED
        detail = f"exact: proven, {proof.bits:.1f} of {bits} bits used"
        if proof.bits > bits:
            status, detail = Status.MISTRUSTED, f"equal, but not proven: {proof.bits:.1f} bits of {bits}"
        elif proof.live > FEW and 2 * proof.silent > proof.live:
            status = Status.MISTRUSTED if self.whole else Status.SKIPPED  # sums of 1 and -1 come to 0 by chance
            detail = f"equal, but {proof.silent} of {proof.live} are sums that come to 0"
        return self._named(name, status, "; ".join(filter(None, (detail, self.note))), max_abs_error=0.0)


class BoundGradientJob(GradientJob, BoundStage):
    """Each gradient of each part within the bound of its own number of roundings."""

    label, ours, theirs = "grad.bound", "reference_gradients", "gradients"

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays of each part."""
        parts = primitives(self.step.layer, self.step.x)
        return tuple(_of_part(label, name) for label, layer, x in parts for name in arrays_of(layer, x))

    @property
    def memory(self) -> int:
        """The reference is in float64."""
        return backward_bytes(self.step.layer, self.step.batch, self.step.x, "float64")

    def fill(self, case: Case) -> Fill:
        """Normal floats, dy among them."""
        return ordinary_gradients(case)

    def roundings(self, layer: Layer, x: Shape, images: int) -> dict[str, int]:
        """Those of every gradient."""
        return gradient_roundings(layer, x, images)

    def results(self, part: Part, ours: Reply, theirs: Reply) -> Iterator[Result]:
        """Every gradient."""
        case = Case(part.layer, part.x, part.batch, self.case.seed)
        for name in arrays_of(part.layer, part.x):
            yield Result(name, case.shape(name), ours.value[name], theirs.value.get(name))

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Every gradient of every part."""
        missing = self._missing(replies[: 2 * len(self.parts)])
        if missing:
            return missing
        checks = [
            msgspec.structs.replace(check, name=check_name(_of_part(part.label, name)))
            for part, found in self.judged(replies)
            for name, check in zip(arrays_of(part.layer, part.x), found, strict=True)
        ]
        return (msgspec.structs.replace(checks[0], seconds=seconds_of(replies)), *checks[1:])

    def _held(self, part: Part, result: Result, scale: Scale | None = None) -> Held:
        """A deformable layer's gradients are sums of sums, of more products than roundings: 6*u*S says nothing."""
        found = super()._held(part, result, scale)
        passed = found.check.status is Status.PASSED and scale is None
        return found._replace(odd=passed and (found.odd or part.layer.kind in UNCOUNTED))


class AdjointJob(Job):
    """<y, dy> without the bias = <a, gradient of a> for every array `a` that y is linear in: as whole numbers, ours."""

    name, method = "adjoint", "exact"

    @property
    def memory(self) -> int:
        """Our side's arrays, in float64."""
        return backward_bytes(self.step.layer, self.step.batch, self.step.x, "float64")

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """One call on our side."""
        self.no_elements()
        fill = structural_gradients(self.case, common_bits("float64"))
        return [bench.ours.call("inner_products", self.step.layer, store(directory, "adjoint", fill))]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """All products are one number."""
        broken = self.broken(replies, ["convcli"])
        if broken:
            return (broken,)
        products: dict[str, int] = replies[0].value
        equal = len(set(products.values())) == 1
        detail = " = ".join(f"<{names}>" for names in products) + f" = {products['y, dy'] / UNITS:.17g}"
        if not equal:
            detail = ", ".join(f"<{names}> is {product / UNITS:.17g}" for names, product in products.items())
        status = Status.PASSED if equal else Status.FAILED
        return (self.check(status, detail, seconds=replies[0].seconds),)


def arrays_of(layer: Layer, x: Shape) -> tuple[str, ...]:
    """The inputs and tensors that have a gradient, by name."""
    return ("x", *(name for name in layer.side_inputs(x) if name not in NO_GRADIENT), *layer.tensors(x))


def check_name(name: str) -> str:
    """grad_input for x, grad_weight, grad_depthwise.weight"""
    *part, own = name.split(".")
    return "grad_" + ".".join([*part, "input" if own == "x" else own])


def _of_part(label: str, name: str) -> str:
    return f"{label}.{name}" if label else name
