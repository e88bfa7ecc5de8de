"""What was measured, as data."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from convcli._version import __version__
from convcli.verifier.shard import Share
from convcli.verifier.verdict import Status

MEASURED = "measured"
LIMIT = "matrix product"  # the side that only multiplies
WALL, CPU = "wall time", "CPU time"
Progress = Callable[[int, int, str], None]


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """One layer. seconds: the median of one run by side. ratios: the first side's over each other's.

    of_limit: the share of the bare matrix product's speed that each side reaches. count: equal layers in the spec.
    missing: why a side has no time. status: MEASURED when all have one, else "unsupported", "skipped" or what became of
    the process; reason: of the latter two.
    """

    name: str
    type: str
    source: str = ""
    line: int | UnsetType = UNSET
    input: tuple[int, ...]
    output: tuple[int, ...]
    macs: int
    count: int = 1
    status: str = MEASURED
    reason: str = ""
    seconds: dict[str, float] = {}
    limit_seconds: float | None = None
    ratios: dict[str, float] = {}
    of_limit: dict[str, float] = {}
    missing: dict[str, str] = {}
    readings: int = 0


class Timed(msgspec.Struct, frozen=True):
    """A layer in a journal. index: its place among all different ones. No time is infinite: JSON holds it as it is."""

    index: int
    key: str
    timing: Timing


class Sum(msgspec.Struct, frozen=True):
    """Layers that every side has a time for, each as often as the spec has it."""

    layers: int
    macs: int
    seconds: dict[str, float]
    limit_seconds: float
    ratios: dict[str, float]
    of_limit: dict[str, float]


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `bench`. clock: "CPU time" on one thread, "wall time" on more.

    left_out: layers between convolutions, which nobody times.
    """

    schema: int = 1
    convcli: str = __version__
    command: str = "bench"
    dtype: str
    gradients: bool
    threads: int
    clock: str
    sides: tuple[str, ...]
    environment: dict[str, Any]
    layers: tuple[Timing, ...]
    totals: Sum
    left_out: int = 0
    seconds: float
    interrupted: bool = False
    share: Share | UnsetType = UNSET

    @property
    def exit_code(self) -> int:
        """130 interrupted; 3 when a side lacks a layer, a process died or nothing was measured; else 0."""
        if self.interrupted:
            return 130
        statuses = {layer.status for layer in self.layers}
        return 0 if MEASURED in statuses and statuses <= {MEASURED, Status.SKIPPED} else 3


def clock_of(threads: int) -> str:
    """What is measured."""
    return CPU if threads == 1 else WALL


def medians(nanoseconds: dict[str, list[float]]) -> dict[str, float]:
    """Seconds by side."""
    return {name: median(readings) / 1e9 for name, readings in nanoseconds.items()}


def compared(seconds: dict[str, float], limit: float | None) -> tuple[dict[str, float], dict[str, float]]:
    """(the first side's time over each other's, each side's share of the limit's speed)"""
    first, *others = seconds or {"": 0.0}
    ratios = {name: seconds[first] / seconds[name] for name in others if seconds[name]}
    return ratios, {name: limit / time for name, time in seconds.items() if time} if limit else {}


def total(layers: tuple[Timing, ...], sides: tuple[str, ...]) -> Sum:
    """The sum over the layers that every side ran."""
    whole = [layer for layer in layers if layer.status == MEASURED]
    seconds = {side: sum(layer.seconds[side] * layer.count for layer in whole) for side in sides} if whole else {}
    limit = sum((layer.limit_seconds or 0.0) * layer.count for layer in whole)
    ratios, of_limit = compared(seconds, limit)
    layers_in_all, macs = sum(layer.count for layer in whole), sum(layer.macs * layer.count for layer in whole)
    return Sum(layers_in_all, macs, seconds, limit, ratios, of_limit)


def timed(layer: Timing, nanoseconds: dict[str, list[float]], missing: dict[str, str]) -> Timing:
    """The layer with its times."""
    found = medians(nanoseconds)
    limit = found.pop(LIMIT, None)
    ratios, of_limit = compared(found, limit)
    return msgspec.structs.replace(
        layer,
        status=Status.UNSUPPORTED if missing else MEASURED,
        seconds=found,
        limit_seconds=limit,
        ratios=ratios,
        of_limit=of_limit,
        missing=missing,
        readings=min(map(len, nanoseconds.values()), default=0),
    )
