"""What takes no input, and what nobody knows the cost of."""

from __future__ import annotations

from typing import ClassVar

from convcli.layers.base import MANY, Counts, Shape
from convcli.layers.companion import Blind, Companion


class Parameter(Companion, frozen=True, kw_only=True):
    """A tensor that is learned and enters as it is: a class token, a position's embedding, a layer's scale."""

    kind: ClassVar[str] = "parameter"
    arity: ClassVar[tuple[int, int]] = (0, 0)
    shape: tuple[int, ...]
    learned: bool = True

    def output(self, x: Shape) -> Shape:
        """Its own shape."""
        del x
        return self.shape

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """Itself, unless it is a constant."""
        del x
        return {"weight": self.shape} if self.learned else {}


class Unknown(Blind, frozen=True, kw_only=True):
    """An operation whose cost nobody has stated: its output is as it says, the totals become lower bounds."""

    kind: ClassVar[str] = "unknown"
    arity: ClassVar[tuple[int, int]] = (0, MANY)
    known: ClassVar[bool] = False
    operation: str
    shape: tuple[int, ...]
    tensor_shapes: tuple[tuple[str, Shape], ...] = ()

    def output(self, x: Shape) -> Shape:
        """As it says."""
        del x
        return self.shape

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """As it says."""
        del x
        return dict(self.tensor_shapes)

    def counts(self, x: Shape, batch: int) -> Counts:
        """Nothing that is known of."""
        return Counts(0, 0, 0, 0)
