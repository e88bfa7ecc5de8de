"""A Graph held against convcli's own layers: each must give the shape and own the parameters that were seen."""

from __future__ import annotations

from math import prod
from typing import Any

from convcli.errors import SpecError
from convcli.importer.graph import Graph, Node
from convcli.spec.build import entry


def settled(graph: Graph, sizes: dict[str, int]) -> Graph:
    """The graph, every layer in it one that convcli works out as the recorder saw it; others become `Unknown`.

    sizes: the elements of every parameter by its full name. The totals' parameters are compared with the model's.
    """
    seen = dict[tuple[Any, ...], str]()
    for node in graph.nodes:
        inputs = tuple(graph.input if source is None else source.shape for source in node.sources)
        owned = None if node.shares else sum(sizes[name] for name in node.weights.values())
        key = (node.type, repr(node.fields), inputs, node.shape, owned)
        wrong = seen.get(key)
        if wrong is None:
            wrong = seen[key] = _wrong(node, inputs, owned)
        if wrong:
            _replace(node, sizes, wrong)
    total = sum(_params(node, sizes) for node in graph.nodes)
    if graph.params is not None and total != graph.params:
        graph.notes.append(f"the layers have {total:,} parameters, the model says {graph.params:,}")
    return graph


def _wrong(node: Node, inputs: tuple[tuple[int, ...], ...], owned: int | None) -> str:
    """What convcli sees otherwise than the recorder did; "" where they agree."""
    try:
        layer = entry({"type": node.type, **node.fields}, 1).made(max(1, len(inputs[0]) - 2) if inputs else 1)
        out, params = layer.output_shape(*inputs), layer.params(*inputs)
    except SpecError as error:
        return error.problems[0].message
    if out != tuple(node.shape):
        return f"{node.type} gives {list(out)}"
    return "" if owned is None or params == owned else f"{node.type} has {params:,} parameters"


def _params(node: Node, sizes: dict[str, int]) -> int:
    if node.type == "Parameter":
        return prod(node.shape)
    return 0 if node.shares else sum(sizes[name] for name in node.weights.values())


def _replace(node: Node, sizes: dict[str, int], wrong: str) -> None:
    """The node as an `Unknown` that owns the same parameters."""
    tensors = {} if node.shares else {key: [sizes[name]] for key, name in node.weights.items()}
    node.fields = {"operation": node.type, "shape": node.shape, **({"tensors": tensors} if tensors else {})}
    node.type, node.shares, node.comment = "Unknown", None, wrong
