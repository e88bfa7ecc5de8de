"""Outcomes are data: what each check found, each layer's status, and the summary that decides the exit code."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.verifier.shard import Share


class Status(StrEnum):
    """From best to worst within what was checked; then what was not checked at all."""

    PASSED = "passed"
    INEXACT = "inexact"  # rounds by nature, within the bound
    FAILED = "failed"
    MISTRUSTED = "mistrusted"  # equal, but the output carried no signal
    SHAPE_MISMATCH = "shape_mismatch"
    ERROR_MISMATCH = "error_mismatch"  # one side refuses the layer
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    UNSUPPORTED = "unsupported"
    SKIPPED = "skipped"

    @property
    def good(self) -> bool:
        """The check was made and holds."""
        return self in {Status.PASSED, Status.INEXACT}

    @property
    def bad(self) -> bool:
        """FAILED and worse: the exit code is 1."""
        return not self.good and not self.idle

    @property
    def idle(self) -> bool:
        """Nothing was checked."""
        return self in {Status.UNSUPPORTED, Status.SKIPPED}


class Check(msgspec.Struct, frozen=True):
    """One comparison. method: "exact" (bit for bit, proven), "bound" (running error bound), "equal" (integers).

    statistical_ratio: the largest error in units of the statistical level, when it was not surely below it.
    """

    name: str
    method: str
    status: Status
    dtype: str = ""
    max_abs_error: float | None = None
    bound_ratio: float | None = None
    statistical_ratio: float | None = None
    worst_index: tuple[int, ...] | None = None
    detail: str = ""
    seconds: float = 0.0

    @property
    def warns(self) -> bool:
        """It holds, but the errors are larger than random ones would be."""
        return self.status.good and (self.statistical_ratio or 0.0) > 1

    @property
    def label(self) -> str:
        """The check with its data type: forward [float32]; the bound stage is named, exact is the rule."""
        kind = ", ".join(filter(None, [self.dtype, "bound" if self.method == "bound" else ""]))
        return f"{self.name} [{kind}]" if kind else self.name


class Smallest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The smallest relative of a layer that fails in the same way: its spelling and input, and what repeats it.

    python: a script that stands on its own. data: the fewest values that show the difference.
    """

    layer: str
    input: tuple[int, ...]
    repro: str
    python: str = ""
    data: str = ""


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a check failed.

    contributions: the sum behind the worst element, line by line. looks_like: known mistakes that give exactly the
    results found, wherever they were tried. votes: who is wrong. note: what was left out, and why.
    """

    check: str
    contributions: tuple[str, ...] = ()
    looks_like: tuple[str, ...] = ()
    votes: str = ""
    smallest: Smallest | UnsetType = UNSET
    note: str = ""


class LayerVerdict(msgspec.Struct, frozen=True):
    """All checks of one layer; its status is its worst check's. explanation: of the failures that were taken apart."""

    name: str
    type: str
    status: Status
    checks: tuple[Check, ...]
    repro: str
    source: str = ""
    line: int | UnsetType = UNSET
    reason: str = ""
    seconds: float = 0.0
    explanation: Explanation | UnsetType = UNSET


class Summary(msgspec.Struct, frozen=True):
    """Layers by status; `crashed` counts the dead, the timed out and those out of memory."""

    passed: int
    failed: int
    inexact: int
    mistrusted: int
    crashed: int
    skipped: int
    unsupported: int
    seconds: float


class Outcome(msgspec.Struct, frozen=True):
    """The answer of `verify`. left_out: layers that are counted and not told, where there are more than 10,000."""

    schema: int
    convcli: str
    command: str
    seed: int
    environment: dict[str, Any]
    layers: tuple[LayerVerdict, ...]
    summary: Summary
    interrupted: bool = False
    share: Share | UnsetType = UNSET
    left_out: int | UnsetType = UNSET

    @property
    def exit_code(self) -> int:
        """130 interrupted; 1 when something failed; 3 when a backend lacked a layer or nothing was checked; else 0."""
        if self.interrupted:
            return 130
        found = self.summary
        if found.failed or found.mistrusted or found.crashed:
            return 1
        return 3 if found.unsupported or not found.passed + found.inexact else 0


_SEVERITY = list(Status)


def worst(checks: tuple[Check, ...]) -> Status:
    """The layer's status: its worst bad check; else why its values were not compared; else INEXACT, PASSED or SKIPPED.

    A layer whose shape and parameters were checked, but none of its values or of its gradients, has not passed.
    """
    values = [{check.status for check in checks if check.name.startswith(name)} for name in ("forward", "grad")]
    for pick in (
        {check.status for check in checks if check.status.bad},
        {status for found in values if not any(status.good for status in found) for status in found if status.idle},
        {check.status for check in checks if check.status.good},
    ):
        if pick:
            return max(pick, key=_SEVERITY.index)
    return Status.SKIPPED


def outcome(
    layers: tuple[LayerVerdict, ...],
    *,
    seed: int,
    environment: dict[str, Any],
    seconds: float,
    interrupted: bool = False,
    share: Share | UnsetType = UNSET,
    counts: Counter[Status] | None = None,
) -> Outcome:
    """The layers' verdicts with their summary. counts: of all, when there are more than these."""
    summary = summary_of(counts or Counter(layer.status for layer in layers), seconds)
    left_out = counts.total() - len(layers) if counts else 0
    return Outcome(1, __version__, "verify", seed, environment, layers, summary, interrupted, share, left_out or UNSET)


def summary_of(counts: Counter[Status], seconds: float) -> Summary:
    """How many of each."""
    dead = {Status.CRASHED, Status.TIMED_OUT, Status.OUT_OF_MEMORY}
    failed = {Status.FAILED, Status.SHAPE_MISMATCH, Status.ERROR_MISMATCH}
    return Summary(
        passed=counts[Status.PASSED],
        failed=sum(counts[status] for status in failed),
        inexact=counts[Status.INEXACT],
        mistrusted=counts[Status.MISTRUSTED],
        crashed=sum(counts[status] for status in dead),
        skipped=counts[Status.SKIPPED],
        unsupported=counts[Status.UNSUPPORTED],
        seconds=seconds,
    )
