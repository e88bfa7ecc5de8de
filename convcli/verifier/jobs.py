"""The checks of one layer. To come: gradients, a second fill are jobs of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from convcli.verifier.bound import BoundJob
from convcli.verifier.exact import ExactJob, MethodsJob
from convcli.verifier.facts import FactsJob
from convcli.verifier.job import Job
from convcli.verifier.kernel_job import KernelJob

if TYPE_CHECKING:
    from convcli.backends.kernel import Target
    from convcli.plan import Step

LOOPS_MACS = 100_000  # our slowest method takes about 0.2 s for them


def jobs(step: Step, *, seed: int, dtypes: tuple[str, ...], against: str) -> Iterator[Job]:
    """Every check of one layer, in the order of the report."""
    yield FactsJob(step, seed, against)
    if dtypes and step.layer.counts(step.x, step.images).macs <= LOOPS_MACS:
        yield MethodsJob(step, seed, against, dtypes[0])
    for dtype in dtypes:
        yield ExactJob(step, seed, against, dtype)
        yield BoundJob(step, seed, against, dtype)


def kernel_jobs(step: Step, *, seed: int, dtypes: tuple[str, ...], target: Target) -> Iterator[Job]:
    """Every check of one layer on the user's own kernel."""
    for number, dtype in enumerate(dtypes):
        yield KernelJob(step, seed, target, dtype, others=number == len(dtypes) - 1)
