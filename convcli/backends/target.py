"""Where a function of the user's is, and the function itself: by file, by module, or pickled."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from convcli.errors import SpecError

KINDS_OF_ARRAYS = ("numpy", "torch")


class Target(msgspec.Struct, frozen=True):
    """Where a kernel is: `place` as typed, seen from `folder`, or the function itself, `pickled`.

    arrays: what it is given, "numpy" or "torch". role: what it computes, "forward" or "backward"; "autograd" is a
    forward function that torch differentiates.
    """

    place: str
    arrays: str = "numpy"
    folder: str = ""
    pickled: bytes = b""
    role: str = "forward"

    @property
    def name(self) -> str:
        """What the report calls it."""
        return self.place.rpartition(":")[2] or "kernel"

    @property
    def flag(self) -> str:
        """What names it on the command line."""
        return "--kernel-grad" if self.role == "backward" else "--kernel"


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
    return SpecError(f"{target.place}: {message}", field=target.flag, allowed=allowed)


def _said(error: BaseException) -> str:
    """SyntaxError: '(' was never closed (conv.py, line 3)"""
    text = f"{type(error).__name__}: {error}".removesuffix(": ").replace("\n", " ")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    if isinstance(error, SyntaxError) or not frames:
        return text
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
