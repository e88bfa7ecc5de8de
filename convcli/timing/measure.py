"""What runs in the process that measures: all sides in turn, again and again, so that a busy machine is fair to all."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import prod
from pathlib import Path
from threading import get_native_id
from time import perf_counter_ns, process_time_ns, sleep
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends import OURS, Unsupported, backend
from convcli.errors import SpecError
from convcli.layers import Layer, Shape
from convcli.timing.products import Product, products
from convcli.timing.record import LIMIT
from convcli.verifier.case import Case, Fill
from convcli.verifier.done import Done, attempted, out_of_memory
from convcli.verifier.fills import ordinary
from convcli.verifier.job import primitives

if TYPE_CHECKING:
    from convcli.backends import Array

SHORTEST = 1_000_000  # ns: what is over sooner is run several times for one reading
BLOCK = 2**23  # numbers in a block of columns of the limit
FEWEST, MOST = 3, 50  # readings of each side
SLOW = 2.0  # seconds; and times those for all readings
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []  # before `apart` has cut them down
AWAKE = 0.04  # seconds for which threads of BLAS and OpenMP keep their cores after a product, in case there is more


class Side(msgspec.Struct, frozen=True):
    """What is timed: one of our methods, or a backend by its name."""

    name: str
    backend: str = OURS
    method: str = ""


class How(msgspec.Struct, frozen=True):
    """threads: of every side. seconds: about as long for a layer, all readings together. grad: the gradients."""

    sides: tuple[Side, ...]
    dtype: str
    threads: int
    seconds: float
    grad: bool = False

    @property
    def told(self) -> dict[str, Any]:
        """What a journal's header says of it."""
        sides = [side.name for side in self.sides]
        asked = {"dtype": self.dtype, "gradients": self.grad, "threads": self.threads, "seconds": self.seconds}
        return {"sides": sides, **asked}


class Readings(msgspec.Struct, frozen=True):
    """Nanoseconds of one run by side, the limit among them; and why a side has none."""

    nanoseconds: dict[str, list[float]]
    missing: dict[str, str]


def run(function: str, *args: Any) -> Done:
    """The task of that name, with everything that it raises as data."""
    return attempted(TASKS[function], *args)


def environment(sides: tuple[Side, ...]) -> dict[str, Any]:
    """The versions of all sides."""
    found: dict[str, Any] = {}
    for side in sides:
        found |= backend(side.backend).versions()
    return found


def measure(layer: Layer, batch: Shape, x: Shape, how: How) -> Readings:
    """Every side on the same ordinary floats, prepared once."""
    arrays = data(layer, batch, x, how)
    calls: dict[str, Callable[[], object]] = {}
    missing: dict[str, str] = {}
    for side in how.sides:
        try:
            calls[side.name] = _prepared(side, layer, arrays, how)
            calls[side.name]()  # what is done once only is done; what is not there says so
        except Exception as error:  # a library refuses in words and types of its own
            if out_of_memory(error):
                raise
            calls.pop(side.name, None)
            missing[side.name] = why(error)
    calls[LIMIT] = _multiplied(products(layer, x, prod(batch), grad=how.grad), how.dtype)
    if how.threads == 1:
        return Readings(interleaved(calls, process_time_ns, how.seconds), missing)
    apart()
    return Readings(interleaved(calls, perf_counter_ns, how.seconds, pause=AWAKE), missing)


def apart() -> None:
    """Keep this thread on one core, and those that the libraries have started on the others.

    A system may wake a thread on the core of the one that waits for it, and leave it there for longer than a layer
    takes: readings of 0.5 ms were 2, or 50.
    """
    tasks = Path("/proc/self/task")
    if len(CORES) < 2 or not tasks.exists():  # not Linux
        return
    for task in [int(one.name) for one in tasks.iterdir()]:
        with suppress(ProcessLookupError):  # it has ended since
            os.sched_setaffinity(task, CORES[:1] if task == get_native_id() else CORES[1:])


def why(error: Exception) -> str:
    """What it says, in one line; the type of what is no message of ours."""
    if isinstance(error, SpecError):
        problem = error.problems[0]
        return problem.message + (f"; allowed: {problem.allowed}" if problem.allowed else "")
    words = " ".join(str(error).split())
    return words if isinstance(error, Unsupported) else f"{type(error).__name__}: {words}"[:300]


