"""Composites only name their parts; their tensors, counts and outputs follow."""

from __future__ import annotations

from typing import ClassVar, Self

import msgspec

from convcli.layers.base import Counts, Layer, Shape, added
from convcli.reach import Link


class Composite(Layer, frozen=True, kw_only=True):
    """A layer that is its parts, one after the other."""

    kind: ClassVar[str] = ""

    def settled(self, x: Shape) -> Self:
        """The parts settle themselves; here only the channels are checked."""
        settled = msgspec.structs.replace(self, in_channels=self.settled_in_channels(x))
        settled.parts(x)
        return settled

    def output(self, x: Shape) -> Shape:
        """The last part's output."""
        *_, last = self.parts(x)
        return last.layer.output(last.x)

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """Every part's tensors as `part.tensor`."""
        return {
            f"{part.name}.{name}": shape for part in self.parts(x) for name, shape in part.layer.tensors(part.x).items()
        }

    def counts(self, x: Shape, batch: int) -> Counts:
        """The sum over the parts."""
        return added(tuple(part.layer.counts(part.x, batch) for part in self.parts(x)))

    def links(self, x: Shape) -> tuple[Link, ...]:
        """Those of the one part whose kernel has an extent."""
        raise TypeError(f"{type(self).__name__} does not state its links")
