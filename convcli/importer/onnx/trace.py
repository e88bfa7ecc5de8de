"""What has been read so far: what every name of the file stands for, and who owns which weight."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import msgspec
import numpy as np

from convcli.errors import SpecError
from convcli.importer.graph import Graph, Node, Shape
from convcli.layers import Layer
from convcli.spec.build import entry


class Value(msgspec.Struct, eq=False):
    """A tensor of the file. node: the layer that it comes out of; None is the network's input, or what is there.

    there: it depends on no input. numbers: what is in it, where that is small and known. weight: the name of the tensor
    of the file whose elements these are, and nothing else. learned: it counts as a parameter when it enters a layer as
    it is.
    """

    shape: Shape
    node: Node | None = None
    there: bool = False
    numbers: Any = None
    weight: str = ""
    learned: bool = False

    @property
    def integers(self) -> tuple[int, ...]:
        """The numbers in a row; Refused when nobody knows them."""
        if self.numbers is None:
            raise Refused("a size that depends on data")
        return tuple(int(n) for n in np.asarray(self.numbers).reshape(-1))

    @property
    def number(self) -> bool:
        """Whether it is one number that is no parameter."""
        return self.there and not self.learned and prod(self.shape) == 1


class Refused(Exception):  # noqa: N818 - what became of an operator
    """An operator cannot be said as layers; the message says why."""


class Misfit(Refused):
    """convcli's layer does not take what reaches it."""


class Trace:
    """The graph that grows."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, Value | None] = {}  # None: nobody knows its shape
        self.inferred: dict[str, Shape] = {}
        self.owner: dict[str, Node] = {}
        self.sizes: dict[str, int] = {}
        self.place: tuple[str, str] = ("", "")  # of the operator that is being read, and what it is called there
        self._listed: dict[Any, Node] = {}
        self._shapes: dict[Any, Shape | str] = {}

    def add(
        self, type_: str, fields: dict[str, Any], inputs: Sequence[Value], *, weights: dict[str, str] | None = None,
        shares: Node | None = None, word: str = "",
    ) -> Value:  # fmt: skip
        """What comes out of a new layer. Raises Misfit when convcli's layer does not take these inputs."""
        out = self._shape(type_, fields, tuple(x.shape for x in inputs))
        sources = tuple(self.source(x) for x in inputs)
        place, called = self.place
        node = Node(type_, fields, sources, out, place, word or called or type_.lower(), weights=weights or {})
        node.shares = shares
        for name in node.weights.values():
            self.owner.setdefault(name, node)
        self.graph.nodes.append(node)
        return Value(out, node)

    def source(self, x: Value) -> Node | None:
        """What x comes out of: a layer, the input (None), or a tensor that is there, which is listed now."""
        if x.node is not None or not x.there:
            return x.node
        key = (x.weight, x.shape) if x.weight else id(x)
        if key not in self._listed:
            learned = x.learned and x.weight not in self.owner
            node = Node(
                "Parameter" if learned else "Constant", {"shape": x.shape}, (), x.shape, word=x.weight or "constant"
            )
            if learned:
                node.weights = {"weight": x.weight}
                self.owner[x.weight] = node
            self.graph.nodes.append(node)
            self._listed[key] = node
            x.node = node if not x.weight else None  # a value without a name is kept from being forgotten
        return self._listed[key]

    def layer(
        self, type_: str, fields: dict[str, Any], inputs: Sequence[Value], tensors: dict[str, Value]
    ) -> Value | None:
        """What comes out of a layer that owns `tensors`, or uses a layer's again; None when they are not its own.

        A matrix tells whose they are: exporters keep vectors with equal numbers once, so that biases of zeros are one.
        """
        told = {key: x.weight for key, x in tensors.items()}
        if not all(told.values()):
            return None
        ranks = [len(x.shape) for x in tensors.values()]
        telling = [name for name, rank in zip(told.values(), ranks, strict=True) if rank > 1 or max(ranks) < 2]
        owners = {name: self.owner[name] for name in telling if name in self.owner}
        taken = [node for node in owners.values() if not node.source]
        if taken and not (taken[0].fields == fields and taken[0].weights == told and taken[0].type == type_):
            return None
        out = self.add(type_, fields, inputs, weights={} if taken else told, shares=taken[0] if taken else None)
        for name, node in owners.items():
            if node.source and out.node:  # it was listed as a tensor of its own: now it is counted here
                node.type, node.weights, self.owner[name] = "Constant", {}, out.node
        return out

    def rearranged(self, x: Value, shape: Shape, *others: Value, word: str = "") -> Value:
        """Some of the elements of x (and of others) in another shape; x itself when it has that shape and is alone."""
        return self.add("Rearrange", {"shape": shape}, [x, *others], word=word)

    def reshaped(self, x: Value, shape: Shape) -> Value:
        """The elements of x in another shape; x itself when it has that one."""
        return x if x.shape == shape else self.add("Reshape", {"shape": shape}, [x])

    def _shape(self, type_: str, fields: dict[str, Any], inputs: tuple[Shape, ...]) -> Shape:
        key = (type_, repr(fields), inputs)
        if key not in self._shapes:
            try:
                self._shapes[key] = _made({"type": type_, **fields}, inputs).output_shape(*inputs)
            except SpecError as error:
                self._shapes[key] = error.problems[0].message
        found = self._shapes[key]
        if isinstance(found, str):
            raise Misfit(found)
        return found


def _made(fields: dict[str, Any], inputs: Sequence[Shape]) -> Layer:
    return entry(fields, 1).made(max(1, len(inputs[0]) - 2) if inputs else 1)
