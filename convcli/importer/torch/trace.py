"""What has been recorded so far: which node every tensor came out of, and who owns which parameter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any, NamedTuple

import torch

from convcli.importer.graph import Graph, Node, Shape
from convcli.importer.torch.ghost import tensors

PRODUCTS = frozenset({"matmul", "bmm", "mm", "einsum", "linear", "addmm", "baddbmm", "conv1d", "conv2d", "conv3d",
                      "convolution", "scaled_dot_product_attention", "__matmul__"})  # fmt: skip


class Call(NamedTuple):
    """One call of a function of torch: its name, what it took, what it gave."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    def get(self, place: int, word: str, default: Any = None) -> Any:
        """The argument at `place`, or of that name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(word, default)

    @property
    def x(self) -> torch.Tensor:
        """The first argument."""
        found: torch.Tensor = self.args[0] if self.args else next(tensors(self.kwargs))
        return found


class Where(NamedTuple):
    """A call of a module: its path, and whether it has modules of its own."""

    path: str = ""
    leaf: bool = False
    nodes: list[Node] | None = None


class Trace:
    """The graph that grows. A tensor is told by its identity; all are kept, so that none takes another's place."""

    def __init__(self, graph: Graph, model: torch.nn.Module, *, real: bool = False):
        self.graph, self.real = graph, real
        self.made: dict[int, Node | None] = {}
        self.params: dict[int, str] = {}
        self.constants: dict[int, str] = {}
        self.listed: dict[int, Node] = {}  # the Constant nodes, by tensor
        self.owner: dict[str, Node] = {}
        self.tables: dict[str, Node] = {}  # the Parameter nodes, by the parameters' names
        self.fed: set[int] = set()  # the nodes that depend on the network's input
        self.modules: list[Where] = [Where()]
        self._keep: list[object] = []
        for name, param in model.named_parameters():
            self.keep(param, self.params, name)
        for name, buffer in model.named_buffers():
            self.keep(buffer, self.constants, name)
        for module in model.modules():
            for x in tensors({k: v for k, v in vars(module).items() if not k.startswith("_")}):
                if id(x) not in self.params and id(x) not in self.constants:
                    self.keep(x, self.constants, "constant")

    def keep(self, x: torch.Tensor, table: dict[int, Any], value: Any) -> None:
        """x stands in `table` from now on."""
        self._keep.append(x)
        table[id(x)] = value

    def gives(self, x: torch.Tensor, node: Node | None) -> None:
        """x comes out of `node`; None is the network's input."""
        self.constants.pop(id(x), None)
        self.keep(x, self.made, node)

    def constant(self, x: torch.Tensor) -> bool:
        """Whether x depends on neither the input nor a parameter."""
        if id(x) in self.made or id(x) in self.params:
            return False
        if id(x) not in self.constants and (self.real or x.device.type == "meta"):  # it came about unseen
            self.gives(x, self.add("Unknown", {"operation": "untracked", "shape": shape(x)}, (), shape(x)))
            return False
        return True

    def free(self, key: str | None, args: object, kwargs: object) -> bool:
        """Whether a call of `key` makes a constant of constants; products are listed, whatever they are of."""
        given = list(tensors((args, kwargs)))
        return (key not in PRODUCTS or not given) and all(map(self.constant, given))

    def same(self, out: torch.Tensor, x: torch.Tensor) -> None:
        """`out` holds what x holds."""
        for table in (self.made, self.params, self.constants):
            if id(x) in table:
                self.keep(out, table, table[id(x)])

    def node(self, x: torch.Tensor) -> Node | None:
        """What x came out of: a layer, the input (None), or a tensor that was there, which is listed now."""
        if id(x) in self.made:
            return self.made[id(x)]
        if name := self.params.get(id(x)):
            if name not in self.tables:
                type_ = "Constant" if name in self.owner else "Parameter"
                self.tables[name] = self._there(type_, x, name)
                if type_ == "Parameter":
                    self.owner[name] = self.tables[name]
                    self.tables[name].weights = {"weight": name}
            return self.tables[name]
        if id(x) not in self.listed:
            self.keep(x, self.listed, self._there("Constant", x, self.constants.get(id(x)) or "constant"))
        return self.listed[id(x)]

    def _there(self, type_: str, x: torch.Tensor, name: str) -> Node:
        node = Node(type_, {"shape": shape(x)}, (), shape(x), word=name)
        self.graph.nodes.append(node)
        return node

    def add(
        self,
        type_: str,
        fields: dict[str, Any],
        inputs: Iterable[torch.Tensor | Node | None],
        out: Shape,
        word: str = "",
        weights: dict[str, str] | None = None,
    ) -> Node:
        """A new layer, fed by tensors or nodes (None: the network's input)."""
        sources = tuple(self.node(x) if isinstance(x, torch.Tensor) else x for x in inputs)
        here = self.modules[-1]
        node = Node(type_, fields, sources, out, here.path, word or type_.lower(), weights=weights or {})
        for name in node.weights.values():
            self.owner.setdefault(name, node)
        if any(source is None or id(source) in self.fed for source in sources):
            self.fed.add(id(node))
        self.graph.nodes.append(node)
        if here.nodes is not None:
            here.nodes.append(node)
        return node

    def leave(self) -> None:
        """A module's call is over: when one layer was all of it, the module's name is the layer's."""
        here = self.modules.pop()
        weighty = [node for node in here.nodes or () if node.weights or node.shares]
        alone = weighty if len(weighty) == 1 else here.nodes or []
        if here.leaf and len(alone) == 1:
            alone[0].alone = True

    def origins(self, x: torch.Tensor) -> Iterator[str]:
        """The parameters that x was worked out from, the nearest first; none when the input has a part in it."""
        start = self.made.get(id(x))
        if start is None or id(start) in self.fed:
            return
        seen, line = {id(start)}, [start]
        for node in line:
            if node.type == "Parameter":
                yield next(iter(node.weights.values()))
            for source in node.sources:
                if source is not None and id(source) not in seen:
                    seen.add(id(source))
                    line.append(source)


def shape(x: torch.Tensor) -> Shape:
    """Its sizes as plain numbers."""
    return tuple(map(int, x.shape))


def elements(x: torch.Tensor) -> int:
    """How many there are."""
    return prod(shape(x))
