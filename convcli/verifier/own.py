"""The user's own kernel, from the command line by its place, from Python as a function."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from convcli.backends.target import KINDS_OF_ARRAYS, Target
from convcli.errors import SpecError
from convcli.layers import Layer, Shape
from convcli.plan import Entry, Network
from convcli.spec.load import parse
from convcli.verifier.run import DTYPES, verify
from convcli.verifier.verdict import Outcome

Function = Callable[..., Any]


def verify_kernel(  # noqa: PLR0913 - each is one option of the command
    function: Function | str | None,
    layer: Layer | str,
    shape: Shape,
    *,
    backward: Function | str | None = None,
    grad: bool = False,
    arrays: str = "numpy",
    seed: int = 0,
    dtypes: Sequence[str] = DTYPES,
    max_memory: int | None = None,
    timeout: float = 60.0,
    explain: bool = True,
    save_failures: str | PathLike[str] | None = None,
) -> Outcome:
    """`convcli verify --kernel` for a function: on `layer`, for inputs of `shape`, (N, C, *space) or (C, *space).

    function: called as `kernels.conv`, `conv_transpose` or `deform_conv2d` is, by the layer's kind, in a process of its
    own; or its place, "package.module:function". A lambda, a closure or a function of a notebook needs cloudpickle.
    backward: the gradients likewise, called as `kernels.conv_backward` is; `function` may then be None.
    grad: those that torch's autograd finds through `function`.
    layer: as `parse` makes it, or its spelling. arrays: "numpy" or "torch". The other options are those of `verify`.

    Raises SpecError for a function that cannot be taken there or a layer that does not fit, BackendMissing.
    """
    if function is None and backward is None:
        raise SpecError("there is neither a function nor its backward", field="function")
    forward = None if function is None else _target_of(function, arrays)
    gradients = None if backward is None else _target_of(backward, arrays, "backward")
    parsed = parse(layer) if isinstance(layer, str) else layer
    entry = Entry(parsed.kind, parsed.kind, parsed, input=tuple(shape))
    return verify(
        Network([entry]),
        seed=seed,
        dtypes=dtypes,
        grad=grad,
        max_memory=max_memory,
        timeout=timeout,
        kernel=forward,
        kernel_grad=gradients,
        explain=explain,
        save_failures=save_failures,
    )


def target(place: str, arrays: str = "numpy", role: str = "forward") -> Target:
    """A kernel by its place. Raises SpecError for arrays that are not known; the place is looked up by who runs it."""
    if arrays not in KINDS_OF_ARRAYS:
        raise SpecError(f"--arrays {arrays} is not known", allowed=", ".join(KINDS_OF_ARRAYS))
    return Target(place, arrays, str(Path.cwd()), role=role)


def _target_of(function: Function | str, arrays: str, role: str = "forward") -> Target:
    """By its name where it has one that another process can import, else by value."""
    if isinstance(function, str):
        return target(function, arrays, role)
    if not callable(function):
        raise SpecError(f"{function!r} is not a function", field="backward" if role == "backward" else "function")
    module, name = getattr(function, "__module__", None) or "", getattr(function, "__qualname__", "")
    if module != "__main__" and name and _imported(module, name) is function:
        return target(f"{module}:{name}", arrays, role)
    named = target(name or type(function).__name__, arrays, role)
    return msgspec.structs.replace(named, pickled=_pickled(function))


def _imported(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for step in name.split("."):
        found = getattr(found, step, None)
    return found


def _pickled(function: Function) -> bytes:
    """As bytes. A function of the main program has no name elsewhere: only cloudpickle takes it along."""
    if importlib.util.find_spec("cloudpickle"):
        import cloudpickle

        pickles: Function = cloudpickle.dumps
    else:
        pickles = pickle.dumps
    try:
        data: bytes = pickles(function)
    except Exception as error:
        raise SpecError(_cannot(function, str(error)), field="function", allowed=ALLOWED) from error
    if pickles is pickle.dumps and b"__main__" in data:
        raise SpecError(_cannot(function, "it is defined in the main program"), field="function", allowed=ALLOWED)
    return data


def _cannot(function: Function, why: str) -> str:
    return f"{function!r} cannot be taken to another process: {why}"


ALLOWED = 'a function of a module or of a file ("path/to/file.py:function"); or: pip install cloudpickle'
