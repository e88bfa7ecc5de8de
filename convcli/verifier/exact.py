"""The exact stage, tolerance 0: bit for bit, on data of which it is proven that nothing can round."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.layers import Part, Shape
from convcli.verifier import region_fills
from convcli.verifier.bounds import BITS
from convcli.verifier.compare import Difference, difference
from convcli.verifier.estimate import forward_bytes
from convcli.verifier.exchange import load, store
from convcli.verifier.fills import structural
from convcli.verifier.job import Bench, Job, primitives, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.verifier.case import Fill
    from convcli.verifier.tasks import Exact
    from convcli.verifier.workers import Call, Reply


class ExactJob(Job):
    """Bit for bit, on data of which it is proven that nothing can round."""

    method = "exact"
    note = ""
    whole = True  # these data alone must show everything

    @property
    def memory(self) -> int:
        """Both sides' arrays."""
        return forward_bytes(self.step.layer, self.step.batch, self.step.x, self.dtype)

    def fill(self) -> Fill:
        """The data."""
        return structural(self.case, common_bits(self.dtype))

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """The same data to both."""
        self.no_elements()
        fill = self.fill()
        self.note = fill.note
        sample = store(directory, self.name, fill)
        return [
            bench.ours.call("exact", self.step.layer, sample, fill.quanta, self.dtype, directory, self.name),
            bench.theirs.call(
                "result", self.against, self.step.layer, sample, self.dtype, directory, f"{self.name}.theirs"
            ),
        ]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """Equal, proven, and with a signal in it."""
        broken = self.broken(replies, ["convcli", self.against])
        if broken:
            return (broken,)
        proof: Exact = replies[0].value
        y, z = load(proof.file), load(replies[1].value)
        check = self.misshapen(("convcli", y), (self.against, z)) or self._judged(proof, difference(y, z), y, z)
        return (msgspec.structs.replace(check, seconds=seconds_of(replies)),)

    def _judged(self, proof: Exact, found: Difference, y: Any, z: Any) -> Check:
        if found.worst is not None:
            detail = f"convcli {y[found.worst]:.9g}, {self.against} {z[found.worst]:.9g}; "
            detail += f"{found.wrong} elements differ, {found.share:.1%}"
            return self.check(Status.FAILED, detail, max_abs_error=found.max_abs_error, worst_index=found.worst)
        bits = BITS[self.dtype]
        detail = f"exact: proven, {proof.bits:.1f} of {bits} bits used"
        status = Status.PASSED
        if proof.bits > bits:
            status, detail = Status.MISTRUSTED, f"equal, but not proven: {proof.bits:.1f} bits of {bits}"
        elif 2 * proof.silent > proof.live:
            status, detail = (  # weights of 1 and -1 may add up to 0 in every output; the structural data did not
                Status.MISTRUSTED if self.whole else Status.SKIPPED,
                f"equal, but {proof.silent} of {proof.live} outputs show nothing but the bias",
            )
        elif not proof.live and self._reached:
            status, detail = Status.MISTRUSTED, "equal, but no output holds a product"
        elif proof.unseen and self.whole:
            status, detail = Status.MISTRUSTED, f"equal, but nothing checked depends on {proof.unseen}"
        return self.check(status, "; ".join(filter(None, (detail, self.note))), max_abs_error=0.0)

    @property
    def _reached(self) -> bool:
        """Every part has a product off its padding: what a part does not reach, those after it see as zeros."""
        parts = primitives(self.step.layer, self.step.x)
        return all(products(part, self.step.batch) for part in parts)


class AlignedJob(ExactJob):
    """Deformable RoI pooling whose bins all move alike is RoIAlign on boxes that have moved: the other side's own."""

    name = "roi_align"

    def fill(self) -> Fill:
        """Offsets that are equal over the bins of a box."""
        return region_fills.moved_pool(self.case, common_bits(self.dtype))


def products(part: Part, batch: Shape) -> int:
    """How many of a part's products have a cell of the input; of a pool, its samples."""
    counts = part.layer.counts(part.x, prod(part.of(batch)))
    return counts.macs_nonpad or (counts.interpolation_macs or 0 if not part.layer.tensors(part.x) else 0)


class MethodsJob(Job):
    """Every method of our kernels against the plain loops, on exact data, in small layers."""

    name, method = "methods", "exact"

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """One call on our side."""
        self.no_elements()
        sample = store(directory, "methods", structural(self.case, common_bits(self.dtype)))
        return [bench.ours.call("disagreeing", self.step.layer, sample, self.dtype)]

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """All of them equal."""
        broken = self.broken(replies, ["convcli"])
        if broken:
            return (broken,)
        ran, different = replies[0].value
        detail = f"{', '.join(different)} differ from {ran[0]}" if different else " = ".join(ran)
        return (self.check(Status.FAILED if different else Status.PASSED, detail, seconds=replies[0].seconds),)


def common_bits(dtype: str) -> int:
    """float64 sees float32's data."""
    return min(BITS[dtype], BITS["float32"])
