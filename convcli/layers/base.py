"""What every layer kind states: its output, the tensors it owns, its products. Everything else is derived.

Inside, a shape is (channels, *space) and the batch is a factor. The public methods of `Layer` take PyTorch's shapes,
with the batch axis or without, and settle the batch at the door.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import Any, ClassVar

import msgspec

from convcli.axis import LARGEST, Axis, whole
from convcli.errors import SpecError
from convcli.reach import Link, Reach, Window

Shape = tuple[int, ...]
Field = tuple[Reach, ...]
MANY = 2**31  # inputs of a join that takes any number


class Counts(msgspec.Struct, frozen=True):
    """Products and sums of one forward pass, for the whole batch. None: the kind has no such number.

    macs: the textbook's and torch's dense number. macs_nonpad: products whose input cell exists. bias_adds: one per
    output element of a layer with bias. sums: output elements that add products up, for the strict convention.
    elementwise_flops: what a companion works out besides products, one operation per element and function.
    """

    macs: int
    macs_nonpad: int
    bias_adds: int
    sums: int
    macs_kept: int | None = None
    macs_zero_insert: int | None = None
    interpolation_macs: int | None = None
    modulation_macs: int | None = None
    coordinate_flops: int | None = None
    elementwise_flops: int | None = None

    def flops(self, convention: str = "dense") -> int:
        """dense: 2 * macs. strict: (2*terms - 1 + bias) per output, a transposed layer's terms being those it keeps."""
        if convention == "dense":
            return 2 * self.macs
        terms = self.macs if self.macs_kept is None else self.macs_kept
        return 2 * terms - self.sums + self.bias_adds


def added(counts: tuple[Counts, ...]) -> Counts:
    """The sum of several layers' counts; a number that only some of them have is summed over those."""
    sums: dict[str, int | None] = {}
    for name in Counts.__struct_fields__:
        known = [value for value in (getattr(count, name) for count in counts) if value is not None]
        sums[name] = sum(known) if known else None
    return msgspec.convert(sums, Counts)


class Part(msgspec.Struct, frozen=True):
    """A named layer inside a composite, with the input that reaches it. batch: its own, where it is not the whole's."""

    name: str
    layer: Layer
    x: Shape
    batch: Shape | None = None

    def __iter__(self) -> Iterator[Any]:
        """(name, layer, x)"""
        return iter((self.name, self.layer, self.x))

    def of(self, batch: Shape) -> Shape:
        """Its batch, inside a composite that has this one."""
        return batch if self.batch is None else self.batch


class Layer(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """A layer of some kind. Fields may wait for the input (None, automatic padding) until `settled` fills them in."""

    kind: ClassVar[str]
    arity: ClassVar[tuple[int, int]] = (1, 1)  # the fewest and the most inputs that it takes
    spatial: ClassVar[bool] = True  # whether x is (channels, *space), apart from the batch; else it is the whole shape
    known: ClassVar[bool] = True  # whether anybody knows what it costs
    axes: tuple[Axis, ...]
    in_channels: int | None = None

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.axes)

    def settled(self, x: Shape) -> Layer:
        """The same layer with every field a number for an input x; SpecError when it cannot take x."""
        raise TypeError(f"{type(self).__name__} does not say how it settles")

    # What a kind states, of a settled layer.

    def output(self, x: Shape) -> Shape:
        """(channels, *space) of the output."""
        raise TypeError(f"{type(self).__name__} does not state its output")

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """The tensors the layer owns, named as PyTorch names them, with their shapes."""
        raise TypeError(f"{type(self).__name__} does not state its tensors")

    def counts(self, x: Shape, batch: int) -> Counts:
        """The products of one forward pass over `batch` images."""
        raise TypeError(f"{type(self).__name__} does not state its counts")

    def parts(self, x: Shape) -> tuple[Part, ...]:
        """The layers a composite consists of, in order; none for a primitive."""
        del x
        return ()

    def side_inputs(self, x: Shape) -> dict[str, Shape]:
        """Inputs beside x, per image: a deformable layer's offset and mask."""
        del x
        return {}

    def links(self, x: Shape) -> tuple[Link, ...]:
        """Which cells of x each output cell reads, for every spatial axis."""
        del x
        return windows(self.axes)

    def reach(self, x: Shape, field: Field) -> Field | None:
        """The receptive field of the output along the spatial axes, given the one of x; None where nobody can tell."""
        found = [reach.through(link) for reach, link in zip(field, self.links(x), strict=True)]
        return None if None in found else tuple(found)  # type: ignore[arg-type]

    # What anybody asks, of any layer, in PyTorch's shapes.

    def output_shape(self, *shapes: Shape) -> Shape:
        """The output's shape for an input (N, C, *space) or (C, *space): with the batch axis just as the input.

        A join takes the shapes of all its inputs. Raises SpecError when the layer cannot take them.
        """
        batch, x, layer = self.on(shapes)
        return (*batch, *layer.output(x))

    def params(self, *shapes: Shape) -> int:
        """The number of parameters, counted from the tensors the layer owns. Raises SpecError like `output_shape`."""
        _, x, layer = self.on(shapes)
        return sum(map(prod, layer.tensors(x).values()))

    def macs(self, *shapes: Shape) -> int:
        """Multiply-accumulates of one forward pass, products with padding zeros included (torch's number)."""
        return self._counts(shapes).macs

    def macs_nonpad(self, *shapes: Shape) -> int:
        """Multiply-accumulates of one forward pass whose input cell exists (benchdnn's definition)."""
        return self._counts(shapes).macs_nonpad

    def _counts(self, shapes: tuple[Shape, ...]) -> Counts:
        batch, x, layer = self.on(shapes)
        layer.output(x)  # refuses what does not fit
        return layer.counts(x, prod(batch))

    def on(self, shapes: tuple[Shape, ...], *, channels_last: bool = False) -> tuple[Shape, Shape, Layer]:
        """(batch, x, the layer settled on x) for the shapes of its inputs, as PyTorch has them."""
        fewest, most = self.arity
        if not fewest <= len(shapes) <= most:
            raise _wrong_arity(len(shapes), fewest, most)
        batch, x = self.split(shapes[0] if shapes else ())
        if channels_last and self.spatial and x:
            x = (x[-1], *x[:-1])
        return batch, x, self.joined(shapes, channels_last=channels_last).settled(x)

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """((N,) or (), (C, *space)) of PyTorch's shape."""
        return split_batch(shape, self.rank)

    def joined(self, shapes: tuple[Shape, ...], *, channels_last: bool) -> Layer:
        """The same layer, told the shapes of all its inputs and their layout: a join needs them."""
        del shapes, channels_last
        return self

    def settled_in_channels(self, x: Shape) -> int:
        """The input's channels; SpecError when they contradict the layer's own."""
        if self.in_channels is not None and self.in_channels != x[0]:
            raise SpecError(
                f"in_channels={self.in_channels}, but the input has {x[0]} channels",
                field="in_channels",
                allowed=f"{x[0]}, or leave it out",
            )
        return x[0]


