"""What an import finds, before it has names: operations and what feeds them. Recorders fill it, `document` writes."""

from __future__ import annotations

from typing import Any

import msgspec

Shape = tuple[int, ...]


class Node(msgspec.Struct, eq=False):
    """One layer. `type` and `fields` are the spec's own words; a source of None is the network's input.

    shape: what comes out, as the recorder saw it. weights: the layer's tensors and the full names of the parameters
    that they are. place: the path of the module that it is in; alone: the module has no other layer, its name serves.
    word: what it is called there, when the path does not say. comment: what the reader of the spec should know.
    """

    type: str
    fields: dict[str, Any]
    sources: tuple[Node | None, ...]
    shape: Shape
    place: str = ""
    word: str = ""
    alone: bool = False
    weights: dict[str, str] = {}
    shares: Node | None = None
    comment: str = ""

    @property
    def source(self) -> bool:
        """Whether it takes no input: a tensor that is there."""
        return self.type in {"Parameter", "Constant"}


class Graph(msgspec.Struct):
    """A network: its layers in the order in which they are worked out, each behind what feeds it.

    params: how many parameters the model says it has, None when it does not. notes: what is not as one might think.
    """

    name: str
    input: Shape
    nodes: list[Node] = []
    outputs: list[Node] = []
    params: int | None = None
    notes: list[str] = []


FREE = frozenset({"Reshape", "Permute", "Rearrange", "Flatten", "Constant", "Identity"})


def pruned(graph: Graph) -> Graph:
    """The same without what costs nothing and feeds nothing."""
    used = {id(node) for node in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if id(node) in used or node.type not in FREE:
            kept.append(node)
            used.update(id(source) for source in node.sources if source is not None)
            used.update({id(node.shares)} if node.shares else ())
    return msgspec.structs.replace(graph, nodes=kept[::-1])
