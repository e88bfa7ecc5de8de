"""One check, or a few that share their calls: it prepares its data, says what each side must do, judges the replies."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from convcli.layers import Layer, OnRoIs, Part, Shape
from convcli.verifier.case import Case
from convcli.verifier.formats import stored
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.plan import Step
    from convcli.verifier.workers import Call, Reply, Workers

SEVERITY = list(Status)
SMALL_MACS = 1_000_000


class NothingToDo(Exception):  # noqa: N818 - a reason, not an error
    """The check cannot be made; the message says why."""


@dataclass(frozen=True)
class Bench:
    """Both sides' workers, the other side's name, and whether that one rounds by nature.

    share: the bytes that each layer worked on may take.
    """

    against: str
    ours: Workers
    theirs: Workers
    share: int = 0
    rounds: bool = False


class Job:
    """One check of one layer, or a few that share their calls."""

    name = "forward"
    method = ""

    def __init__(self, step: Step, seed: int, against: str, dtype: str = ""):
        self.step, self.against, self.dtype = step, against, dtype
        self.case = Case(step.layer, step.x, step.batch, seed)
        self.macs = effort(step.layer, step.x, step.images)

    @property
    def memory(self) -> int:
        """Bytes that the job holds at its worst."""
        return 0

    @property
    def small(self) -> bool:
        """So quickly done that its calls wait for those of other jobs, to share their messages."""
        return self.step.images * prod(self.step.x) + self.macs <= SMALL_MACS

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Write the data into `directory`, send the calls off. Raises NothingToDo, Unfillable."""
        raise NotImplementedError

    def further(self, bench: Bench, directory: str, replies: list[Reply]) -> list[Call]:
        """What the replies make worth asking, once: a failure's explanation, say."""
        del bench, directory, replies
        return []

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The verdict on the replies, in the order of the calls."""
        raise NotImplementedError

    def check(self, status: Status, detail: str, **numbers: Any) -> Check:
        """A check of this job."""
        return Check(name=self.name, method=self.method, status=status, dtype=self.dtype, detail=detail, **numbers)

    def broken(self, replies: list[Reply], sides: list[str]) -> Check | None:
        """The check when a side did not answer: the worst of what happened, with every side's reason."""
        bad = [(reply, side) for reply, side in zip(replies, sides, strict=True) if reply.status]
        if not bad:
            return None
        status = max((reply.status for reply, _ in bad if reply.status), key=SEVERITY.index)
        reasons = dict.fromkeys(f"{side}: {reply.reason}" for reply, side in bad)
        return self.check(status, "; ".join(reasons), seconds=seconds_of(replies))

    def no_elements(self) -> None:
        """Refuse to compare nothing."""
        if not self.step.images * prod(self.step.y):
            raise NothingToDo("the output has no elements")

    def misshapen(self, *results: tuple[str, Any]) -> Check | None:
        """The check when a result has another shape or dtype than the layer says."""
        shape = (*self.step.batch, *self.step.y)
        for side, y in results:
            if y.shape != shape:
                return self.check(Status.SHAPE_MISMATCH, f"{side} gave {y.shape}, expected {shape}")
            if str(y.dtype) != stored(self.dtype):
                return self.check(Status.FAILED, f"{side} gave {y.dtype}, expected {self.dtype}")
        return None


def effort(layer: Layer, x: Shape, images: int) -> int:
    """MACs; with those between the cells where a layer on regions does hardly anything else."""
    counts = layer.counts(x, images)
    return counts.macs + (counts.interpolation_macs or 0 if isinstance(layer, OnRoIs) else 0)


def primitives(layer: Layer, x: Shape) -> tuple[Part, ...]:
    """The parts; a layer without is its own, without a name."""
    return layer.parts(x) or (Part("", layer, x),)


def seconds_of(replies: list[Reply]) -> float:
    """What the calls took, one after the other."""
    return sum(reply.seconds for reply in replies)
