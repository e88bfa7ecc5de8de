"""Backends that go wrong, each in its own way, at layers with WRONG output channels; others they do as they should."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends import Facts, Unsupported
from convcli.backends import numpy as ours

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays
    from convcli.layers import Layer, Shape

WRONG = 5
Forward = Callable[["Layer", "Arrays"], Any]
Gradient = Callable[["Layer", "Arrays", "Array"], dict[str, Any]]


class Fake:
    """Our own kernels, but for what `wrong` does with them."""

    def __init__(self, wrong: Forward = ours.forward, *, rounds: bool = False, gradient: Gradient = ours.backward):
        self.wrong, self.ROUNDS, self.gradient = wrong, rounds, gradient

    def versions(self) -> dict[str, str]:
        """Nothing of note, and whether anything of torch is in this process."""
        return {"torch loaded": str("torch" in sys.modules)}

    def forward(self, layer: Layer, arrays: Arrays) -> Array:
        """Right or wrong."""
        result: Array = (self.wrong if getattr(layer, "out_channels", 0) == WRONG else ours.forward)(layer, arrays)
        return result

    def backward(self, layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Any]:
        """Right or wrong."""
        wrong = getattr(layer, "out_channels", 0) == WRONG
        return self.gradient(layer, arrays, dy) if wrong else ours.backward(layer, arrays, dy)

    def accepts(self, type_: str, fields: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Shape:
        """What we take ourselves."""
        return ours.accepts(type_, fields, shapes)

    def facts(self, layer: Layer, shape: Shape) -> Facts:
        """What we say ourselves."""
        x = shape[-1 - len(layer.axes) :]
        counted = layer.counts(x, prod(shape[: -len(x)]))
        return Facts(layer.output_shape(shape), layer.tensors(x), counted.macs)


def _crash(layer: Layer, arrays: Arrays) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def _kill(layer: Layer, arrays: Arrays) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _leave(layer: Layer, arrays: Arrays) -> Any:
    os._exit(3)


def _hang(layer: Layer, arrays: Arrays) -> Any:
    time.sleep(600)


def _refuse(layer: Layer, arrays: Arrays) -> Any:
    raise ValueError("no such\nlayer")


def _quit(layer: Layer, arrays: Arrays) -> Any:
    sys.exit(0)


def _lack(layer: Layer, arrays: Arrays) -> Any:
    raise Unsupported("not in this house")


def _starve(layer: Layer, arrays: Arrays) -> Any:
    raise MemoryError("Unable to allocate 8 EiB")


def _misshape(layer: Layer, arrays: Arrays) -> Any:
    return ours.forward(layer, arrays)[..., :-1]


def _widen(layer: Layer, arrays: Arrays) -> Any:
    return ours.forward(layer, arrays).astype(np.float64)


def _one_off(layer: Layer, arrays: Arrays) -> Any:
    y = ours.forward(layer, arrays)
    y[0, 1, 2, 3] += 2
    return y


def _nan(layer: Layer, arrays: Arrays) -> Any:
    y = ours.forward(layer, arrays)
    y[0, 0, 1, 1] = np.nan
    return y


def _talk(layer: Layer, arrays: Arrays) -> Any:
    print("garbage")  # noqa: T201 - that is the point
    os.write(1, b"more garbage\n")
    return ours.forward(layer, arrays)


def _object(layer: Layer, arrays: Arrays) -> Any:
    return {"not": "an array"}


def _scribble(layer: Layer, arrays: Arrays) -> Any:
    y = ours.forward(layer, arrays)
    for array in arrays.values():
        array[...] = 99
    return y


def _zeros(layer: Layer, arrays: Arrays) -> Any:
    return np.zeros_like(ours.forward(layer, arrays))


def _half(layer: Layer, arrays: Arrays) -> Any:
    """Inputs through float16, as a fast mode might: 11 bits of 24."""
    cut = {name: array.astype(np.float16).astype(array.dtype) for name, array in arrays.items()}
    return ours.forward(layer, cut)


def _bfloat(layer: Layer, arrays: Arrays) -> Any:
    """Inputs cut to bfloat16: 8 bits of 24."""

    def cut(array: Array) -> Array:
        bits = array.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return bits.view(np.float32).astype(array.dtype)

    return ours.forward(layer, {name: cut(array) for name, array in arrays.items()})


class Hurried(Fake):
    """In two dimensions it knows no stride along the last axis but that along the first."""

    def forward(self, layer: Layer, arrays: Arrays) -> Array:
        """Right where the strides are equal."""
        first = layer.axes[0]
        if layer.kind != "conv" or len(layer.axes) != 2:
            return ours.forward(layer, arrays)
        axes = tuple(msgspec.structs.replace(axis, stride=first.stride) for axis in layer.axes)
        return ours.forward(msgspec.structs.replace(layer, axes=axes), arrays)


class Trusting(Fake):
    """As torch's meta device, it never looks at padding, dilation and output_padding."""

    def accepts(self, type_: str, fields: Mapping[str, Any], shapes: Mapping[str, Shape]) -> Shape:
        """Where we refuse these, a shape all the same."""
        seen = {"padding", "dilation", "output_padding"} & set(fields)
        wrong = any(isinstance(n, int) and n < 0 for name in seen for n in fields[name])
        return shapes["x"] if wrong else super().accepts(type_, fields, shapes)


