"""The operators of ONNX that are known, by name, and what a function of the table is given: one use of one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from onnx import NodeProto

from convcli.importer.graph import Shape
from convcli.importer.onnx.trace import Refused, Trace, Value


class Op(msgspec.Struct):
    """An operator at its place: what it takes (None: an input left out), what it is told, the opset it is of.

    bias: the learned vector that the only reader of the result adds to it, and the name of that sum.
    """

    trace: Trace
    proto: NodeProto
    inputs: list[Value | None]
    told: dict[str, Any]
    opset: int
    bias: Callable[[int], tuple[Value, str] | None] = lambda size: None  # noqa: ARG005

    @property
    def name(self) -> str:
        """ONNX' name of the operator, with its domain when that is not ONNX' own."""
        domain = self.proto.domain
        return self.proto.op_type if domain in {"", "ai.onnx"} else f"{domain}.{self.proto.op_type}"

    @property
    def x(self) -> Value:
        """The first input."""
        return self.input(0)

    def input(self, place: int) -> Value:
        """The input at `place`. Raises Refused when it was left out."""
        found = self.get(place)
        if found is None:
            raise Refused(f"{self.name} lacks input {place + 1}")
        return found

    def get(self, place: int) -> Value | None:
        """The input at `place`; None when it was left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def attr(self, name: str, default: Any = None) -> Any:
        """What it is told under that name."""
        return self.told.get(name, default)

    def numbers(self, name: str, place: int) -> tuple[int, ...] | None:
        """Whole numbers told by an attribute, as older opsets have it, or by an input; None for neither."""
        if name in self.told:
            return tuple(self.told[name])
        found = self.get(place)
        return None if found is None else found.integers

    @property
    def shape(self) -> Shape:
        """The first output's shape as ONNX itself finds it. Raises Refused when it does not."""
        found = self.trace.inferred.get(self.proto.output[0])
        if found is None:
            raise Refused("the shape of the result depends on data")
        return found


Handler = Callable[[Op], Value | list[Value] | None]  # what comes out; None: it cannot be said in layers
TABLE: dict[str, Handler] = {}


def on(*names: str) -> Callable[[Handler], Handler]:
    """The function below tells what operators of these names are."""

    def put(handler: Handler) -> Handler:
        TABLE.update(dict.fromkeys(names, handler))
        return handler

    return put
