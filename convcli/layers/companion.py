"""The layers between the convolutions of a network: no products of their own, or a plain matrix product.

Most of them take tensors of any shape, so x is the whole shape, (N, ...), and the batch is no factor. Those that work
along spatial axes (pools, batch norm) see (channels, *space) like convolutions do.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar, NamedTuple, Self

import msgspec

from convcli.axis import LARGEST, Axis, whole
from convcli.errors import SpecError
from convcli.layers.base import Counts, Layer, Shape, split_batch
from convcli.reach import SAME, Link


class Way(NamedTuple):
    """A link, and the axis of the output that the cells lie along: None when all of it sees the same.

    merged: so many cells lie along it together with others.
    """

    link: Link
    place: int | None
    merged: int = 0


class Companion(Layer, frozen=True, kw_only=True):
    """y has x's shape, there are no parameters, nothing is worked out: what a companion states otherwise, it overrides.

    inputs: the shapes of everything it takes, known once it is settled in a network.
    """

    kind: ClassVar[str] = "companion"
    spatial: ClassVar[bool] = False
    axes: tuple[Axis, ...] = ()
    inputs: tuple[Shape, ...] = ()

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """((), the whole shape)."""
        for size in shape:
            if type(size) is not int or not 0 <= size <= LARGEST:
                whole("input", size, least=0)
        return (), tuple(shape)

    def joined(self, shapes: tuple[Shape, ...], *, channels_last: bool) -> Self:
        """The same layer with its `inputs`."""
        del channels_last
        return msgspec.structs.replace(self, inputs=shapes)

    def settled(self, x: Shape) -> Self:
        """Nothing waits for the input, unless a kind says so."""
        del x
        return self

    def output(self, x: Shape) -> Shape:
        """x's shape."""
        return x

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """None."""
        del x
        return {}

    def counts(self, x: Shape, batch: int) -> Counts:
        """No products; `operations` for every element."""
        return Counts(0, 0, 0, 0, elementwise_flops=self.operations * batch * prod(self.output(x)))

    @property
    def operations(self) -> int:
        """Elementary operations per element of the output."""
        return 0

    def side_inputs(self, x: Shape) -> dict[str, Shape]:
        """The inputs after the first."""
        del x
        return {f"x{place}": shape for place, shape in enumerate(self.inputs[1:], 2)}

    def links(self, x: Shape) -> tuple[Link, ...]:
        """Each output cell sees what its input cell saw."""
        del x
        return (SAME,) * self.rank

    def way(self, which: int, place: int) -> Way | None:
        """How the cells along axis `place` of its input number `which` are read; None where nobody can tell by axes.

        Asked of the layers that take whole shapes; `links` of those that work along spatial axes.
        """
        del which
        return Way(SAME, place)


class Channelled(Companion, frozen=True, kw_only=True):
    """A companion of x (channels, *space) with any number of spatial axes; what comes before is the batch."""

    kind: ClassVar[str] = ""
    spatial: ClassVar[bool] = True
    dims: int = 0

    @property
    def rank(self) -> int:
        """The number of spatial axes, told by the input."""
        return self.dims

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """(N,), (C, *space)"""
        if len(shape) < 2:
            raise SpecError(f"the input {list(shape)} has {len(shape)} axes", field="input", allowed="at least 2: N, C")
        return split_batch(shape, len(shape) - 2)

    def settled(self, x: Shape) -> Self:
        """The number of spatial axes."""
        return msgspec.structs.replace(self, dims=max(0, len(x) - 1))


class Blind(Companion, frozen=True, kw_only=True):
    """A companion of whose output's cells nobody can tell by axes what they see."""

    kind: ClassVar[str] = ""

    def way(self, which: int, place: int) -> Way | None:
        """Lost."""
        del which, place
        return None


def dimension(field: str, dim: int, rank: int) -> int:
    """`dim` counted from the front; SpecError names `field` when a tensor of `rank` axes has none such."""
    if not -rank <= dim < rank:
        raise SpecError(
            f"{field}={dim}, but the input has {rank} axes",
            field=field,
            allowed=f"{-rank} to {rank - 1}" if rank else "",
        )
    return dim % rank


def must_be(field: str, said: int | None, found: int, what: str) -> int:
    """`found`; SpecError when the layer says another number."""
    if said is not None and said != found:
        raise SpecError(
            f"{field}={said}, but the input has {found} {what}", field=field, allowed=f"{found}, or leave it out"
        )
    return found
