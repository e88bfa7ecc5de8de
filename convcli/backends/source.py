"""What a function or a backend of the user's is written in, found without importing it: whether it was edited."""

from __future__ import annotations

import hashlib
import importlib.util
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


def source_hash(place: str, folder: str = "") -> str:
    """Of the file of "package.module:name" or "path/to/file.py:name", of all files of a package; "" if there is none.

    What a module imports is not looked at.
    """
    module = place.rpartition(":")[0] or place
    named = module.endswith(".py") or "/" in module or "\\" in module
    files = [Path(folder) / Path(module).expanduser()] if named else _files(module, folder)
    told = hashlib.blake2b(digest_size=16)
    try:
        for file in files:
            told.update(hashlib.blake2b(file.read_bytes()).digest())
    except OSError:  # whoever is to run it will say so
        return ""
    return told.hexdigest() if files else ""


def _files(module: str, folder: str) -> list[Path]:
    spec = _spec(module.split("."), folder)
    if spec is None or not spec.has_location or spec.origin is None:
        return []
    file = Path(spec.origin)
    return sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


def _spec(names: list[str], folder: str) -> ModuleSpec | None:
    """Of a.b.c: `find_spec` itself would import a and b."""
    try:
        spec = importlib.util.find_spec(names[0])
    except ValueError:  # a module in memory that came from nowhere
        return None
    spec = spec or PathFinder.find_spec(names[0], [folder])
    for depth in range(2, len(names) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(names[:depth]), spec.submodule_search_locations)
    return spec
