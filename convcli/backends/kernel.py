"""The user's own function as a backend, called like one of `kernels`: conv, conv_transpose, ..., or `..._backward`.

It gets numpy arrays or torch tensors and normalised keywords: a tuple with a number per axis, `padding` a
(before, after) pair per axis. This module loads neither convcli's kernels nor torch unless the user's code does.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.backends import Unsupported
from convcli.backends.compose import composed, fully_connected
from convcli.layers import NO_GRADIENT, Conv, ConvTranspose, DeformRoIPool, Layer

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

SLIDING = frozenset({"stride", "padding", "dilation", "output_padding", "groups", "padding_mode"})
POSITIONAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "conv": ("x", "weight", "bias"),
        "conv_transpose": ("x", "weight", "bias"),
        "deform_conv": ("x", "offset", "weight", "bias", "mask"),
        "deform_roi_pool": ("x", "rois", "offset", "mask"),
    }
)
BACKWARD: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "conv": ("dy", "x", "weight"),
        "conv_transpose": ("dy", "x", "weight"),
        "deform_conv": ("dy", "x", "offset", "weight", "mask"),
        "deform_roi_pool": ("dy", "x", "rois", "offset", "mask"),
    }
)
REGION_DEFAULTS: Mapping[str, float] = MappingProxyType(
    {"output_size": 0, "spatial_scale": 1, "sampling_ratio": 0, "gamma": 0.1}  # an output size must be taken
)
OPTIONS = SLIDING | REGION_DEFAULTS.keys()


class Kernel:
    """A function as a backend, but that it can only run; composites are run part by part."""

    def __init__(self, function: Callable[..., Any], arrays: str = "numpy"):
        self._function, self._arrays, self._format = function, arrays, ""
        try:
            self._parameters: Mapping[str, inspect.Parameter] | None = inspect.signature(function).parameters
        except (TypeError, ValueError):  # written in C: it is asked by calling it
            self._parameters = None

    def versions(self) -> dict[str, str]:
        """The array library that the kernel is given."""
        if self._arrays == "torch":
            return {"torch": str(importlib.import_module("torch").__version__)}
        return {"numpy": np.__version__}

    def forward(self, layer: Layer, arrays: Arrays) -> Array:
        """y of `layer`. Raises Unsupported for what the function does not take."""
        return composed(layer, arrays, self._primitive)

    def answers(self, role: str, layer: Layer, arrays: Arrays, dtype: str = "") -> dict[str, Array]:
        """What it computes in that role: {"y": y}, or the gradients by their arrays' names, for `arrays["dy"]`.

        dtype: bfloat16, of which numpy has none, or what the arrays have.
        """
        self._format = dtype if dtype == "bfloat16" else ""
        if self._format and self._arrays != "torch":
            raise Unsupported("numpy has no bfloat16; torch tensors (--arrays torch) have")
        if role == "forward":
            return {"y": self.forward(layer, arrays)}
        own = {name: array for name, array in arrays.items() if name != "dy"}
        found = (self.autograd if role == "autograd" else self.backward)(layer, own, arrays["dy"])
        return {name: gradient for name, gradient in found.items() if name in own}  # a bias that is not there, say

    def backward(self, layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Array]:
        """The gradients that the function returns, of a layer without parts; None stands for one that is not there."""
        found = self._run(BACKWARD[layer.kind], layer, {**arrays, "dy": dy})
        names = tuple(name for name in POSITIONAL[layer.kind] if name not in NO_GRADIENT)
        if layer.kind == "deform_roi_pool" and "mask" not in arrays and isinstance(found, tuple | list):
            names = names[: max(2, len(found))]  # a mask that is not there has a gradient, or none
        expected = ", ".join("d" + {"weight": "w", "bias": "b"}.get(name, name) for name in names)
        if not isinstance(found, tuple | list) or len(found) != len(names):
            count = f" of {len(found)}" if isinstance(found, tuple | list) else ""
            raise TypeError(f"the kernel returned {type(found).__name__}{count}, not ({expected})")
        pairs = zip(names, found, strict=True)
        return {name: returned(given, self._format) for name, given in pairs if given is not None}

    def autograd(self, layer: Layer, arrays: Arrays, dy: Array) -> dict[str, Array]:
        """The gradients that torch's autograd finds through the function, of a layer without parts."""
        given = {name: self._tensor(array) for name, array in arrays.items()}
        leaves = {name: tensor.requires_grad_() for name, tensor in given.items() if name not in NO_GRADIENT}
        y = self._run(POSITIONAL[layer.kind], layer, given)
        if not getattr(y, "requires_grad", False):
            raise TypeError("the kernel's result is cut off from its inputs: autograd finds no gradient through it")
        y.backward(self._tensor(dy).to(y.device))
        return {name: returned(leaf.grad, self._format) for name, leaf in leaves.items() if leaf.grad is not None}

    def _primitive(self, layer: Layer, arrays: Arrays) -> Array:
        if layer.kind == "fully_connected":  # a pack's own; nobody is asked for it
            return fully_connected(arrays)
        return returned(self._run(POSITIONAL[layer.kind], layer, arrays), self._format)

    def _run(self, names: tuple[str, ...], layer: Layer, arrays: Mapping[str, Any]) -> Any:
        """What the function returns for these arrays."""
        inputs = [None if arrays.get(name) is None else self._handed(arrays[name]) for name in names]
        try:
            return self._called(names, inputs, keywords(layer))
        except NotImplementedError as error:
            raise Unsupported(f"NotImplementedError: {error}".removesuffix(": ")) from error

    def _handed(self, array: Any) -> Any:
        convert = self._arrays == "torch" and isinstance(array, np.ndarray)
        return self._tensor(array) if convert else array

    def _tensor(self, array: Array) -> Any:
        torch = importlib.import_module("torch")
        tensor = torch.from_numpy(array)
        return tensor.to(torch.bfloat16) if self._format else tensor

    def _called(self, names: tuple[str, ...], inputs: list[Any], given: dict[str, Any]) -> Any:
        """The function's answer, without what it does not take and this layer does not use."""
        if self._parameters is not None:
            inputs = _positional(self._parameters, names, inputs)
            return self._function(*inputs, **_accepted(self._parameters, given))
        while True:
            try:
                return self._function(*inputs, **given)
            except TypeError as error:
                found = re.search(r"unexpected keyword argument:? '(\w+)'", str(error))
                if not found or found[1] not in given:
                    raise
                _refuse_unless_default(found[1], given.pop(found[1]))


