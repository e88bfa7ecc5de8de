"""Through the operators of a graph, in order: each becomes layers, a number that is known, or an `Unknown`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import prod
from typing import Any

from onnx import GraphProto, NodeProto, helper

from convcli.errors import SpecError
from convcli.importer.graph import Graph, Node, Shape
from convcli.importer.onnx import moves, pointwise, products, weights
from convcli.importer.onnx.fold import constant, folded, tensor
from convcli.importer.onnx.names import place_of
from convcli.importer.onnx.table import TABLE, Op
from convcli.importer.onnx.trace import Misfit, Refused, Trace, Value

HANDLERS = (moves, pointwise, products, weights)  # importing them has filled the table


class Walk:
    """One reading of a graph."""

    def __init__(self, graph: Graph, inputs: dict[str, Shape], inferred: dict[str, Shape], opset: int) -> None:
        self.trace, self.opset = Trace(graph), opset
        self.trace.inferred = inferred
        self.readers: dict[str, list[NodeProto]] = defaultdict(list)
        self.results: set[str] = set()
        self.lost: list[str] = []  # the operators of whose results nobody knows the shapes
        for place, (name, shape) in enumerate(inputs.items()):
            self.trace.values[name] = Value(shape)
            if place:
                node = Node("Constant", {"shape": shape}, (), shape, word=name, comment="an input")
                graph.nodes.append(node)
                self.trace.values[name] = Value(shape, node)

    def through(self, graph: GraphProto) -> list[Node]:
        """All of the graph; the layers that its outputs come from."""
        for held in graph.initializer:
            value = tensor(held, learned=True)
            self.trace.values[held.name] = value
        for held in graph.sparse_initializer:
            shape = tuple(held.dims)
            self.trace.values[held.values.name] = Value(shape, there=True, weight=held.values.name, learned=True)
        nodes = list(graph.node)
        self.results |= {output.name for output in graph.output}
        for node in nodes:
            for name in _read(node):
                self.readers[name].append(node)
        for node in nodes:
            if not all(name in self.trace.values for name in node.output if name):
                self._read(node)
        found = (self.trace.values.get(output.name) for output in graph.output)
        return [value.node for value in found if value is not None and value.node is not None]

    def _read(self, proto: NodeProto) -> None:
        where = f"{proto.op_type} {proto.name!r}" if proto.name else proto.op_type
        for name in _read(proto):
            if name not in self.trace.values:
                raise SpecError(f"{where} takes {name!r}, which nothing before it gives", allowed="a graph in order")
        inputs = [self.trace.values[name] if name else None for name in proto.input]
        told = {one.name: _text(helper.get_attribute_value(one)) for one in proto.attribute if not one.ref_attr_name}
        op = Op(self.trace, proto, inputs, told, self.opset, lambda size: self._bias(proto, size))
        self.trace.place = place_of(proto)
        if any(name and self.trace.values[name] is None for name in proto.input):
            self._unknown(op, "takes what depends on data")
            return
        if op.name == "If" and self._branch(op):
            return
        count = len(self.trace.graph.nodes)
        try:
            self._gives(op, self._found(op))
        except Refused as error:
            if isinstance(error, Misfit) and proto.output[0] not in self.trace.inferred:
                raise SpecError(f"{where}: {error}", allowed="an input that the network takes") from None
            kept = [node for node in self.trace.graph.nodes[count:] if node.source]
            self._forget(self.trace.graph.nodes[count:])
            self.trace.graph.nodes[count:] = kept
            self._unknown(op, str(error))

    def _found(self, op: Op) -> list[Value]:
        """What comes out of an operator. Raises Refused."""
        try:
            found: Value | list[Value] | None = constant(op) or moves.passed(op) or folded(op)
            if found is None:
                handler = TABLE.get(op.name)
                found = handler(op) if handler else None
        except (IndexError, TypeError, ValueError, ZeroDivisionError, KeyError, AttributeError, OverflowError) as error:
            raise Refused(f"cannot be worked out: {error}") from error
        if found is None:
            raise Refused("" if op.name not in TABLE else "its weights are another layer's, or worked out")
        values = found if isinstance(found, list) else [found]
        shape = self.trace.inferred.get(op.proto.output[0])
        if shape is not None and shape != values[0].shape:
            raise Refused(f"{list(values[0].shape)} here, {list(shape)} for ONNX")
        return values

    def _gives(self, op: Op, values: list[Value]) -> None:
        """The results get their names; one that no value is for comes out of the same layer."""
        for place, name in enumerate(op.proto.output):
            if place < len(values):
                self.trace.values[name] = values[place]
            elif name and self._wanted(name):
                shape = self.trace.inferred.get(name)
                self.trace.values[name] = None if shape is None else self.trace.rearranged(values[0], shape)

    def _wanted(self, name: str) -> bool:
        """Whether anything reads it."""
        return name in self.results or bool(self.readers[name])

    def _forget(self, nodes: Iterable[Node]) -> None:
        """The weights of layers that are taken back are nobody's again."""
        gone = {id(node) for node in nodes if not node.source}
        self.trace.owner = {name: node for name, node in self.trace.owner.items() if id(node) not in gone}

    def _unknown(self, op: Op, reason: str) -> None:
        """A layer that nobody knows the cost of; what it gives is lost where nobody knows its shape, either."""
        given = [x for x in op.inputs if x is not None]
        held = {x.weight: x for x in given if x.weight and x.learned and x.weight not in self.trace.owner}
        inputs = [x for x in given if x.weight not in held and not x.there]
        first = True
        for name in op.proto.output:
            shape = self.trace.inferred.get(name)
            if not first and (shape is None or not self._wanted(name)):
                self.trace.values[name] = None
                continue
            self.lost += [op.name] if shape is None else []
            fields: dict[str, Any] = {"operation": op.name, "shape": shape or ()}
            if held:
                fields["tensors"] = {key: list(x.shape) for key, x in held.items()}
            value = self.trace.add("Unknown", fields, inputs, weights={key: key for key in held}, word=op.name.lower())
            if value.node:
                value.node.comment = reason if first else "another result of it"
            self.trace.values[name] = value if shape is not None else None
            held, first = {}, False

    def _branch(self, op: Op) -> bool:
        """An If whose condition is known is the branch that it takes."""
        condition = op.x.numbers
        if condition is None:
            return False
        branch: GraphProto = op.attr("then_branch" if bool(condition.reshape(-1)[0]) else "else_branch")
        self.through(branch)
        for name, output in zip(op.proto.output, branch.output, strict=True):
            self.trace.values[name] = self.trace.values.get(output.name)
        return True

    def _bias(self, proto: NodeProto, size: int) -> tuple[Value, str] | None:
        """The vector that the only reader of a result adds to it, and the name of the sum."""
        out = proto.output[0]
        readers = self.readers[out]
        if out in self.results or len(readers) != 1 or readers[0].op_type != "Add":
            return None
        other = [name for name in readers[0].input if name != out]
        value = self.trace.values.get(other[0]) if len(other) == 1 else None
        fits = value is not None and value.weight and value.shape == (size,)
        return (value, readers[0].output[0]) if value is not None and fits else None


def _read(node: NodeProto) -> Iterable[str]:
    """The names that an operator reads, its own graphs left aside."""
    return [name for name in node.input if name]


def _text(said: object) -> object:
    """An attribute's value, a text as a text."""
    if isinstance(said, bytes):
        return said.decode("utf-8", "replace")
    return said


def sizes_of(trace: Trace) -> dict[str, int]:
    """The elements of every weight, by name."""
    return {value.weight: prod(value.shape) for value in trace.values.values() if value is not None and value.weight}