def interleaved(
    calls: Mapping[str, Callable[[], object]], clock: Callable[[], int], seconds: float, *, pause: float = 0.0
) -> dict[str, list[float]]:
    """Nanoseconds for one run of each call, FEWEST to MOST readings, taken in turn.

    What is SLOW, like plain loops, is read but once. pause: seconds before each reading, for the
    threads of the others to fall asleep; a run that wakes its own follows.
    """
    times = {name: _once(call, clock, 1) for name, call in calls.items()}
    slow = {name for name, time in times.items() if time > max(SLOW, SLOW * seconds) * 1e9}
    repeats = {name: max(1, int(SHORTEST // max(1.0, time))) for name, time in times.items()}
    turn = sum(times[name] * (repeats[name] + (pause > 0)) + pause * 1e9 for name in calls if name not in slow)
    readings = {name: [times[name]] if name in slow else [] for name in calls}
    for _ in range(max(FEWEST, min(MOST, int(seconds * 1e9 // max(1.0, turn))))):
        for name, call in calls.items():
            if name in slow:
                continue
            if pause:
                sleep(pause)
                call()
            readings[name].append(_once(call, clock, repeats[name]))
    return readings


def _once(call: Callable[[], object], clock: Callable[[], int], repeats: int) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


def data(layer: Layer, batch: Shape, x: Shape, how: How) -> dict[str, Array]:
    """Normal floats under the layer's own names, offsets within two cells, with `grad` a dy."""
    arrays: dict[str, Array] = {}
    for one in primitives(layer, x):
        label, part, shape = one
        fill = ordinary(Case(part, shape, one.of(batch)))
        own = _loaded(fill, how.dtype)
        if label:
            kept = part.tensors(shape)
            inputs = ("x", *layer.side_inputs(x))
            given = {name: own[name] for name in inputs if name in own}
            own = {f"{label}.{name}": array for name, array in own.items() if name in kept}
            arrays = {**given, **arrays}
        arrays |= own
    if how.grad:
        case = Case(layer, x, batch)
        arrays["dy"] = case.draw("ordinary dy").standard_normal((*batch, *layer.output(x))).astype(how.dtype)
    return arrays


def _loaded(fill: Fill, dtype: str) -> dict[str, Array]:
    return {name: array.astype(dtype) / fill.scales.get(name, 1) for name, array in fill.arrays.items()}


def _prepared(side: Side, layer: Layer, arrays: dict[str, Array], how: How) -> Callable[[], object]:
    """One run as a call without arguments; what a user would do once, like building the module, is done."""
    found: Any = backend(side.backend)
    module = importlib.import_module(found.__module__) if hasattr(found, "__module__") else found
    getattr(module, "set_threads", lambda _: None)(how.threads)
    given = {name: array for name, array in arrays.items() if name != "dy"}
    if hasattr(found, "prepared"):
        ready: Callable[[], object] = found.prepared(layer, given, arrays.get("dy"))
        return ready
    method = [side.method] if side.method else []
    if not how.grad:
        return partial(found.forward, layer, given, *method)
    if not hasattr(found, "backward"):
        raise Unsupported("it has no gradients")
    return partial(found.backward, layer, given, arrays["dy"], *method)


def _multiplied(needed: list[Product], dtype: str) -> Callable[[], object]:
    """numpy's own matrix products of those sizes, in blocks of columns, results in place."""
    rng = np.random.default_rng(0)
    steps: list[tuple[Array, Array, Array]] = []
    for one in needed:
        width = max(1, min(one.columns, BLOCK // max(1, one.times * max(one.inner, one.rows))))
        a = rng.standard_normal((one.times, one.rows, one.inner), np.float32).astype(dtype)
        b = rng.standard_normal((one.times, one.inner, width), np.float32).astype(dtype)
        out = np.empty((one.times, one.rows, width), dtype)
        steps += [(a, b, out)] * (one.columns // width)
        rest = one.columns % width
        steps += [(a, b[..., :rest], out[..., :rest])] * bool(rest)

    def multiply() -> None:
        for a, b, out in steps:
            np.matmul(a, b, out=out)

    return multiply


TASKS: dict[str, Callable[..., Any]] = {"measure": measure, "environment": environment}
