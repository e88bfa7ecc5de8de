"""What runs beside the user's kernel, in its process: it is called on its inputs alone, and watched.

Neither our kernels nor a result of theirs is in this process, nor on any disk before the kernel has answered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from convcli.backends.kernel import Kernel
from convcli.backends.target import Target, function_at
from convcli.errors import SpecError
from convcli.layers import Layer
from convcli.verifier.done import Done, attempted
from convcli.verifier.exchange import Sample, Stored, load, save
from convcli.verifier.memory import limited
from convcli.verifier.views import as_views

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

REFERENCE = "convcli.kernels"
WATCHED = ("numpy", "numpy.linalg", "numpy.random", "torch", "torch.nn.functional")
Files = dict[str, Stored]  # each array that the kernel returned: y, or the gradients


class Task(msgspec.Struct, frozen=True):
    """A layer, its data and where the results go.

    memory: the bytes that the kernel may take. views: every array is a view of another order in memory.
    """

    layer: Layer
    samples: tuple[Sample, ...]
    dtype: str
    directory: str
    label: str
    memory: int
    views: bool = False

    def saved(self, turn: int, found: Arrays) -> Files:
        """The results of one turn, written."""
        return {name: save(self.directory, f"{self.label}.{turn}.{name}", array) for name, array in found.items()}


class Trial(msgspec.Struct, frozen=True):
    """The files of a kernel's results, one set for each sample, and what it did that a function must not do.

    reference: it was seen to call our own kernels.
    """

    files: tuple[Files, ...]
    faults: tuple[str, ...] = ()
    reference: bool = False


class _Loaded(msgspec.Struct):
    kernel: Kernel
    before: dict[str, Any]


_loaded: dict[Target, _Loaded] = {}


def run(function: str, *args: Any) -> Done:
    """The task of that name."""
    return attempted(TASKS[function], *args)


def describe(targets: tuple[Target, ...]) -> dict[str, Any]:
    """The libraries whose arrays the kernels are given; `unusable` says why one is none."""
    found: dict[str, Any] = {"rounds": False}
    for target in targets:
        try:
            found |= _kernel(target).kernel.versions()
        except SpecError as error:
            return {"unusable": error.problems, "rounds": False}
    return found


def trial(target: Target, task: Task) -> Trial:
    """The kernel on each sample in turn, in the same buffers; of several, on the first one once more, in new ones.

    So whoever remembers an answer by shape or by address is wrong on the second, and whoever returns a buffer of his
    own has changed the first when the second is there.
    """
    with limited(task.memory):
        loaded = _kernel(target)
    buffers = task.samples[0].load(task.dtype)
    buffers = as_views(buffers) if task.views else buffers
    results: list[Arrays] = []
    files: list[Files] = []
    faults: list[str] = []
    for turn, sample in enumerate(task.samples):
        given = sample.load(task.dtype)
        for name, array in given.items():
            buffers[name][...] = array
        found = _answers(loaded.kernel, target, task, buffers)
        results.append(found)
        files.append(task.saved(turn, found))
        faults += _written(buffers, given) + _views(found, buffers)
    reference = False
    if len(task.samples) > 1:
        faults += [] if faults else _shared(results, files)
        with _watching() as calls:
            again = _answers(loaded.kernel, target, task, task.samples[0].load(task.dtype))
        reference = bool(calls)
        if not _as_saved(again, files[0]):
            faults.append("it gives another answer when it is called with the same data again")
    faults += [f"it replaces {name}" for name in _patched(loaded.before)]
    return Trial(tuple(files), tuple(dict.fromkeys(faults)), reference)


def _answers(kernel: Kernel, target: Target, task: Task, arrays: Arrays) -> dict[str, Array]:
    """The kernel's results. A process that it forked and that returns too ends here: it is no worker."""
    home = os.getpid()
    try:
        with limited(task.memory):
            return kernel.answers(target.role, task.layer, arrays, task.dtype)
    finally:
        if os.getpid() != home:
            os._exit(0)


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


def _views(found: Arrays, buffers: Arrays) -> list[str]:
    inputs = [name for name, array in buffers.items() if any(np.may_share_memory(y, array) for y in found.values())]
    return [f"it returns a view of its input {name}" for name in inputs]


def _shared(results: list[Arrays], files: list[Files]) -> list[str]:
    """An earlier result must not have changed since."""
    if not all(_as_saved(found, saved) for found, saved in zip(results, files, strict=True)):
        return ["the array that it returned first changes when it is called again: a buffer that calls share"]
    return []


def _as_saved(found: Arrays, files: Files) -> bool:
    return found.keys() == files.keys() and all(_equal(y, load(files[name])) for name, y in found.items())


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