def keywords(layer: Layer) -> dict[str, Any]:
    """Everything but the arrays, as convcli's own kernel for this layer takes it."""
    if isinstance(layer, DeformRoIPool):
        return {name: getattr(layer, name) for name in REGION_DEFAULTS}
    given: dict[str, Any] = {
        "stride": tuple(axis.stride for axis in layer.axes),
        "padding": tuple((axis.before, axis.after) for axis in layer.axes),
        "dilation": tuple(axis.dilation for axis in layer.axes),
    }
    if isinstance(layer, ConvTranspose):
        given["output_padding"] = tuple(axis.output_padding for axis in layer.axes)
    if layer.kind in {"conv", "conv_transpose"}:
        given["groups"] = getattr(layer, "groups", 1) or 1
    if isinstance(layer, Conv) and layer.kind == "conv":
        given["padding_mode"] = layer.padding_mode
    return given


def is_default(name: str, value: Any) -> bool:
    """A function that does not know the keyword does the same."""
    if name == "padding_mode":
        return bool(value == "zeros")
    neutral = {"groups": 1, "stride": 1, "dilation": 1, "padding": 0, "output_padding": 0, **REGION_DEFAULTS}[name]
    return all(number == neutral for number in np.ravel(value))


def _refuse_unless_default(name: str, value: Any) -> None:
    if not is_default(name, value):
        raise Unsupported(f"it takes no {name}, and the layer has {name}={value!r}")


def _accepted(parameters: Mapping[str, inspect.Parameter], given: dict[str, Any]) -> dict[str, Any]:
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return given
    named = {name for name, p in parameters.items() if p.kind is not inspect.Parameter.POSITIONAL_ONLY}
    for name in given.keys() - named:
        _refuse_unless_default(name, given[name])
    for name in sorted(OPTIONS & named - given.keys()):
        if parameters[name].default is inspect.Parameter.empty:
            raise Unsupported(f"it asks for {name}, which this kind of layer has not")
    return {name: value for name, value in given.items() if name in named}


def _positional(parameters: Mapping[str, inspect.Parameter], names: tuple[str, ...], inputs: list[Any]) -> list[Any]:
    """The arrays that there is a place for; the others must be None."""
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters.values()):
        return inputs
    positions = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    room = sum(p.kind in positions and name not in OPTIONS for name, p in parameters.items())
    for name, array in zip(names[room:], inputs[room:], strict=True):
        if array is not None:
            raise Unsupported(f"it takes no {name}, and the layer has one")
    return inputs[:room]


def returned(y: Any, dtype: str = "") -> Array:
    """The result as a numpy array, bfloat16 in single precision. Raises TypeError when it is none of numbers."""
    if hasattr(y, "detach") and hasattr(y, "cpu"):  # a torch tensor, wherever it is
        y = y.detach().cpu()
        kind = str(y.dtype).removeprefix("torch.")
        if dtype and kind != dtype:
            raise TypeError(f"the kernel returned a tensor of {kind}, not of {dtype}")
        y = y.float() if kind == "bfloat16" else y
    if not hasattr(y, "__array__"):
        raise TypeError(f"the kernel returned {type(y).__name__}, not an array")
    found = np.asarray(y)
    if found.dtype.kind not in "fiub":
        raise TypeError(f"the kernel returned an array of {found.dtype}")
    return found
