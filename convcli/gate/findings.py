"""The answer of `check`, as data: everything that was held against something, and whether it holds."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.gate.changes import NetworkChange
from convcli.gate.numbers import Numbers
from convcli.layers import Shape

Status = Literal["passed", "failed", "unchecked"]
Found = int | Shape | UnsetType


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One number held against one rule.

    layer: UNSET for the whole network. line: of the layer, or of the budget's key. rule: "expect" (equal to `allowed`),
    "budget" (at most `allowed`, `said` is how it is written) or "baseline" (the same, against growth).
    unchecked: the rule speaks of something that is not there; `detail` says what to do.
    """

    source: str
    network: str
    layer: str | UnsetType = UNSET
    line: int | UnsetType = UNSET
    rule: Literal["expect", "budget", "baseline"]
    key: str
    status: Status
    allowed: Found = UNSET
    found: Found = UNSET
    baseline: int | UnsetType = UNSET
    said: str | UnsetType = UNSET
    detail: str = ""


class Gated(msgspec.Struct, frozen=True, kw_only=True):
    """One network that was checked. change: from the baseline."""

    source: str
    name: str
    totals: Numbers
    notes: tuple[str, ...] = ()
    change: NetworkChange | UnsetType = UNSET


class Tally(msgspec.Struct, frozen=True):
    """How many checks ended in which way."""

    passed: int
    failed: int
    unchecked: int


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `check`. updated: the baseline was written, not held against."""

    schema: int = 1
    convcli: str = __version__
    command: str = "check"
    dtype: str
    baseline: str | UnsetType = UNSET
    tolerance: str
    updated: bool = False
    networks: tuple[Gated, ...]
    checks: tuple[Finding, ...]
    summary: Tally

    @property
    def exit_code(self) -> int:
        """0: all holds; 1: something does not; 3: something, or everything, could not be checked."""
        if self.summary.failed:
            return 1
        checked = self.summary.passed or self.updated
        return 0 if checked and not self.summary.unchecked else 3


def tally(checks: tuple[Finding, ...]) -> Tally:
    """The sums of `checks`."""
    said = [finding.status for finding in checks]
    return Tally(said.count("passed"), said.count("failed"), said.count("unchecked"))
