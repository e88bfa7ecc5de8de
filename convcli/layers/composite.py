"""Composites only name their parts; their tensors, counts and outputs follow."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import ClassVar, Self

import msgspec

from convcli.layers.base import Counts, Layer, Part, Shape, added
from convcli.reach import Link


class Composite(Layer, frozen=True, kw_only=True):
    """A layer that is its parts, one after the other."""

    kind: ClassVar[str] = ""
    slides: ClassVar[int] = 0  # the part whose windows are the layer's

    @lru_cache(8)  # noqa: B019 - layers are values; settling, output and record ask for the same, one after the other
    def parts(self, x: Shape) -> tuple[Part, ...]:
        """What `chain` states."""
        return self.chain(x)

    def chain(self, x: Shape) -> tuple[Part, ...]:
        """The parts of an input x, in order."""
        raise TypeError(f"{type(self).__name__} does not state its parts")

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
        return added(tuple(part.layer.counts(part.x, prod(part.of((batch,)))) for part in self.parts(x)))

    def links(self, x: Shape) -> tuple[Link, ...]:
        """Those of the part that slides: another has a kernel of 1, or sees the same cells."""
        part = self.parts(x)[self.slides]
        return part.layer.links(part.x)
