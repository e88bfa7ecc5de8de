"""The data of a check: drawn from the layer's configuration and the seed alone, never from order, jobs or threads.

`structural` data are exact: every value is a whole number over a power of two, small enough that each product and each
partial sum, in any order, is a multiple of the quantum q and at most 2**bits * q. `ordinary` data are normal floats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec
import numpy as np

from convcli.layers import Conv, ConvTranspose, Layer, Shape

if TYPE_CHECKING:
    from convcli.backends import Array

LARGEST = 127  # one byte holds it
NEAR, QUARTERS = 8, 4  # exact offsets: most within 8 quarters of a cell, so two cells, around their tap
PACK_X = 4  # a pack's input: its predictor turns two of these into an offset
LOGIT = 1024  # the sigmoid of a multiple of it is 0, 1/2 or 1 in every precision
UNITS = 1 << 10  # no exact data are finer than 1 / UNITS, nor are their products
FRACTION_BITS = 10  # ordinary offsets: coordinates and bilinear shares stay exact


class Unfillable(Exception):  # noqa: N818 - a reason, not an error
    """No exact data exist for this layer in this precision; the message says why."""


class Fill(msgspec.Struct, frozen=True):
    """Values array / scale by name. quanta: q of each part's outputs. note: what had to be given up."""

    arrays: dict[str, Any]
    scales: dict[str, int] = {}
    quanta: dict[str, float] = {}
    note: str = ""


class Case(msgspec.Struct, frozen=True):
    """A settled layer with its input x (channels, *space), batch and seed: all that its data depend on."""

    layer: Layer
    x: Shape
    batch: Shape
    seed: int = 0

    @property
    def key(self) -> bytes:
        """The same for equal configurations, in every process and on every machine."""
        words = (self.layer.kind, self.layer, self.x, self.batch, self.seed)
        return hashlib.blake2b(msgspec.json.encode(words), digest_size=16).digest()

    def draw(self, name: str) -> np.random.Generator:
        """The stream of random numbers of one array."""
        return np.random.default_rng([int.from_bytes(self.key, "big"), crc32(name.encode())])

    def shape(self, name: str) -> Shape:
        """The shape of an input or of a tensor."""
        if name == "x":
            return (*self.batch, *self.x)
        side = self.layer.side_inputs(self.x)
        return (*self.batch, *side[name]) if name in side else self.layer.tensors(self.x)[name]

    def part(self, layer: Layer, x: Shape) -> Case:
        """The same for one part of the layer."""
        return Case(layer, x, self.batch, self.seed)


def structural(case: Case, bits: int) -> Fill:
    """Small non-zero integers, biases distinct and never 0: exact where `bits` bits of mantissa are kept.

    Raises Unfillable.
    """
    return STRUCTURAL[case.layer.kind](case, bits)


def ordinary(case: Case) -> Fill:
    """Normal floats; offsets within two cells in steps of 2**-10, masks from 0 to 1. For layers without parts."""
    arrays: dict[str, Array] = {}
    scales: dict[str, int] = {}
    for name in ("x", *case.layer.side_inputs(case.x), *case.layer.tensors(case.x)):
        rng, shape = case.draw(f"ordinary {name}"), case.shape(name)
        if name == "offset":
            bits = min(FRACTION_BITS, 22 - max(case.x[1:]).bit_length())
            if bits < 1:
                raise Unfillable("the input is too large for exact coordinates in float32")
            arrays[name], scales[name] = rng.integers(-2 << bits, (2 << bits) + 1, shape, dtype=np.int32), 1 << bits
        else:
            arrays[name] = rng.random(shape) if name == "mask" else rng.standard_normal(shape)
    return Fill(arrays, scales)


def terms(layer: Layer, x: Shape) -> int:
    """The largest number of products that one output element adds up; for layers without parts."""
    taps = prod(axis.kernel for axis in layer.axes)
    if not isinstance(layer, Conv | ConvTranspose):
        raise TypeError(f"{layer.kind} is not one sum")
    return x[0] // (layer.groups or 1) * taps