class Forgetful(Fake):
    """It has no gradients."""

    backward = None  # type: ignore[assignment]


def _turned(layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Any]:
    """The kernel's gradient upside down."""
    found = ours.backward(layer, arrays, dy)
    return {**found, "weight": found["weight"][..., ::-1].copy()}


def _swapped(layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Any]:
    """Down and right exchanged."""
    found = ours.backward(layer, arrays, dy)
    channel = found["offset"].ndim - 3
    pairs = np.arange(found["offset"].shape[channel]).reshape(-1, 2)[:, ::-1].reshape(-1)
    return {**found, "offset": found["offset"].take(pairs, axis=channel)}


def _one_sample(layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Any]:
    """The bias sums over the first sample alone."""
    return {**ours.backward(layer, arrays, dy), "bias": dy[0].sum(axis=tuple(range(1, dy.ndim - 1)))}


def _unmasked(layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Any]:
    """The mask is left out of the input's gradient."""
    ones = np.ones_like(arrays["mask"])
    return {**ours.backward(layer, arrays, dy), "x": ours.backward(layer, {**arrays, "mask": ones}, dy)["x"]}


def _last_bit(layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Any]:
    """One element of the input's gradient is off by its last bit."""
    found = ours.backward(layer, arrays, dy)
    dx = found["x"].copy()
    dx.flat[5] = np.nextafter(dx.flat[5], np.asarray(np.inf, dx.dtype))
    return {**found, "x": dx}


def _without(layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Any]:
    """The weight has no gradient."""
    return {name: gradient for name, gradient in ours.backward(layer, arrays, dy).items() if name != "weight"}


def _short(layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Any]:
    """The input's gradient lacks a row."""
    found = ours.backward(layer, arrays, dy)
    return {**found, "x": found["x"][..., :-1]}


def _rounding(layer: Layer, arrays: Arrays) -> Any:
    """A last bit wrong here and there, as Winograd and FFT have it."""
    y = ours.forward(layer, arrays)
    return np.nextafter(y, np.inf, dtype=y.dtype)


faithful = Fake()
hurried = Hurried()
crashing, killed, leaving, hanging = Fake(_crash), Fake(_kill), Fake(_leave), Fake(_hang)
refusing, quitting, lacking, starving = Fake(_refuse), Fake(_quit), Fake(_lack), Fake(_starve)
misshapen, widened, one_off, nan, objects = Fake(_misshape), Fake(_widen), Fake(_one_off), Fake(_nan), Fake(_object)
talking, scribbling, zeros = Fake(_talk), Fake(_scribble), Fake(_zeros)
half, bfloat, rounding, owned = Fake(_half), Fake(_bfloat), Fake(_rounding), Fake(_rounding, rounds=True)
turned, swapped, one_sample = Fake(gradient=_turned), Fake(gradient=_swapped), Fake(gradient=_one_sample)
unmasked, last_bit, without, short = (Fake(gradient=wrong) for wrong in (_unmasked, _last_bit, _without, _short))
forgetful, trusting = Forgetful(), Trusting()
