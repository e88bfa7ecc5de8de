"""What `import` is told on its command line: `module:callable` or `file.py:callable`, and arguments as data."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from convcli.errors import SpecError

FORM = "module:callable, as in torchvision.models:resnet50, or file.py:callable"


def found(target: str) -> Any:
    """The object that `target` names. Importing code runs it. Raises SpecError where there is none."""
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise SpecError(f"{target!r} names no model", allowed=FORM)
    value: Any = _file(Path(place)) if place.endswith(".py") else _module(place)
    for part in name.split("."):
        if not hasattr(value, part):
            raise SpecError(f"{place} has no {part!r}", allowed=FORM, repair=_near(part, value, place))
        value = getattr(value, part)
    return value


def _module(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise SpecError(f"there is no module {name!r}", allowed=FORM) from None


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SpecError(f"{path}: there is no such file", allowed=FORM)
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SpecError(f"{path}: this is no Python file", allowed=FORM)
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # what it imports may lie beside it
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _near(name: str, value: Any, place: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, dir(value), n=1)
    return f"{place}:{near[0]}" if near else ""


def arguments(said: list[str]) -> dict[str, Any]:
    """`name=value` texts as keyword arguments: Python's literals, `true`, `none`; anything else is a text."""
    given: dict[str, Any] = {}
    for one in said:
        name, equals, value = one.partition("=")
        if not equals or not name.strip().isidentifier():
            raise SpecError(f"--arg {one}", allowed="name=value, as in num_classes=10")
        given[name.strip()] = _value(value.strip())
    return given


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