def amplitude(products: int, each: Callable[[int], float], bias: int, room: float) -> tuple[int, int]:
    """(a, keep): the largest a with products * each(a) + bias <= room, and `products` to keep.

    When not even a = 1 fits, it is 1, and as many products are kept as fit. Raises Unfillable when none does.
    """
    for a in range(LARGEST, 0, -1):
        if products * each(a) + bias <= room:
            return a, products
    keep = int((room - bias) // each(1))
    if keep < 1:
        raise Unfillable("no data without rounding: not even one product of ones fits")
    return 1, keep


def _sums(case: Case, bits: int, *, room: float | None = None, each: Callable[[int], float] = lambda a: a * a) -> Fill:
    """x and weight within one amplitude."""
    products = terms(case.layer, case.x)
    room = 2.0**bits if room is None else room
    most = _largest_bias(case.shape("bias")[0], room) if "bias" in case.layer.tensors(case.x) else 0
    a, keep = amplitude(products, each, most, room)
    arrays = {"x": _integers(case, "x", case.shape("x"), a), "weight": _weight(case, a, keep)}
    if most:
        arrays["bias"] = _biases(case, "bias", case.shape("bias")[0], most)
    return Fill(arrays, quanta={"": 1.0}, note=_thinned(products, keep))


def _deform(case: Case, bits: int) -> Fill:
    """Bilinear shares are multiples of 1/16 and masks of 1/4, up to 5/4."""
    masked = "mask" in case.layer.side_inputs(case.x)
    _coordinates_fit(case.x, bits)
    q = 1 / 64 if masked else 1 / 16
    plain = _sums(case, bits, room=2.0**bits * q, each=lambda a: a * a * (1.25 if masked else 1))
    side = {"offset": _quarters(case)}
    if masked:
        side["mask"] = case.draw("mask").integers(0, 16, case.shape("mask"), dtype=np.int8)
        side["mask"] = np.where(side["mask"] == 0, 0, side["mask"] % 5 + 1).astype(np.int8)
    _one_sample_each(case, side)
    return Fill({**plain.arrays, **side}, dict.fromkeys(side, QUARTERS), {"": q}, plain.note)


def _separable(case: Case, bits: int) -> Fill:
    """What lies between the parts is exact as well: it is part of the last sum."""
    first, second = (case.part(part.layer, part.x) for part in case.layer.parts(case.x))
    names = case.layer.tensors(case.x)
    room = 2.0**bits
    inner = terms(first.layer, first.x)
    inner_bias = _largest_bias(first.shape("weight")[0], room / 64) if "depthwise.bias" in names else 0
    bias = _largest_bias(second.shape("weight")[0], room) if "pointwise.bias" in names else 0
    a, keep = amplitude(second.x[0], lambda a: (inner * a * a + inner_bias) * a, bias, room)
    arrays = {
        "x": _integers(case, "x", case.shape("x"), a),
        "depthwise.weight": _weight(first, a, inner),
        "pointwise.weight": _weight(second, a, keep),
    }
    if inner_bias:
        arrays["depthwise.bias"] = _biases(case, "depthwise.bias", first.shape("bias")[0], inner_bias)
    if bias:
        arrays["pointwise.bias"] = _biases(case, "pointwise.bias", second.shape("bias")[0], bias)
    return Fill(arrays, quanta={"depthwise": 1.0, "pointwise": 1.0}, note=_thinned(second.x[0], keep))


def _pack(case: Case, bits: int) -> Fill:
    """A sparse predictor: each offset is a quarter of two inputs and a bias, each mask 0, 1/2 or 1."""
    predictor, deform = (case.part(part.layer, part.x) for part in case.layer.parts(case.x))
    _coordinates_fit(case.x, bits)
    side = deform.layer.side_inputs(deform.x)
    q = 1 / 32 if "mask" in side else 1 / 16
    plain = _sums(deform, bits, room=2.0**bits * q, each=lambda a: PACK_X * a)
    weight, bias = _predictor(predictor, side["offset"][0])
    arrays = {
        "x": _integers(case, "x", case.shape("x"), PACK_X),
        "offset_conv.weight": weight,
        "offset_conv.bias": bias,
        **{f"deform_conv.{name}": array for name, array in plain.arrays.items() if name != "x"},
    }
    scales = {"offset_conv.weight": QUARTERS, "offset_conv.bias": QUARTERS}
    return Fill(arrays, scales, {"offset_conv": 1 / QUARTERS, "deform_conv": q}, plain.note)


def _predictor(case: Case, offsets: int) -> tuple[Array, Array]:
    """(weight, bias) in quarters. Offset rows have two weights of 1/4, mask rows one of 1024 or none."""
    shape = case.shape("weight")
    rows, products = shape[0], prod(shape[1:])
    rng = case.draw("predictor")
    weight = np.zeros((rows, products), np.int16)
    bias = np.where(rng.random(rows) < 0.5, -1, 1) * rng.integers(1, 3, rows)
    units = np.where(np.arange(rows) < offsets, 1, LOGIT * QUARTERS)
    for row in range(rows if products else 0):
        places = rng.choice(products, min(products, 2 if row < offsets else 1), replace=False)
        weight[row, places] = rng.choice([-1, 1], len(places)) * units[row]
    silent = (np.arange(rows) >= offsets) & (rng.random(rows) < 1 / 3)
    weight[silent], bias[silent] = 0, 0
    return weight.reshape(shape), (bias * units).astype(np.int16)


def _coordinates_fit(x: Shape, bits: int) -> None:
    """Sampling points in quarters of a cell, and mask logits of some thousand, must fit too."""
    if max(x[1:]) * 2 * QUARTERS > 2**bits or bits < 16:
        raise Unfillable("no data without rounding: sampling points need more bits")


def _integers(case: Case, name: str, shape: Shape, a: int) -> Array:
    """Whole numbers from -a to a without 0."""
    values = case.draw(name).integers(-a, a, shape, dtype=np.int8)
    values += values >= 0
    return values


def _weight(case: Case, a: int, keep: int) -> Array:
    """The layer's weight, non-zero but for the products beyond `keep` of each output, which are 0."""
    shape = case.shape("weight")
    if isinstance(case.layer, ConvTranspose):
        groups = case.layer.groups
        per_group, outs, kernel = shape[0] // groups, shape[1], shape[2:]
        rows = _rows(case, groups * outs, per_group * prod(kernel), a, keep)
        return np.ascontiguousarray(rows.reshape(groups, outs, per_group, *kernel).swapaxes(1, 2)).reshape(shape)
    return _rows(case, shape[0], prod(shape[1:]), a, keep).reshape(shape)


def _rows(case: Case, outs: int, products: int, a: int, keep: int) -> Array:
    """(outs, products): one row for each output channel."""
    rows = _integers(case, "weight", (outs, products), a)
    if keep < products:
        order = _spread(case, products)
        for number, row in enumerate(rows):
            row[np.roll(order, -number * keep)[keep:]] = 0
    return rows


def _spread(case: Case, products: int) -> Array:
    """Every product once, in an order that comes to all channels and all taps as soon as it can."""
    taps = prod(axis.kernel for axis in case.layer.axes)
    channels, rng = products // taps, case.draw("kept")
    many, few = max(channels, taps), min(channels, taps)
    turn, first = np.divmod(np.arange(products), many)
    first, second = rng.permutation(many)[first], rng.permutation(few)[(first + turn) % few]
    channel, tap = (first, second) if channels >= taps else (second, first)
    return np.asarray(channel * taps + tap)


def _largest_bias(count: int, room: float) -> int:
    """+-1 to +-count/2 are distinct; where there is no room for all, they repeat."""
    return max(1, min((count + 1) // 2, int(room) // 8))


def _biases(case: Case, name: str, count: int, most: int) -> Array:
    i = case.draw(name).permutation(count)
    return ((i // 2 % most + 1) * np.where(i % 2, -1, 1)).astype(np.int32)


def _quarters(case: Case) -> Array:
    """Offsets in quarters: most within two cells, every sixteenth anywhere, well outside too."""
    shape = case.shape("offset")
    rng = case.draw("offset")
    far = QUARTERS * (max(case.x[1:]) + 2)
    offsets = rng.integers(-NEAR, NEAR + 1, shape, dtype=np.int32)
    anywhere = rng.integers(-far, far + 1, shape, dtype=np.int32)
    return np.where(rng.random(shape, dtype=np.float32) < 1 / 16, anywhere, offsets)


def _one_sample_each(case: Case, side: dict[str, Array]) -> None:
    """Give every tap of every group of offsets a sample inside the input: where it has none, at its first position."""
    seen = seen_taps(case.layer, side["offset"] / QUARTERS, side.get("mask"), case.x)
    offset = side["offset"].reshape(-1, *side["offset"].shape[-3:])
    kernel = tuple(axis.kernel for axis in case.layer.axes)
    for tap in np.flatnonzero(~seen):
        for direction, (axis, size) in enumerate(zip(case.layer.axes, case.x[1:], strict=True)):
            there = int(np.unravel_index(tap % prod(kernel), kernel)[direction]) * axis.dilation - axis.before
            offset[0, 2 * tap + direction, 0, 0] = QUARTERS * (size // 2 - there)
        if "mask" in side:
            side["mask"].reshape(-1, *side["mask"].shape[-3:])[0, tap, 0, 0] = QUARTERS


def seen_taps(layer: Layer, offset: Array, mask: Array | None, x: Shape) -> Array:
    """(og * T,): whether a tap of a group of offsets samples the input anywhere, with a mask that is not 0.

    offset (N, 2*og*T, *out) in cells, or without N.
    """
    kernel, out = tuple(axis.kernel for axis in layer.axes), offset.shape[-2:]
    moves = offset.reshape(-1, offset.shape[-3] // (2 * prod(kernel)), prod(kernel), 2, *out)
    tap, position = np.indices(kernel).reshape(2, -1, 1, 1), np.indices(out)
    inside = np.ones((*moves.shape[:3], *out), bool)
    for direction, (axis, size) in enumerate(zip(layer.axes, x[1:], strict=True)):
        there = position[direction] * axis.stride - axis.before + tap[direction] * axis.dilation
        inside &= np.abs(2 * (moves[:, :, :, direction] + there) - (size - 1)) < size + 1  # in (-1, size)
    if mask is not None:
        inside &= mask.reshape(inside.shape) != 0
    return np.asarray(inside.any(axis=(0, 3, 4)).reshape(-1))


def _thinned(products: int, keep: int) -> str:
    return "" if keep == products else f"weights thinned to {keep} of {products} products"


STRUCTURAL: Mapping[str, Callable[[Case, int], Fill]] = MappingProxyType(
    {"conv": _sums, "conv_transpose": _sums, "deform_conv": _deform, "separable": _separable, "deform_conv_pack": _pack}
)
