"""Composites only name their parts; their tensors, counts and outputs follow."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Self

import msgspec

from convcli.layers.base import Counts, Field, Layer, Part, Shape, added


class Composite(Layer, frozen=True, kw_only=True):
    """A layer that is its parts, one after the other."""

    kind: ClassVar[str] = ""

    def settled(self, x: Shape) -> Self:
        """The parts settle themselves; here only the channels are checked."""
        settled = msgspec.structs.replace(self, in_channels=self.settled_in_channels(x))
        _parts(settled, x)
        return settled

    def output(self, x: Shape) -> Shape:
        """The last part's output."""
        *_, last = _parts(self, x)
        return last.layer.output(last.x)

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """Every part's tensors as `part.tensor`."""
        return {
            f"{part.name}.{name}": shape
            for part in _parts(self, x)
            for name, shape in part.layer.tensors(part.x).items()
        }

    def counts(self, x: Shape, batch: int) -> Counts:
        """The sum over the parts."""
        return added(tuple(part.layer.counts(part.x, batch) for part in _parts(self, x)))

    def reach(self, x: Shape, field: Field) -> Field | None:
        """Through every part in turn."""
        found: Field | None = field
        for part in _parts(self, x):
            found = found and part.layer.reach(part.x, found)
        return found


@lru_cache(8)  # settling, output and field of a layer ask for the same parts, one right after the other
def _parts(layer: Composite, x: Shape) -> tuple[Part, ...]:
    return layer.parts(x)
