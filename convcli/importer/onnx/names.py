"""Where in the model an operator stands, from what exporters write into names."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict

from onnx import NodeProto

from convcli.importer.graph import Node

SCOPES = "pkg.torch.onnx.name_scopes"


def place_of(node: NodeProto) -> tuple[str, str]:
    """(the path of the module, what the operator is called there)."""
    for told in node.metadata_props:
        if told.key == SCOPES:
            return _scopes(told.value), node.op_type.lower()
    name = str(node.name)
    if not name.startswith("/"):
        return name.replace("/", "."), node.op_type.lower()
    parts = name.strip("/").split("/")
    path = ""
    for part in parts[:-1]:
        path = _below(path, part) if path else part
    return path, parts[-1].lower()


def _below(path: str, part: str) -> str:
    """`part` inside of `path`: torch calls a module in a list by the list's name and its own, layer1/layer1.0."""
    names, head = path.split("."), part.partition(".")[0]
    return ".".join([*names[: names.index(head)], part]) if "." in part and head in names else f"{path}.{part}"


def _scopes(said: str) -> str:
    try:
        found = ast.literal_eval(said)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return str(found[-2]) if isinstance(found, list) and len(found) > 1 else ""


def settle_names(nodes: list[Node]) -> None:
    """A layer with weights is called as they are; one that is alone in its place, as the place."""
    for node in nodes:
        names = [name for name in node.weights.values() if "." in name and "::" not in name]
        if names and not node.source:
            node.place = names[0].rpartition(".")[0]
    count = Counter(node.place for node in nodes)
    inner = {path for node in nodes for path in _above(node.place)}
    weighty = defaultdict[str, set[str]](set)
    for node in nodes:
        if node.weights or node.shares:
            weighty[node.place].add(node.type)
    for node in nodes:
        only = count[node.place] == 1 or (weighty[node.place] == {node.type} and bool(node.weights or node.shares))
        node.alone = bool(node.place) and only and node.place not in inner and not node.source
        if node.source and node.weights:
            node.place, node.word = "", next(iter(node.weights.values()))


def _above(place: str) -> list[str]:
    """The paths of the modules that hold it: a.b.c lies in a and in a.b."""
    names = place.split(".")
    return [".".join(names[:at]) for at in range(1, len(names))]
