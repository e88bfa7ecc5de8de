"""From a Graph to a spec: every layer gets its name, says `from` where it must, and stands on a line of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

from convcli.importer.graph import Graph, Node
from convcli.importer.lines import flow, scalar

Document = dict[str, Any]


def document(graph: Graph) -> Document:
    """The spec as plain data, as its reader would give it: `layers` is a list of mappings."""
    names = _names(graph)
    layers = []
    before: Node | None = None
    for node in graph.nodes:
        layers.append(_layer(node, names, before))
        before = node
    return {"name": graph.name, "input": list(graph.input), "layers": layers}


def text(graph: Graph) -> str:
    """The spec as YAML: what the reader should know first, then one line per layer."""
    said = document(graph)
    lines = [f"# {note}" for note in graph.notes]
    lines += [f"name: {scalar(said['name'])}", f"input: {flow(said['input'])}", "layers:"]
    for node, layer in zip(graph.nodes, said["layers"], strict=True):
        lines.append(f"  - {flow(layer)}" + (f"  # {node.comment}" if node.comment else ""))
    return "\n".join(lines) + "\n"


def _layer(node: Node, names: dict[int, str], before: Node | None) -> dict[str, Any]:
    said: dict[str, Any] = {"name": names[id(node)]}
    said |= {"shares": names[id(node.shares)]} if node.shares else {"type": node.type, **node.fields}
    if node.sources and node.sources != (before,):
        sources = ["input" if source is None else names[id(source)] for source in node.sources]
        said["from"] = sources[0] if len(sources) == 1 else sources
    return said


def _names(graph: Graph) -> dict[int, str]:
    """A name for every node that no other has: its module's path, where that is enough, or the path and a word."""
    wanted = [_wanted(node) for node in graph.nodes]
    reserved = {*wanted, "input"}
    turns: Counter[str] = Counter({"input": 1})
    names: dict[int, str] = {}
    for node, want in zip(graph.nodes, wanted, strict=True):
        turns[want] += 1
        name = want
        while turns[want] > 1:
            name = f"{want}_{turns[want]}"
            if name not in reserved:
                break
            turns[want] += 1
        reserved.add(name)
        names[id(node)] = name
    return names


def _wanted(node: Node) -> str:
    word = node.word or node.type.lower()
    if node.alone and node.place:
        return node.place
    return f"{node.place}.{word}" if node.place else word
