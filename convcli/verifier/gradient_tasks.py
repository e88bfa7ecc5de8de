"""What a worker does for the gradients: small functions of files and plain data, like `tasks`."""

from __future__ import annotations

from math import prod
from typing import Any

import msgspec
import numpy as np

from convcli.backends import Unsupported, backend
from convcli.backends import numpy as ours
from convcli.backends.numpy_regions import gradient_wobble
from convcli.layers import NO_GRADIENT, DeformConvPack, DeformRoIPool, Layer
from convcli.verifier import full_mantissa
from convcli.verifier.answers import format_of, numbers
from convcli.verifier.counts import gradient_counts
from convcli.verifier.exchange import Sample, Stored, load, save
from convcli.verifier.fills import UNITS
from convcli.verifier.formats import WIDE
from convcli.verifier.references import Reference, other_scales

BLOCK = 2**12  # what an int64 can add up of the products there are


class ExactGradient(msgspec.Struct, frozen=True):
    """One gradient of our side. bits: log2 of the largest S/q. live: elements with a product, silent: that are 0."""

    file: Stored
    bits: float
    live: int
    silent: int


def gradients(name: str, layer: Layer, sample: Sample, dtype: str, directory: str, label: str) -> dict[str, Stored]:
    """The files of a backend's gradients, by the arrays' names."""
    backward = getattr(backend(name), "backward", None)
    if backward is None:
        raise Unsupported("it has no gradients")
    arrays = sample.load(dtype)
    found = backward(layer, arrays, arrays.pop("dy"), *format_of(name, dtype))
    return {array: save(directory, f"{label}.{array}", numbers(gradient)) for array, gradient in found.items()}


def exact_gradients(
    layer: Layer,
    sample: Sample,
    quanta: dict[str, float],
    dtype: str,
    directory: str,
    label: str = "grad",
    sums: str = "float32",
) -> dict[str, ExactGradient]:
    """Our gradients, each with the proof that nothing in it can round: as `exact` proves the forward pass."""
    arrays = sample.load(dtype)
    dy = arrays.pop("dy")
    proved = {}
    found = ours.backward(layer, arrays, dy)
    rough = {name: array.astype(sums, copy=False) for name, array in arrays.items()}
    magnitudes = ours.gradient_magnitudes(layer, rough, dy.astype(sums, copy=False))
    for name, gradient in found.items():
        largest = float(np.max(magnitudes[name], initial=0)) / quanta[name]
        live = magnitudes[name] != 0
        proved[name] = ExactGradient(
            save(directory, f"{label}.ours.{name}", gradient),
            float(np.log2(largest)) if largest else 0.0,
            int(np.count_nonzero(live)),
            int(np.count_nonzero(live & (gradient == 0))),
        )
    return proved


def reference_gradients(
    layer: Layer,
    sample: Sample,
    dtype: str,
    coarse: str,
    directory: str,
    label: str,
    also: str = "",
) -> dict[str, Reference]:
    """Our gradients in the dtype and, on the same data, in float64, each with its S in the precision `coarse`."""
    arrays = sample.load(dtype)
    wide, rough = (
        {name: array.astype(kind, copy=False) for name, array in arrays.items()} for kind in ("float64", coarse)
    )
    truth = ours.backward(layer, wide, wide.pop("dy"))
    found = truth if dtype in WIDE else ours.backward(layer, arrays, arrays.pop("dy"))
    dy = rough.pop("dy")
    magnitudes = ours.gradient_magnitudes(layer, rough, dy)
    batch, _ = layer.split(wide["x"].shape)
    counts = gradient_counts(layer, wide, prod(batch))
    if isinstance(layer, DeformRoIPool):  # its coordinates round, as no other layer's do
        moved = gradient_wobble(layer, rough, dy)
        magnitudes = {name: s + (moved[name] / counts[name]).astype(s.dtype) for name, s in magnitudes.items()}
    other = other_scales(layer, sample, dtype, also, coarse, directory, label) if also else {}
    references = {}
    for name, gradient in truth.items():
        exact = save(directory, f"{label}.truth.{name}", gradient)
        file = exact if dtype in WIDE else save(directory, f"{label}.ours.{name}", found[name])
        magnitude = save(directory, f"{label}.magnitude.{name}", magnitudes[name])
        roundings = save(directory, f"{label}.roundings.{name}", counts[name])
        references[name] = Reference(file, exact, magnitude, roundings, other.get(name))
    return references


def inner_products(layer: Layer, sample: Sample) -> dict[str, int]:
    """<y, dy> without its bias, and <a, gradient of a> for every array `a` that y is then linear in; in UNITS.

    A pack is linear in the weight of its deformable part alone: its offsets are predicted.
    """
    arrays = sample.load("float64")
    dy = arrays.pop("dy")
    pack = isinstance(layer, DeformConvPack)
    for name, array in arrays.items():
        if name.endswith("bias") and not (pack and name.startswith("offset_conv")):
            array[...] = 0
    found = ours.backward(layer, arrays, dy)
    linear = [name for name in arrays if name not in {"offset", *NO_GRADIENT} and not name.endswith("bias")]
    names = ["deform_conv.weight"] if pack else linear
    products = {"y, dy": inner(ours.forward(layer, arrays), dy)}
    return products | {f"{name}, its gradient": inner(arrays[name], found[name]) for name in names}


def inner(x: Any, y: Any) -> int:
    """The sum of x * y, whole numbers over UNITS, without a limit."""
    x, y = np.ravel(x), np.ravel(y)
    blocks = (slice(first, first + BLOCK) for first in range(0, x.size, BLOCK))
    return sum(int((x[block] * y[block] * UNITS).astype(np.int64).sum()) for block in blocks)


def gradient_precision(
    layer: Layer, sample: Sample, dtype: str, long: tuple[str, ...], files: dict[str, Stored]
) -> str:
    """The same for gradients, by the arrays' names."""
    wrong = {name: load(file) for name, file in files.items()}
    return full_mantissa.gradient_precision(layer, sample.load(dtype), long, wrong)
