"""Layers of several inputs: element by element, or one behind the other."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Self

import msgspec

from convcli.errors import SpecError
from convcli.layers.base import MANY, Counts, Shape
from convcli.layers.companion import Companion, Way, dimension
from convcli.layers.linear import broadcast
from convcli.reach import SAME, All


class Arithmetic(Companion, frozen=True, kw_only=True):
    """y = x1 + x2 + ..., or their product, difference, quotient, largest; shapes broadcast."""

    kind: ClassVar[str] = "arithmetic"
    arity: ClassVar[tuple[int, int]] = (2, MANY)
    function: str = "add"

    def output(self, x: Shape) -> Shape:
        """What all inputs fill."""
        del x
        return broadcast(self.inputs)

    def way(self, which: int, place: int) -> Way | None:
        """An axis of 1 that stretches is the same everywhere."""
        size, out = self.inputs[which][place], self.output(())
        there = place + len(out) - len(self.inputs[which])
        return Way(All(1), None) if size == 1 and out[there] != 1 else Way(SAME, there)

    def counts(self, x: Shape, batch: int) -> Counts:
        """One operation per element for every input but the first."""
        return Counts(0, 0, 0, 0, elementwise_flops=batch * prod(self.output(x)) * (len(self.inputs) - 1))


class Concat(Companion, frozen=True, kw_only=True):
    """The inputs one behind the other along `dim`, the channels' axis when it is not said."""

    kind: ClassVar[str] = "concat"
    arity: ClassVar[tuple[int, int]] = (1, MANY)
    dim: int | None = None

    def joined(self, shapes: tuple[Shape, ...], *, channels_last: bool) -> Self:
        """With its `inputs`, and the axis."""
        dim = (-1 if channels_last else 1) if self.dim is None else self.dim
        return msgspec.structs.replace(self, inputs=shapes, dim=dim)

    def _at(self, x: Shape) -> int:
        return dimension("dim", 1 if self.dim is None else self.dim, len(x))

    def output(self, x: Shape) -> Shape:
        """The sizes add up along `dim` and are equal elsewhere."""
        at = self._at(x)
        for other in self.inputs:
            if len(other) != len(x) or any(
                a != b for place, (a, b) in enumerate(zip(x, other, strict=True)) if place != at
            ):
                raise SpecError(
                    f"{list(other)} does not fit behind {list(x)} along axis {at}",
                    field="from",
                    allowed=f"shapes that are equal but for axis {at}",
                )
        return (*x[:at], sum(shape[at] for shape in self.inputs), *x[at + 1 :])

    def way(self, which: int, place: int) -> Way | None:
        """Each input keeps its cells, unless it is one behind the other that they lie."""
        x = self.inputs[which]
        behind = place == self._at(x) and len(self.inputs) > 1
        return Way(SAME, place, merged=x[place]) if behind else Way(SAME, place)
