"""torchvision's models by name, read from its source: nothing is imported, and no weights are asked for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec


class Listed(msgspec.Struct, frozen=True, order=True):
    """A model: its name, what `import` takes, and what its default weights' metadata publish."""

    name: str
    target: str
    params: int | None = None
    gmacs: float | None = None


def listed() -> list[Listed]:
    """All that torchvision registers, sorted by name; none where it is not installed."""
    found = find_spec("torchvision")
    if found is None or not found.submodule_search_locations:
        return []
    root = Path(found.submodule_search_locations[0])
    return sorted(one for path in (root / "models").rglob("*.py") for one in _of_file(path, root.parent))


def _of_file(path: Path, root: Path) -> Iterator[Listed]:
    source = path.read_text(encoding="utf-8")
    if "register_model(" not in source:
        return
    tree = ast.parse(source)
    module = ".".join(path.parent.relative_to(root).parts)
    shared = _assigned(tree.body)
    metas = {node.name: _default(node, shared) for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and (name := _registered(node)):
            params, gmacs = metas.get(_weights(node), (None, None))
            yield Listed(name, f"{module}:{node.name}", params, gmacs)


def _registered(function: ast.FunctionDef) -> str:
    """The name under which `@register_model(...)` has a function; "" where it does not stand above it."""
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "register_model":
            said = [keyword.value for keyword in mark.keywords if keyword.arg == "name"] or mark.args
            return str(said[0].value) if said and isinstance(said[0], ast.Constant) else function.name
    return ""


def _weights(function: ast.FunctionDef) -> str:
    """The class of a function's weights: the last one in the annotation of `weights`."""
    for argument in (*function.args.args, *function.args.kwonlyargs):
        if argument.arg == "weights" and argument.annotation:
            names = [node.id for node in ast.walk(argument.annotation) if isinstance(node, ast.Name)]
            known = [name for name in names if name.endswith("Weights")]
            return next((name for name in known if "Quantized" in name), known[0] if known else "")
    return ""


def _default(weights: ast.ClassDef, shared: dict[str, ast.expr]) -> tuple[int | None, float | None]:
    """(num_params, _ops) of the weights that a class calls DEFAULT. shared: what `**_COMMON_META` stands for."""
    values = _assigned(weights.body)
    default = values.get("DEFAULT")
    meta = values.get(default.id) if isinstance(default, ast.Name) else None
    told = _said(meta, shared)
    params, gmacs = told.get("num_params"), told.get("_ops")
    return params if isinstance(params, int) else None, gmacs if isinstance(gmacs, int | float) else None


def _assigned(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """name = value, for every name."""
    return {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _said(value: ast.expr | None, shared: dict[str, ast.expr]) -> dict[str, object]:
    """The plain entries of all mappings inside `value`."""
    told: dict[str, object] = {}
    for node in ast.walk(value) if value else ():
        if isinstance(node, ast.Dict):
            for key, item in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(item, ast.Constant):
                    told.setdefault(str(key.value), item.value)
                elif key is None and isinstance(item, ast.Name):
                    told = {**_said(shared.get(item.id), shared), **told}
    return told
