"""The checks of one layer."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.backends import REGISTERED
from convcli.backends.source import source_hash
from convcli.layers import DeformRoIPoolPack, OnRoIs, Part, is_convolution
from convcli.verifier.bound import BoundJob
from convcli.verifier.companion import companion_jobs
from convcli.verifier.empty import EmptyJob
from convcli.verifier.exact import AlignedJob, ExactJob, MethodsJob
from convcli.verifier.facts import FactsJob
from convcli.verifier.gradient import AdjointJob, BoundGradientJob, ExactGradientJob
from convcli.verifier.gradient_mantissa import GradientMantissaJob
from convcli.verifier.job import Job, effort
from convcli.verifier.kernel_gradients import GradientsJob
from convcli.verifier.kernel_values import ValuesJob
from convcli.verifier.legality import LegalityJob
from convcli.verifier.mantissa import MantissaJob
from convcli.verifier.prove import ProveJob
from convcli.verifier.region_boxes import dyadic

if TYPE_CHECKING:
    from convcli.backends.target import Target
    from convcli.plan import Step

LOOPS_MACS = 100_000  # our slowest method takes about 0.2 s for them


class Wanted(msgspec.Struct, frozen=True):
    """Which checks are to be made, and on what data."""

    against: str
    dtypes: tuple[str, ...]
    seed: int = 0
    grad: bool = False
    prove: bool = False
    kernel: Target | None = None
    kernel_grad: Target | None = None
    loops_macs: int = LOOPS_MACS

    @property
    def own(self) -> tuple[Target, ...]:
        """The user's functions, which are then tested in place of another library. `grad` asks autograd through one."""
        found = tuple(filter(None, (self.kernel, self.kernel_grad)))
        if self.kernel and self.grad and not self.kernel_grad:
            return (*found, msgspec.structs.replace(self.kernel, role="autograd"))
        return found

    @property
    def told(self) -> dict[str, Any]:
        """What a journal's header says of it."""
        functions = {"kernel": self.kernel, "kernel_grad": self.kernel_grad}
        places = {name: target.place for name, target in functions.items() if target}
        sides = {**places, "arrays": self.own[0].arrays} if self.own else {"against": self.against}
        return {**sides, **self.sources, "grad": self.grad, "prove": self.prove, "dtypes": list(self.dtypes)}

    @property
    def sources(self) -> dict[str, str]:
        """What the user's functions, or a backend of one's own, are written in, as hashes."""
        functions = {"kernel_source": self.kernel, "kernel_grad_source": self.kernel_grad}
        written = {name: target for name, target in functions.items() if target and not target.pickled}
        found = {name: source_hash(target.place, target.folder) for name, target in written.items()}
        if not self.own and self.against not in REGISTERED:
            found["against_source"] = source_hash(self.against)
        return {name: hashed for name, hashed in found.items() if hashed}

    @property
    def flags(self) -> tuple[str, ...]:
        """What the command line must say beyond the layer, its data and their dtype."""
        asked = {"--grad": self.grad, "--prove": self.prove}
        flags: list[str] = []
        if self.own:
            for target in filter(None, (self.kernel, self.kernel_grad)):
                flags += [target.flag, target.place]
            flags += ["--arrays", self.own[0].arrays] if self.own[0].arrays != "numpy" else []
        elif self.against != "torch":
            flags += ["--against", self.against]
        return (*flags, *(flag for flag, given in asked.items() if given))


def all_jobs(step: Step, wanted: Wanted) -> Iterator[Job]:
    """Every check of one layer: of another library, or of the user's own functions."""
    return kernel_jobs(step, wanted) if wanted.own else jobs(step, wanted)


def jobs(step: Step, wanted: Wanted) -> Iterator[Job]:
    """Every check of one layer, in the order of the report."""
    if is_convolution(step.layer):
        return _convolution_jobs(step, wanted)
    return companion_jobs(step, wanted.seed, wanted.against, wanted.dtypes)


def _convolution_jobs(step: Step, wanted: Wanted) -> Iterator[Job]:
    seed, against, dtypes = wanted.seed, wanted.against, wanted.dtypes
    long = tuple(dtype for dtype in dtypes if dtype != "float64" or "float32" not in dtypes)  # one of them will do
    exact = msgspec.structs.replace(step, layer=dyadic(step.layer))
    multiplies = bool(step.layer.tensors(step.x))  # a pool owns no weights that illegal numbers or ones could show
    yield FactsJob(step, seed, against)
    if isinstance(step.layer, OnRoIs):
        yield from _aligned_jobs(exact, wanted)
    else:
        yield LegalityJob(step, seed, against)
    if wanted.prove and multiplies:
        yield ProveJob(step, seed, against)
    if not step.images * prod(step.y):
        for dtype in dtypes:
            yield EmptyJob(step, seed, against, dtype, grad=wanted.grad)
        return
    if dtypes and effort(step.layer, step.x, step.images) <= wanted.loops_macs:
        yield MethodsJob(exact, seed, against, dtypes[0])
    for dtype in dtypes:
        yield ExactJob(exact, seed, against, dtype)
        yield BoundJob(step, seed, against, dtype)
    for dtype in long:
        yield MantissaJob(exact, seed, against, dtype)
    if wanted.grad:
        yield from _gradient_jobs(step, exact, wanted, long)


def _gradient_jobs(step: Step, exact: Step, wanted: Wanted, long: tuple[str, ...]) -> Iterator[Job]:
    """`exact`: the step on which no sum can round."""
    seed, against = wanted.seed, wanted.against
    yield AdjointJob(_linear(exact), seed, against, "float64")
    for dtype in wanted.dtypes:
        yield ExactGradientJob(exact, seed, against, dtype)
        yield BoundGradientJob(step, seed, against, dtype)
    for dtype in long:
        yield GradientMantissaJob(exact, seed, against, dtype)


def _aligned_jobs(step: Step, wanted: Wanted) -> Iterator[Job]:
    """Where all bins of a box move alike: that is RoIAlign on a box that has moved."""
    *_, last = step.layer.parts(step.x) or (Part("", step.layer, step.x),)
    if "offset" in last.layer.side_inputs(step.x) and step.images * prod(step.y):
        pool = msgspec.structs.replace(step, layer=last.layer)
        for dtype in wanted.dtypes:
            yield AlignedJob(pool, wanted.seed, wanted.against, dtype)


def _linear(step: Step) -> Step:
    """The step itself; of a pack on regions the pool, for a pack's offsets make it linear in nothing."""
    if not isinstance(step.layer, DeformRoIPoolPack):
        return step
    *_, last = step.layer.parts(step.x)
    return msgspec.structs.replace(step, layer=last.layer)


def kernel_jobs(step: Step, wanted: Wanted) -> Iterator[Job]:
    """Every check of one layer on the user's own functions."""
    for target in wanted.own:
        kind = ValuesJob if target.role == "forward" else GradientsJob
        for dtype in wanted.dtypes:
            yield kind(step, wanted.seed, target, dtype, others=dtype == wanted.dtypes[-1])
