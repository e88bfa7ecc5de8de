"""What runs beside the user's kernel, in its process: it is called on its inputs alone, and watched.

Neither our kernels nor a result of theirs is in this process, nor on any disk before the kernel has answered.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends.kernel import Kernel, Target, function_at
from convcli.errors import SpecError
from convcli.layers import Layer
from convcli.verifier.done import Done, attempted
from convcli.verifier.exchange import Sample, Stored, load, save

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

REFERENCE = "convcli.kernels"
WATCHED = ("numpy", "numpy.linalg", "numpy.random", "torch", "torch.nn.functional")


class Trial(msgspec.Struct, frozen=True):
    """The files of a kernel's results, one for each sample, and what it did that a function must not do.

    reference: it was seen to call our own kernels.
    """

    files: tuple[Stored, ...]
    faults: tuple[str, ...] = ()
    reference: bool = False


class _Loaded(msgspec.Struct):
    kernel: Kernel
    before: dict[str, Any]


_loaded: dict[Target, _Loaded] = {}


def run(function: str, *args: Any) -> Done:
    """The task of that name."""
    return attempted(TASKS[function], *args)


def describe(target: Target) -> dict[str, Any]:
    """The library whose arrays the kernel is given; `unusable` says why there is no kernel."""
    try:
        return {**_kernel(target).kernel.versions(), "rounds": False}
    except SpecError as error:
        return {"unusable": error.problems, "rounds": False}


def trial(target: Target, layer: Layer, samples: tuple[Sample, ...], dtype: str, directory: str, label: str) -> Trial:
    """The kernel on each sample in turn, in the same buffers; of several, on the first one once more, in new ones.

    So whoever remembers an answer by shape or by address is wrong on the second, and whoever returns a buffer of his
    own has changed the first when the second is there.
    """
    loaded = _kernel(target)
    buffers = samples[0].load(dtype)
    results: list[Array] = []
    files: list[Stored] = []
    faults: list[str] = []
    for number, sample in enumerate(samples):
        given = sample.load(dtype)
        for name, array in given.items():
            buffers[name][...] = array
        y = loaded.kernel.forward(layer, buffers)
        results.append(y)
        files.append(save(directory, f"{label}.{number}", y))
        faults += _written(buffers, given) + _views(y, buffers)
    reference = False
    if len(samples) > 1:
        faults += [] if faults else _shared(results, files)
        with _watching() as calls:
            again = loaded.kernel.forward(layer, samples[0].load(dtype))
        reference = bool(calls)
        if not _equal(again, load(files[0])):
            faults.append("it gives another answer when it is called with the same data again")
    faults += [f"it replaces {name}" for name in _patched(loaded.before)]
    return Trial(tuple(files), tuple(dict.fromkeys(faults)), reference)


def _kernel(target: Target) -> _Loaded:
    if target not in _loaded:
        if target.arrays == "torch":
            import_module("torch.nn.functional")  # so that what the user's code does to it is seen
        before = _functions()
        _loaded[target] = _Loaded(Kernel(function_at(target), target.arrays), before)
    return _loaded[target]


def _functions() -> dict[str, Any]:
    """Every public function of the array libraries that are loaded."""
    return {
        f"{module}.{name}": value
        for module in WATCHED
        if module in sys.modules
        for name, value in vars(sys.modules[module]).items()
        if callable(value) and not name.startswith("_")
    }


def _patched(before: dict[str, Any]) -> list[str]:
    now = _functions()
    return [name for name, function in before.items() if now.get(name) is not function][:3]


def _written(buffers: Arrays, given: Arrays) -> list[str]:
    return [f"it writes to its input {name}" for name, array in given.items() if not _equal(buffers[name], array)]


def _views(y: Array, buffers: Arrays) -> list[str]:
    inputs = [name for name, array in buffers.items() if np.may_share_memory(y, array)]
    return [f"it returns a view of its input {name}" for name in inputs]


def _shared(results: list[Array], files: list[Stored]) -> list[str]:
    """An earlier result must not have changed since."""
    if any(not _equal(y, load(file)) for y, file in zip(results, files, strict=True)):
        return ["the array that it returned first changes when it is called again: a buffer that calls share"]
    return []


def _equal(y: Array, z: Array) -> bool:
    """Equal, NaN included."""
    return bool(np.array_equal(y, z, equal_nan=True))


@contextmanager
def _watching() -> Iterator[list[str]]:
    """The calls that our own kernels receive from the inside of the block, as far as the first."""
    calls: list[str] = []
    if REFERENCE not in sys.modules:
        yield calls
        return

    def hook(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and str(frame.f_globals.get("__name__", "")).startswith(REFERENCE):
            calls.append(frame.f_code.co_name)
            sys.setprofile(None)

    sys.setprofile(hook)
    try:
        yield calls
    finally:
        sys.setprofile(None)


TASKS: dict[str, Callable[..., Any]] = {"describe": describe, "trial": trial}
