"""The checks of one layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.layers import is_convolution
from convcli.verifier.bound import BoundJob
from convcli.verifier.companion import companion_jobs
from convcli.verifier.empty import EmptyJob
from convcli.verifier.exact import ExactJob, MethodsJob
from convcli.verifier.facts import FactsJob
from convcli.verifier.gradient import AdjointJob, BoundGradientJob, ExactGradientJob
from convcli.verifier.gradient_mantissa import GradientMantissaJob
from convcli.verifier.job import Job
from convcli.verifier.kernel_gradients import GradientsJob
from convcli.verifier.kernel_values import ValuesJob
from convcli.verifier.legality import LegalityJob
from convcli.verifier.mantissa import MantissaJob
from convcli.verifier.prove import ProveJob

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
        return {**sides, "grad": self.grad, "prove": self.prove, "dtypes": list(self.dtypes)}

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


def jobs(step: Step, wanted: Wanted) -> Iterator[Job]:
    """Every check of one layer, in the order of the report."""
    if is_convolution(step.layer):
        return _convolution_jobs(step, wanted)
    return companion_jobs(step, wanted.seed, wanted.against, wanted.dtypes)


def _convolution_jobs(step: Step, wanted: Wanted) -> Iterator[Job]:
    seed, against, dtypes = wanted.seed, wanted.against, wanted.dtypes
    long = tuple(dtype for dtype in dtypes if dtype != "float64" or "float32" not in dtypes)  # one of them will do
    yield FactsJob(step, seed, against)
    yield LegalityJob(step, seed, against)
    if wanted.prove:
        yield ProveJob(step, seed, against)
    if not step.images:
        for dtype in dtypes:
            yield EmptyJob(step, seed, against, dtype, grad=wanted.grad)
        return
    if dtypes and step.layer.counts(step.x, step.images).macs <= wanted.loops_macs:
        yield MethodsJob(step, seed, against, dtypes[0])
    for dtype in dtypes:
        yield ExactJob(step, seed, against, dtype)
        yield BoundJob(step, seed, against, dtype)
    for dtype in long:
        yield MantissaJob(step, seed, against, dtype)
    if wanted.grad:
        yield AdjointJob(step, seed, against, "float64")
        for dtype in dtypes:
            yield ExactGradientJob(step, seed, against, dtype)
            yield BoundGradientJob(step, seed, against, dtype)
        for dtype in long:
            yield GradientMantissaJob(step, seed, against, dtype)


def kernel_jobs(step: Step, wanted: Wanted) -> Iterator[Job]:
    """Every check of one layer on the user's own functions."""
    for target in wanted.own:
        kind = ValuesJob if target.role == "forward" else GradientsJob
        for dtype in wanted.dtypes:
            yield kind(step, wanted.seed, target, dtype, others=dtype == wanted.dtypes[-1])
