"""What runs in a worker process: small functions of files and plain data, whose answers are plain data."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from convcli import kernels
from convcli.backends import Unsupported, backend, part_arrays
from convcli.backends import numpy as ours
from convcli.backends.compose import image_shape
from convcli.backends.numpy_regions import wobble
from convcli.errors import SpecError
from convcli.layers import DeformRoIPool, Layer, Shape
from convcli.verifier import companion_tasks, full_mantissa
from convcli.verifier.answers import format_of, numbers
from convcli.verifier.counts import output_counts
from convcli.verifier.done import Done, attempted
from convcli.verifier.exchange import Sample, Stored, load, save
from convcli.verifier.formats import WIDE
from convcli.verifier.gradient_tasks import (
    exact_gradients,
    gradient_precision,
    gradients,
    inner_products,
    reference_gradients,
)
from convcli.verifier.influence import unseen
from convcli.verifier.neighbours import Neighbour, answer
from convcli.verifier.references import Reference, other_scales

CAN_ROUND = "ROUNDS"
ROUNDINGS = 2**16  # of a transformed kernel, in eps of a tile's sum of |products|: F(4, 3) loses up to 190 per axis


class Exact(msgspec.Struct, frozen=True):
    """Our side of an exact check. bits: log2 of the largest S/q, the part it occurs in included.

    live: outputs with at least one product that is not 0. silent: how many of them show nothing but the bias.
    unseen: what influences no output, in words.
    """

    file: Stored
    bits: float
    live: int
    silent: int
    unseen: str = ""


def run(function: str, *args: Any) -> Done:
    """The task of that name, with everything that it raises as data: nothing unpicklable may cross the border."""
    return attempted(TASKS[function], *args)


def describe(name: str) -> dict[str, Any]:
    """Versions as this process sees them, and whether the backend says that it rounds."""
    found = backend(name)
    return {**found.versions(), "rounds": bool(getattr(found, CAN_ROUND, False))}


def result(name: str, layer: Layer, sample: Sample, dtype: str, directory: str, label: str) -> Stored:
    """The file of a backend's forward."""
    return save(directory, label, _forward(backend(name), layer, sample.load(dtype), *format_of(name, dtype)))


def exact(
    layer: Layer,
    sample: Sample,
    quanta: dict[str, float],
    dtype: str,
    directory: str,
    label: str,
    sums: str = "float32",
) -> Exact:
    """Our forward with the proof that nothing in it can round.

    S is computed in the precision `sums`; mostly single, to whose 24 bits float64's data keep as well: sums of
    non-negative numbers round monotonically, so an S of up to 2**bits * q is the true one.
    """
    arrays = sample.load(dtype)
    y = ours.forward(layer, arrays)
    magnitudes = ours.magnitudes(layer, sample.load(sums))
    largest = max(float(np.max(s, initial=0)) / quanta[part] for part, s in magnitudes.items())
    live, silent = _signal(layer, arrays, y, list(magnitudes.items())[-1])
    bits = float(np.log2(largest)) if largest else 0.0
    return Exact(save(directory, f"{label}.ours", y), bits, live, silent, unseen(layer, arrays))


def reference(
    layer: Layer,
    sample: Sample,
    dtype: str,
    coarse: str,
    directory: str,
    label: str,
    also: str = "",
) -> Reference:
    """Our forward in the dtype and, on the same data, in float64, with S in the precision `coarse`.

    also: SQUARES, where they are asked for at once.
    """
    arrays = sample.load(dtype)
    wide = {name: array.astype(np.float64, copy=False) for name, array in arrays.items()}
    truth = save(directory, f"{label}.truth", ours.forward(layer, wide))
    file = truth if dtype in WIDE else save(directory, f"{label}.ours", ours.forward(layer, arrays))
    rough = {name: array.astype(coarse, copy=False) for name, array in arrays.items()}
    (magnitude,) = ours.magnitudes(layer, rough).values()
    counts = output_counts(layer, arrays)
    if isinstance(layer, DeformRoIPool):  # its coordinates round, as no other layer's do
        magnitude = magnitude + (wobble(layer, rough) / counts).astype(magnitude.dtype)
    roundings = save(directory, f"{label}.roundings", counts)
    other = other_scales(layer, sample, dtype, also, coarse, directory, label) if also else {}
    return Reference(file, truth, save(directory, f"{label}.magnitude", magnitude), roundings, other.get(""))


def input_precision(layer: Layer, sample: Sample, dtype: str, file: Stored) -> str:
    """What the inputs must have been cut to for another side's result, a file; "" when that explains nothing."""
    return full_mantissa.input_precision(layer, sample.load(dtype), load(file))


