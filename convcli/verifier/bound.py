"""The bound stage: on ordinary floats, no further apart than rounding can bring two correct implementations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from convcli.layers import Layer, Shape
from convcli.verifier.bounds import BITS, SIGMAS, SQUARES, TILES, coarse, gamma, gammas, level, roundings, unit
from convcli.verifier.case import Case, Fill
from convcli.verifier.compare import within
from convcli.verifier.estimate import forward_bytes
from convcli.verifier.exchange import Sample, Stored, load, store
from convcli.verifier.facts import UNCOUNTED
from convcli.verifier.fills import ordinary
from convcli.verifier.formats import WIDE, stored
from convcli.verifier.job import SEVERITY, Bench, Job, NothingToDo, primitives, seconds_of
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.backends import Array
    from convcli.verifier.references import Reference
    from convcli.verifier.workers import Call, Reply

WOBBLING = frozenset({"deform_roi_pool"})  # coordinates that round: their error is no sum of products
Scale = tuple[str, Stored]  # what else than S, SQUARES or TILES, as it is stored


class Part(NamedTuple):
    """What one pair of calls is about. most: the roundings of each result, at their most."""

    label: str
    layer: Layer
    x: Shape
    batch: Shape
    most: dict[str, int]

    @property
    def coarse(self) -> tuple[str, float]:
        """The precision of S, and what its own rounding may have taken."""
        return coarse(max(self.most.values()))


class Result(NamedTuple):
    """One result of a part: its name, shape, both sides' files (theirs may be missing)."""

    name: str
    shape: Shape
    ours: Reference
    theirs: Stored | None


class Held(NamedTuple):
    """One result's check. odd: it is within its bound but may be beyond the statistical level."""

    check: Check
    odd: bool = False


class BoundStage(Job):
    """Ordinary floats to both sides, a composite part by part; what a side gives is held to its bound."""

    method = "bound"
    label, ours, theirs = "bound", "reference", "result"  # the tasks that either side is asked for
    _found: Sequence[list[Held]] = ()  # what `further` saw of each part, and the scale that it asked for
    _asked: Sequence[str] = ()

    def start(self, bench: Bench, directory: str) -> list[Call]:
        """Each part's data to both."""
        self.no_elements()
        calls: list[Call] = []
        self._samples: list[Sample] = []
        for part in self.parts:
            reason = unbounded(part.layer, min(part.most.values()), self.dtype)
            if reason:
                raise NothingToDo(reason)
            name = f"{self.label}.{part.label}" if part.label else self.label
            sample = store(directory, name, self.fill(Case(part.layer, part.x, part.batch, self.case.seed)))
            given = (part.layer, sample, self.dtype)
            calls += [
                bench.ours.call(self.ours, *given, part.coarse[0], directory, name),
                bench.theirs.call(self.theirs, self.against, *given, directory, f"{name}.theirs"),
            ]
            self._samples.append(sample)
        return calls

    @property
    def parts(self) -> list[Part]:
        """What is compared, part by part."""
        found = []
        for part in primitives(self.step.layer, self.step.x):
            batch = part.of(self.step.batch)
            most = self.roundings(part.layer, part.x, prod(batch))
            found.append(Part(part.name, part.layer, part.x, batch, most))
        return found

    def fill(self, case: Case) -> Fill:
        """The data of a part."""
        raise NotImplementedError

    def roundings(self, layer: Layer, x: Shape, images: int) -> dict[str, int]:
        """The most that one product suffers on its way into each result of a part."""
        raise NotImplementedError

    def results(self, part: Part, ours: Reply, theirs: Reply) -> Iterator[Result]:
        """What is to be compared."""
        raise NotImplementedError

    def further(self, bench: Bench, directory: str, replies: list[Reply]) -> list[Call]:
        """S over whole tiles, where a side that rounds by nature is beyond its bound; elsewhere the sum of all products

        squared, where a side may be beyond the statistical level.
        """
        if any(reply.status for reply in replies):
            return []
        calls: list[Call] = []
        for part, sample, ours, theirs in zip(self.parts, self._samples, replies[::2], replies[1::2], strict=True):
            found = [self._held(part, result) for result in self.results(part, ours, theirs)]
            failed = any(held.check.status is Status.FAILED for held in found)
            what = (TILES if failed else "") if bench.rounds else SQUARES if any(held.odd for held in found) else ""
            if what:
                given = (part.layer, sample, self.dtype, what, part.coarse[0], directory)
                calls.append(bench.ours.call("other_scales", *given, f"{self.label}.{part.label}"))
            self._found = [*self._found, found]
            self._asked = [*self._asked, what]
        return calls

    def judged(self, replies: list[Reply]) -> Iterator[tuple[Part, list[Check]]]:
        """The checks of each part's results, on the scale that was asked for."""
        more = iter(replies[2 * len(self.parts) :])
        for number, part in enumerate(self.parts):
            ours, theirs = replies[2 * number : 2 * number + 2]
            what = self._asked[number] if self._asked else ""
            files = (next(more).value or {}) if what else {}
            if self._found and not files:
                found = self._found[number]
            else:
                results = self.results(part, ours, theirs)
                found = [self._held(part, one, (what, files[one.name]) if files else None) for one in results]
            yield part, [held.check for held in found]

    def _held(self, part: Part, result: Result, scale: Scale | None = None) -> Held:
        if result.theirs is None:
            return Held(self.check(Status.FAILED, f"{self.against} gave no such gradient"))
        reason = unbounded(part.layer, part.most[result.name], self.dtype)
        if reason:
            return Held(self.check(Status.SKIPPED, reason))
        if result.ours.squares is not None and part.layer.kind not in WOBBLING:
            scale = (SQUARES, result.ours.squares)
        held = self.held(result.shape, result.ours, result.theirs, part.coarse[1], scale)
        return held._replace(odd=held.odd and part.layer.kind not in WOBBLING)

    def held(self, shape: Shape, ours: Reference, theirs: Stored, factor: float, scale: Scale | None = None) -> Held:
        """One result against its bound. factor: what the rounding of S itself may have taken.

        Nothing is odd unless some error is above 6*u*S, for S <= sqrt(n) * sqrt(sum of the n products squared).
        """
        y, z = load(ours.file), load(theirs)
        own = self.dtype not in WIDE
        for side, result in [("convcli", y)] * own + [(self.against, z)]:
            if result.shape != shape:
                return Held(self.check(Status.SHAPE_MISMATCH, f"{side} gave {result.shape}, expected {shape}"))
            if str(result.dtype) != stored(self.dtype):
                return Held(self.check(Status.FAILED, f"{side} gave {result.dtype}, expected {self.dtype}"))
        truth, n = load(ours.reference), load(ours.roundings)
        what, file = scale or ("", "")
        magnitude = load(file if what == TILES else ours.magnitude)
        steps = gammas(np.max(n) if what == TILES else n, self.dtype) + gammas(n, "float64")  # the reference rounds too
        sides = {self.against: z} | ({"convcli": y} if own else {})
        bound = (factor * steps).astype(magnitude.dtype) * magnitude
        found = {side: within(truth, gave, bound) for side, gave in sides.items()}
        words = ", ".join(f"{side} {held.ratio or 0.0:.3g}" for side, held in found.items())
        detail = f"{words} of the bound for {_range(n)} roundings" + (", of whole tiles" if what == TILES else "")
        side, worst = max(found.items(), key=lambda item: item[1].ratio or 0.0)
        if worst.wrong:
            detail += f"; expected {truth[worst.worst]:.9g}, {side} gave {sides[side][worst.worst]:.9g}; "
            detail += f"{worst.wrong} elements beyond it, {worst.share:.1%}"
        status = Status.FAILED if worst.wrong else Status.PASSED
        check = self.check(status, detail, max_abs_error=worst.max_abs_error, bound_ratio=worst.ratio)
        if worst.wrong:
            return Held(msgspec.structs.replace(check, worst_index=worst.worst))
        if what == SQUARES:
            top = level(n, load(file), self.dtype) + level(n, load(file), "float64")
            beyond = {side: within(truth, gave, top).ratio or 0.0 for side, gave in sides.items()}
            side, ratio = max(beyond.items(), key=lambda item: item[1])
            if ratio > 1:
                detail += f"; {side} is beyond the statistical level by {ratio:.3g}"
            return Held(msgspec.structs.replace(check, detail=detail, statistical_ratio=ratio))
        largest_error = (worst.ratio or 0.0) * factor * float(np.max(steps, initial=0))  # in units of S
        return Held(check, largest_error > SIGMAS * (unit(self.dtype) + unit("float64")))


