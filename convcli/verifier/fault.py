"""A check that failed, with all that it takes to make it again, on this layer or on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from convcli.plan import Step
from convcli.verifier.verdict import Check, Status

if TYPE_CHECKING:
    from convcli.verifier.job import Job

Kind = tuple[type, str]  # what a job is, and its dtype
EXPLAINED = frozenset({Status.FAILED, Status.SHAPE_MISMATCH, Status.ERROR_MISMATCH, Status.CRASHED})
VALUES = ("forward", "grad", "mantissa")


class Fault(msgspec.Struct, frozen=True):
    """A check that failed, of a layer, and which of the layer's jobs it is from."""

    step: Step
    check: Check
    kind: Kind

    @property
    def family(self) -> str:
        """forward, mantissa, grad, other ..."""
        return self.check.name.partition("_")[0]

    @property
    def elsewhere(self) -> bool:
        """It shows on inputs of other sizes."""
        return self.check.name.endswith("other_inputs")

    @property
    def rank(self) -> tuple[bool, int]:
        """What explains most comes first: bit for bit, and of values."""
        values = VALUES.index(self.family) if self.family in VALUES else len(VALUES)
        return self.check.method != "exact", values

    def is_like(self, check: Check) -> bool:
        """The same family of checks, failed in the same way."""
        return (check.name.partition("_")[0], check.status) == (self.family, self.check.status)


def kind_of(job: Job) -> Kind:
    """What identifies a job among those of a layer."""
    return type(job), job.dtype
