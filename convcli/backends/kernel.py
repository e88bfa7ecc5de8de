"""The user's own function as a backend: called as `kernels.conv`, `conv_transpose` or `deform_conv2d` is.

It gets numpy arrays or torch tensors and normalised keywords: a tuple with a number per axis, `padding` a
(before, after) pair per axis. This module loads neither convcli's kernels nor torch unless the user's code does.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pickle
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends import Unsupported
from convcli.backends.compose import composed
from convcli.errors import SpecError
from convcli.layers import Conv, ConvTranspose, Layer

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

KINDS_OF_ARRAYS = ("numpy", "torch")
OPTIONS = frozenset({"stride", "padding", "dilation", "output_padding", "groups", "padding_mode"})
POSITIONAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "conv": ("x", "weight", "bias"),
        "conv_transpose": ("x", "weight", "bias"),
        "deform_conv": ("x", "offset", "weight", "bias", "mask"),
    }
)


class Target(msgspec.Struct, frozen=True):
    """Where a kernel is: `place` as typed, seen from `folder`, or the function itself, `pickled`.

    arrays: what it is given, "numpy" or "torch".
    """

    place: str
    arrays: str = "numpy"
    folder: str = ""
    pickled: bytes = b""

    @property
    def name(self) -> str:
        """What the report calls it."""
        return self.place.rpartition(":")[2] or "kernel"


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

    def forward(self, layer: Layer, arrays: Arrays, dtype: str = "") -> Array:
        """y of `layer`, for bfloat16 too. Raises Unsupported for what the function does not take."""
        self._format = dtype if dtype == "bfloat16" else ""
        if self._format and self._arrays != "torch":
            raise Unsupported("numpy has no bfloat16; torch tensors (--arrays torch) have")
        return composed(layer, arrays, self._primitive)

    def _primitive(self, layer: Layer, arrays: Arrays) -> Array:
        inputs = [None if arrays.get(name) is None else self._handed(arrays[name]) for name in POSITIONAL[layer.kind]]
        try:
            return returned(self._called(POSITIONAL[layer.kind], inputs, keywords(layer)), self._format)
        except NotImplementedError as error:
            raise Unsupported(f"NotImplementedError: {error}".removesuffix(": ")) from error

    def _handed(self, array: Array) -> Any:
        if self._arrays != "torch":
            return array
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
    neutral = {"groups": 1, "stride": 1, "dilation": 1, "padding": 0, "output_padding": 0}[name]
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


def function_at(target: Target) -> Callable[..., Any]:
    """The function, imported here. Raises SpecError with what is wrong with the place."""
    if target.pickled:
        try:
            found: Any = pickle.loads(target.pickled)  # noqa: S301 - of our own parent's making
        except BaseException as error:
            raise _unusable(target, f"it cannot be taken to another process: {_said(error)}") from error
        return _callable(target, found)
    place, _, name = target.place.rpartition(":")
    if not place or not name:
        raise _unusable(target, "this names no function", "package.module:function or path/to/file.py:function")
    if place.endswith(".py") or "/" in place or "\\" in place:
        module = _file(target, Path(target.folder) / Path(place).expanduser())
    else:
        if target.folder not in sys.path:
            sys.path.append(target.folder)  # last: nothing installed is hidden by a file that happens to lie there
        module = _module(target, place)
    found = module
    for step in name.split("."):
        if not hasattr(found, step):
            there = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise _unusable(target, f"there is no {name} in {place}", ", ".join(there[:20]))
        found = getattr(found, step)
    return _callable(target, found)


def _callable(target: Target, found: Any) -> Callable[..., Any]:
    if not callable(found):
        raise _unusable(target, f"{target.name} is not a function but {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _file(target: Target, path: Path) -> ModuleType:
    if not path.is_file():
        raise _unusable(target, f"there is no file {path.name} in {path.parent}")
    name = f"kernel_{re.sub(r'[^0-9a-zA-Z_]', '_', path.stem)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _unusable(target, "this is not a Python file", "path/to/file.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise _unusable(target, f"importing it raises {_said(error)}") from error
    return module


def _module(target: Target, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise _unusable(target, f"there is no module {error.name}") from error
        raise _unusable(target, f"importing it raises {_said(error)}") from error
    except BaseException as error:
        raise _unusable(target, f"importing it raises {_said(error)}") from error


def _unusable(target: Target, message: str, allowed: str = "") -> SpecError:
    return SpecError(f"{target.place}: {message}", field="--kernel", allowed=allowed)


def _said(error: BaseException) -> str:
    """SyntaxError: '(' was never closed (conv.py, line 3)"""
    text = f"{type(error).__name__}: {error}".removesuffix(": ").replace("\n", " ")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    if isinstance(error, SyntaxError) or not frames:
        return text
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
