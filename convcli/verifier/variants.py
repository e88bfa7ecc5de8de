"""The layer on inputs of other sizes: a kernel may be right on small, on square or on single images only."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import msgspec

from convcli.errors import SpecError
from convcli.layers import Layer, OnRoIs, Shape

if TYPE_CHECKING:
    from convcli.plan import Step

FEW_MACS, MANY_MACS, TIMES = 300_000, 20_000_000, 16  # what they may cost, beside the layer itself
LARGER = (67, 45, 33, 21, 14)


class Variant(msgspec.Struct, frozen=True):
    """The layer on another input."""

    batch: Shape
    x: Shape
    first: int = 1  # the first spatial axis of x

    @property
    def space(self) -> Shape:
        """The cells along each spatial axis."""
        return self.x[self.first :]

    @property
    def images(self) -> int:
        """How many, be they the batch or the first axis of x."""
        return prod(self.batch + self.x[: self.first - 1])

    @property
    def words(self) -> str:
        """2 of 9x12, or 9x12."""
        return (f"{self.images} of " if self.images > 1 else "") + "x".join(map(str, self.space))

    @property
    def square(self) -> bool:
        """All its axes are equally long."""
        return len(set(self.space)) == 1


def own_variant(step: Step) -> Variant:
    """The step's own input."""
    return Variant(step.batch, step.x, 2 if isinstance(step.layer, OnRoIs) else 1)


def variants(step: Step) -> list[Variant]:
    """A small square, a small oblong, a larger one, and two images where there is one: as far as they are legal."""
    layer, batch, x = step.layer, step.batch, step.x
    own = layer.counts(x, step.images).macs
    most = max(own, min(max(TIMES * own, FEW_MACS), MANY_MACS))
    first = own_variant(step).first
    rank, small = len(x) - first, max([3, *(axis.span + axis.stride for axis in layer.axes)]) + 2
    spaces = [(small,) * rank, tuple(small + 3 * axis for axis in range(rank))]
    spaces += [tuple(size + 2 * axis + 1 for axis in range(rank)) for size in LARGER]
    wanted = [Variant(batch, (*x[:first], *space), first) for space in spaces]
    if batch == (1,):
        wanted.insert(2, Variant((2,), wanted[0].x))
    elif first == 2 and x[0] == 1:
        wanted.insert(2, Variant(batch, (2, *wanted[0].x[1:]), first))
    found: list[Variant] = []
    for variant in wanted:
        large = len(found) and prod(variant.x) > prod(wanted[1].x)
        if variant == own_variant(step) or variant in found or (large and prod(variant.x) <= prod(x)):
            continue
        if _macs(layer, variant) <= most:
            found.append(variant)
            if large:
                break
    return found


def reason(right: list[Variant], wrong: list[Variant]) -> str:
    """What the inputs on which a kernel is right have in common, and the wrong ones have not."""
    said = f"right on {words(right)}, wrong on {words(wrong)}" if right else f"wrong on {words(wrong)} too"
    if not right:
        return said
    if all(v.images == 1 for v in right) and all(v.images > 1 for v in wrong):
        return f"right on one image only: {said}"
    if len(right[0].space) > 1 and all(v.square for v in right) and not any(v.square for v in wrong):
        return f"right on square inputs only: {said}"
    if max(prod(v.x) for v in right) < min(prod(v.x) for v in wrong):
        return f"right on small inputs only: {said}"
    return said


def words(found: list[Variant]) -> str:
    """9x9, 2 of 6x6"""
    return ", ".join(variant.words for variant in found)


def _macs(layer: Layer, variant: Variant) -> float:
    try:
        y = layer.output(variant.x)
    except SpecError:
        return float("inf")
    return layer.counts(variant.x, prod(variant.batch)).macs if prod(y) else float("inf")