def disagreeing(layer: Layer, sample: Sample, dtype: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the methods of our kernels that ran, those among them that differ from the first).

    Those in kernels.ROUNDS may differ by ROUNDINGS units of the largest sum of |products| that the layer could have.
    """
    arrays = sample.load(dtype)
    results = {}
    for method in ours.methods(layer, arrays):
        try:
            results[method] = ours.forward(layer, arrays, method)
        except SpecError as error:
            if error.problems[0].field != "method":  # a method may find a layer too large for itself
                raise
    first = next(iter(results.values()))
    rounded = [method for method in results if method in kernels.ROUNDS]
    room = ROUNDINGS * np.finfo(first.dtype).eps * largest_sum(layer, arrays) if rounded else 0.0
    different = tuple(
        method
        for method, y in results.items()
        if not (np.allclose(y, first, rtol=0, atol=room) if method in rounded else np.array_equal(y, first))
    )
    return tuple(results), different


def largest_sum(layer: Layer, arrays: dict[str, Any]) -> float:
    """The sum of |products| of an output with all weights at the largest cell: no tile has more, nor any padding.

    Of a composite part after part: what one can make at most is the next one's largest cell.
    """
    reach = float(np.max(np.abs(arrays["x"]), initial=0))
    for name in [part.name for part in layer.parts(image_shape(layer, arrays))] or [""]:
        own = part_arrays(name, arrays) if name else arrays
        weight = np.abs(own["weight"]).astype(np.float64)
        outs = 1 if layer.kind == "conv_transpose" else 0
        each = weight.sum(axis=tuple(axis for axis in range(weight.ndim) if axis != outs))
        reach = reach * float(np.max(each, initial=0)) + float(np.max(np.abs(own.get("bias", 0)), initial=0))
    return reach


def evidence(name: str, *args: Any) -> Any:
    """What our side can say of another one's results: loaded where something failed, and nowhere else."""
    from convcli.verifier.explain.evidence import EVIDENCE

    return EVIDENCE[name](*args)


def facts(name: str, layer: Layer, shape: Shape) -> Any:
    """What a backend says of a layer without running it."""
    return backend(name).facts(layer, shape)


def accepted(name: str, asked: Sequence[Neighbour]) -> list[Shape | str]:
    """A backend's answer to each layer that may be illegal: the output's shape, or why it refuses."""
    accepts = getattr(backend(name), "accepts", None)
    if accepts is None:
        raise Unsupported("it is not asked what it refuses")
    return [answer(lambda: accepts(one.type, one.fields, one.shapes)) for one in asked]  # noqa: B023


def executed_macs(name: str, layer: Layer, batch: Shape, x: Shape) -> int:
    """The products that a backend really multiplies: the sum of the output on ones, without bias, at zero offsets."""
    inputs = {"x": x, **layer.side_inputs(x)}
    shapes = {**{side: (*batch, *shape) for side, shape in inputs.items()}, **layer.tensors(x)}
    arrays = {name: (np.zeros if name in {"offset", "bias"} else np.ones)(shape) for name, shape in shapes.items()}
    return int(_forward(backend(name), layer, arrays).astype(np.int64).sum())


def _forward(found: Any, layer: Layer, arrays: dict[str, Any], *format_: str) -> Any:
    return numbers(found.forward(layer, arrays, *format_))


def _signal(layer: Layer, arrays: dict[str, Any], y: Any, last: tuple[str, Any]) -> tuple[int, int]:
    """How many outputs have a product that is not 0, and how many of these are just the bias."""
    part, magnitude = last
    if "rois" in arrays:  # a pool has no bias
        return int(np.count_nonzero(magnitude)), int(np.count_nonzero((magnitude != 0) & (y == 0)))
    bias = (part_arrays(part, arrays) if part else arrays).get("bias")
    shown = np.zeros((), y.dtype) if bias is None else bias.reshape(-1, *(1,) * len(layer.axes))
    live = magnitude > np.abs(shown)
    return int(np.count_nonzero(live)), int(np.count_nonzero(live & (y == shown)))


def environment() -> dict[str, Any]:
    """The versions on our side."""
    return {**ours.versions(), "python": platform.python_version(), "platform": platform.platform()}


TASKS: dict[str, Callable[..., Any]] = {
    **companion_tasks.TASKS,
    "describe": describe,
    "environment": environment,
    "result": result,
    "exact": exact,
    "reference": reference,
    "other_scales": other_scales,
    "gradients": gradients,
    "exact_gradients": exact_gradients,
    "reference_gradients": reference_gradients,
    "inner_products": inner_products,
    "input_precision": input_precision,
    "gradient_precision": gradient_precision,
    "disagreeing": disagreeing,
    "evidence": evidence,
    "facts": facts,
    "accepted": accepted,
    "executed_macs": executed_macs,
}