@lru_cache(4096)  # the layers of a big spec have few different windows, on few different sizes
def outs(axes: tuple[Axis, ...], space: Shape) -> Shape:
    """The positions along each axis: floor((size + before + after - span) / stride) + 1"""
    return tuple([axis.out(size) for axis, size in zip(axes, space, strict=True)])


@lru_cache(4096)
def windows(axes: tuple[Axis, ...], mode: str = "zeros") -> tuple[Link, ...]:
    """What slides along each axis."""
    return tuple([Window(axis, mode) for axis in axes])


def _wrong_arity(count: int, fewest: int, most: int) -> SpecError:
    needed = f"{fewest}" if fewest == most else f"at least {fewest}" if most == MANY else f"{fewest} to {most}"
    return SpecError(
        f"this layer takes {needed} input(s), not {count}", field="from", allowed=f"the names of {needed} layer(s)"
    )


def split_batch(shape: Shape, rank: int) -> tuple[Shape, Shape]:
    """((N,) or (), (C, *space)) of PyTorch's shape for a layer with `rank` spatial axes."""
    if not rank < len(shape) <= rank + 2:
        raise SpecError(
            f"the input {list(shape)} has {len(shape)} axes",
            field="input",
            allowed=f"{rank + 2} for a {rank}-D layer (N, C and {rank} spatial), or {rank + 1} without the batch",
        )
    channels = len(shape) - rank - 1
    for size in shape:
        if type(size) is not int or not 1 <= size <= LARGEST:
            _check_sizes(shape, channels)
    shape = tuple(shape)
    return shape[:channels], shape[channels:]


def _check_sizes(shape: Shape, channels: int) -> None:
    """Refuse what is no size: torch takes an empty batch and no channels, but no empty axis."""
    for place, size in enumerate(shape):
        whole("input", size, least=0 if place <= channels else 1)


def check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Refuse channels that do not divide into the groups, as torch's kernels do."""
    if groups >= 1 and 1 <= out_channels <= LARGEST and not in_channels % groups and not out_channels % groups:
        return
    whole("out_channels", out_channels, least=1)
    whole("groups", groups, least=1)
    for field, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise SpecError(
                f"{field}={channels} is not a multiple of groups={groups}",
                field="groups",
                allowed="a divisor of in_channels and out_channels",
                repair=f"groups={_divisor(in_channels, out_channels, groups)}",
                formula=f"{channels} / {groups} channels per group, {channels} mod {groups} = {channels % groups}",
            )


def _divisor(in_channels: int, out_channels: int, groups: int) -> int:
    """The largest legal number of groups up to `groups` (or 1, when the search would be long)."""
    return next((g for g in range(min(groups, 10_000), 1, -1) if in_channels % g == out_channels % g == 0), 1)
