"""What runs in a worker process: small functions of files and plain data, whose answers are plain data."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from convcli.backends import Backend, backend, part_arrays
from convcli.backends import numpy as ours
from convcli.errors import SpecError
from convcli.layers import Layer, Shape
from convcli.verifier.done import Done, attempted
from convcli.verifier.exchange import Sample, save

CAN_ROUND = "ROUNDS"


class Exact(msgspec.Struct, frozen=True):
    """Our side of an exact check. bits: log2 of the largest S/q, the part it occurs in included.

    live: outputs with at least one product that is not 0. silent: how many of them show nothing but the bias.
    """

    file: str
    bits: float
    live: int
    silent: int


class Reference(msgspec.Struct, frozen=True):
    """Our side of a bound check: y in the dtype, y in float64 (the same file when that is the dtype), S."""

    file: str
    reference: str
    magnitude: str


def run(function: str, *args: Any) -> Done:
    """The task of that name, with everything that it raises as data: nothing unpicklable may cross the border."""
    return attempted(TASKS[function], *args)


def describe(name: str) -> dict[str, Any]:
    """Versions as this process sees them, and whether the backend says that it rounds."""
    found = backend(name)
    return {**found.versions(), "rounds": bool(getattr(found, CAN_ROUND, False))}


def result(name: str, layer: Layer, sample: Sample, dtype: str, directory: str, label: str) -> str:
    """The file of a backend's forward."""
    return save(directory, label, _forward(backend(name), layer, sample.load(dtype)))


def exact(layer: Layer, sample: Sample, quanta: dict[str, float], dtype: str, directory: str) -> Exact:
    """Our forward with the proof that nothing in it can round.

    S is computed in single precision, whose 24 bits float64's data keep to as well, or in half: sums of non-negative
    numbers round monotonically, so an S of up to 2**bits * q is the true one.
    """
    arrays = sample.load(dtype)
    y = ours.forward(layer, arrays)
    magnitudes = ours.magnitudes(layer, arrays if dtype == "float16" else sample.load("float32"))
    largest = max(float(np.max(s, initial=0)) / quanta[part] for part, s in magnitudes.items())
    live, silent = _signal(layer, arrays, y, list(magnitudes.items())[-1])
    return Exact(save(directory, "exact.ours", y), float(np.log2(largest)) if largest else 0.0, live, silent)


def reference(layer: Layer, sample: Sample, dtype: str, coarse: str, directory: str, label: str) -> Reference:
    """Our forward in the dtype and, on the same data, in float64, with S in the precision `coarse`."""
    arrays = sample.load(dtype)
    file = save(directory, f"{label}.ours", ours.forward(layer, arrays))
    wide = {name: array.astype(np.float64, copy=False) for name, array in arrays.items()}
    truth = file if dtype == "float64" else save(directory, f"{label}.truth", ours.forward(layer, wide))
    rough = {name: array.astype(coarse, copy=False) for name, array in arrays.items()}
    (magnitude,) = ours.magnitudes(layer, rough).values()
    return Reference(file, truth, save(directory, f"{label}.magnitude", magnitude))


def disagreeing(layer: Layer, sample: Sample, dtype: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the methods of our kernels that ran, those among them that differ from the first)."""
    arrays = sample.load(dtype)
    results = {}
    for method in ours.methods(layer, arrays):
        try:
            results[method] = ours.forward(layer, arrays, method)
        except SpecError as error:
            if error.problems[0].field != "method":  # a method may find a layer too large for itself
                raise
    first = next(iter(results.values()))
    return tuple(results), tuple(method for method, y in results.items() if not np.array_equal(y, first))


def facts(name: str, layer: Layer, shape: Shape) -> Any:
    """What a backend says of a layer without running it."""
    return backend(name).facts(layer, shape)


def executed_macs(name: str, layer: Layer, batch: Shape, x: Shape) -> int:
    """The products that a backend really multiplies: the sum of the output on ones, without bias, at zero offsets."""
    inputs = {"x": x, **layer.side_inputs(x)}
    shapes = {**{side: (*batch, *shape) for side, shape in inputs.items()}, **layer.tensors(x)}
    arrays = {name: (np.zeros if name in {"offset", "bias"} else np.ones)(shape) for name, shape in shapes.items()}
    return int(_forward(backend(name), layer, arrays).astype(np.int64).sum())


def _forward(found: Backend, layer: Layer, arrays: dict[str, Any]) -> Any:
    y = np.asarray(found.forward(layer, arrays))
    if y.dtype.kind not in "fiub":
        raise TypeError(f"the result is an array of {y.dtype}")
    return y


def _signal(layer: Layer, arrays: dict[str, Any], y: Any, last: tuple[str, Any]) -> tuple[int, int]:
    """How many outputs have a product that is not 0, and how many of these are just the bias."""
    part, magnitude = last
    bias = (part_arrays(part, arrays) if part else arrays).get("bias")
    shown = np.zeros((), y.dtype) if bias is None else bias.reshape(-1, *(1,) * len(layer.axes))
    live = magnitude > np.abs(shown)
    return int(np.count_nonzero(live)), int(np.count_nonzero(live & (y == shown)))


def environment() -> dict[str, Any]:
    """The versions on our side."""
    return {**ours.versions(), "python": platform.python_version(), "platform": platform.platform()}


TASKS: dict[str, Callable[..., Any]] = {
    "describe": describe,
    "environment": environment,
    "result": result,
    "exact": exact,
    "reference": reference,
    "disagreeing": disagreeing,
    "facts": facts,
    "executed_macs": executed_macs,
}