class BoundJob(BoundStage):
    """The output: no further apart than rounding can bring it."""

    @property
    def memory(self) -> int:
        """Our side's reference is in float64."""
        return forward_bytes(self.step.layer, self.step.batch, self.step.x, "float64")

    def fill(self, case: Case) -> Fill:
        """Normal floats."""
        return ordinary(case)

    def roundings(self, layer: Layer, x: Shape, images: int) -> dict[str, int]:
        """Those of the output."""
        del images
        return {"": roundings(layer, x)}

    def results(self, part: Part, ours: Reply, theirs: Reply) -> Iterator[Result]:
        """The output."""
        yield Result("", (*part.batch, *part.layer.output(part.x)), ours.value, theirs.value)

    def checks(self, replies: list[Reply]) -> tuple[Check, ...]:
        """The part that comes nearest to its bound, or crosses it, speaks for all."""
        pairs = replies[: 2 * len(self.parts)]
        broken = self.broken(pairs, ["convcli", self.against] * len(self.parts))
        if broken:
            return (broken,)
        found = [of_part(part.label, check) for part, checks in self.judged(replies) for check in checks]
        return (msgspec.structs.replace(together(found), seconds=seconds_of(replies)),)


def together(checks: list[Check]) -> Check:
    """The worst of the parts' checks, with what all of them found."""
    worst = max(checks, key=lambda check: (SEVERITY.index(check.status), check.warns, check.bound_ratio or 0.0))
    errors = [check.max_abs_error for check in checks if check.max_abs_error is not None]
    detail = "; ".join(check.detail for check in checks)
    return msgspec.structs.replace(worst, detail=detail, max_abs_error=max(errors, default=None))


def of_part(label: str, check: Check) -> Check:
    """A part's check, its name in the detail."""
    return msgspec.structs.replace(check, detail=f"{label}: {check.detail}") if label else check


def _range(n: Array) -> str:
    """577, or 257 to 577 where not every element has as many."""
    least, most = int(np.min(n, initial=int(np.max(n, initial=0)))), int(np.max(n, initial=0))
    return f"{most}" if least == most else f"{least} to {most}"


def unbounded(layer: Layer, n: int, dtype: str) -> str:
    """Why n roundings have no bound; "" when they have one."""
    if gamma(n, dtype) is None:
        return f"{n} roundings have no bound in {dtype}"
    if layer.kind in UNCOUNTED | WOBBLING and BITS[dtype] < BITS["float32"]:
        return f"no exact coordinates in {dtype}"
    return ""
