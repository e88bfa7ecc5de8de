"""Layers that only move elements, or read some of them again: nothing to multiply."""

from __future__ import annotations

from math import inf, prod
from typing import ClassVar

import msgspec

from convcli.axis import Axis
from convcli.errors import SpecError
from convcli.layers.base import Counts, Shape, split_batch
from convcli.layers.companion import Blind, Companion, Way, dimension
from convcli.reach import SAME, All, Bins, Link, Resized, Window

INTERPOLATION = {"nearest": 0, "nearest-exact": 0, "linear": 2, "bilinear": 4, "bicubic": 16, "trilinear": 8, "area": 1}


RESIZES = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}  # the spatial axes that a mode is for


class Flatten(Companion, frozen=True, kw_only=True):
    """The axes from start_dim to end_dim as one."""

    kind: ClassVar[str] = "flatten"
    start_dim: int = 1
    end_dim: int = -1

    def output(self, x: Shape) -> Shape:
        """(*before, product, *after)"""
        first = dimension("start_dim", self.start_dim, max(1, len(x)))
        last = dimension("end_dim", self.end_dim, max(1, len(x)))
        if first > last:
            raise SpecError(
                f"start_dim={first} lies behind end_dim={last}", field="start_dim", allowed=f"at most {last}"
            )
        return (*x[:first], prod(x[first : last + 1]), *x[last + 1 :])

    def way(self, which: int, place: int) -> Way | None:
        """Where the axis went."""
        return reshaped(self.inputs[which], self.output(self.inputs[which]), place)


class Reshape(Companion, frozen=True, kw_only=True):
    """The same elements in the shape `shape`; one size may be -1, and follows."""

    kind: ClassVar[str] = "reshape"
    shape: tuple[int, ...]

    def output(self, x: Shape) -> Shape:
        """`shape`, its -1 worked out."""
        known = prod(size for size in self.shape if size != -1)
        elements = prod(x)
        if self.shape.count(-1) == 1 and known and not elements % known:
            return tuple(elements // known if size == -1 else size for size in self.shape)
        if -1 in self.shape or known != elements:
            raise SpecError(
                f"{elements} elements of {list(x)} do not fill {list(self.shape)}",
                field="shape",
                allowed="sizes whose product is the number of elements, one of them -1",
            )
        return self.shape

    def way(self, which: int, place: int) -> Way | None:
        """Where the axis went."""
        return reshaped(self.inputs[which], self.output(self.inputs[which]), place)


class Permute(Companion, frozen=True, kw_only=True):
    """The axes in another order: y's axis i is x's axis dims[i]."""

    kind: ClassVar[str] = "permute"
    dims: tuple[int, ...]

    def output(self, x: Shape) -> Shape:
        """x's sizes in that order."""
        order = [dimension("dims", dim, len(x)) for dim in self.dims]
        if sorted(order) != list(range(len(x))):
            raise SpecError(
                f"dims={list(self.dims)} does not name each of {len(x)} axes once",
                field="dims",
                allowed="every axis of the input once",
            )
        return tuple(x[dim] for dim in order)

    def way(self, which: int, place: int) -> Way | None:
        """Where the axis went."""
        rank = len(self.inputs[which])
        return Way(SAME, [dim % rank for dim in self.dims].index(place))


class Rearrange(Blind, frozen=True, kw_only=True):
    """Any other movement of elements into the shape `output_shape`: slices, windows, gathers, copies."""

    kind: ClassVar[str] = "rearrange"
    arity: ClassVar[tuple[int, int]] = (0, 2**31)
    shape: tuple[int, ...]

    def output(self, x: Shape) -> Shape:
        """As it says."""
        del x
        return self.shape


class Reduce(Companion, frozen=True, kw_only=True):
    """The mean, sum or largest over the axes `dims`."""

    kind: ClassVar[str] = "reduce"
    dims: tuple[int, ...]
    keepdim: bool = False
    function: str = "mean"

    def output(self, x: Shape) -> Shape:
        """x without those axes, or with 1 in their place."""
        gone = {dimension("dims", dim, len(x)) for dim in self.dims}
        sizes = [1 if place in gone else size for place, size in enumerate(x)]
        return tuple(size for place, size in enumerate(sizes) if self.keepdim or place not in gone)

    def way(self, which: int, place: int) -> Way | None:
        """An axis that is gone was read whole."""
        x = self.inputs[which]
        gone = {dimension("dims", dim, len(x)) for dim in self.dims}
        before = 0 if self.keepdim else sum(dim < place for dim in gone)
        return Way(All(x[place]), None) if place in gone else Way(SAME, place - before)

    def counts(self, x: Shape, batch: int) -> Counts:
        """One operation per element of the input."""
        return Counts(0, 0, 0, 0, elementwise_flops=batch * prod(x))


class Upsample(Companion, frozen=True, kw_only=True):
    """Every axis longer (or shorter) by a factor: the nearest cell, or a mean of 2, 4, 8 or 16 cells."""

    kind: ClassVar[str] = "upsample"
    spatial: ClassVar[bool] = True
    size: tuple[int, ...] | int | None = None
    scale_factor: tuple[float, ...] | float | None = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None
    dims: int = 0

    @property
    def rank(self) -> int:
        """The number of spatial axes, told by the input."""
        return self.dims

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """(N,), (C, *space): torch resizes batches only, of one to three spatial axes."""
        if not 3 <= len(shape) <= 5:
            raise SpecError(
                f"the input {list(shape)} has {len(shape)} axes", field="input", allowed="N, C and 1 to 3 spatial axes"
            )
        return split_batch(shape, len(shape) - 2)

    def settled(self, x: Shape) -> Upsample:
        """One number per axis."""
        rank = len(x) - 1
        if rank not in RESIZES.get(self.mode, (1, 2, 3)):
            raise SpecError(
                f"mode={self.mode!r} is not for {rank} spatial axes",
                field="mode",
                allowed=", ".join(mode for mode in INTERPOLATION if rank in RESIZES.get(mode, (1, 2, 3))),
            )
        if self.align_corners is not None and self.mode not in RESIZES:
            raise SpecError(
                f"align_corners is not for mode={self.mode!r}", field="align_corners", allowed=", ".join(RESIZES)
            )
        if (self.size is None) == (self.scale_factor is None):
            raise SpecError("either size or scale_factor must be given", field="size", allowed="one of the two")
        size = (self.size,) * rank if isinstance(self.size, int) else self.size
        scale = (self.scale_factor,) * rank if isinstance(self.scale_factor, int | float) else self.scale_factor
        for field, values in (("size", size), ("scale_factor", scale)):
            if values is not None and (len(values) != rank or not all(0 < value < inf for value in values)):
                raise SpecError(
                    f"{field}={values} does not fit {rank} axes", field=field, allowed="one positive number per axis"
                )
        return msgspec.structs.replace(self, size=size, scale_factor=scale, dims=rank)

    def output(self, x: Shape) -> Shape:
        """(C, *floor(size * scale_factor))"""
        sizes: tuple[int, ...]
        if isinstance(self.size, tuple):
            sizes = self.size
        else:
            scales = self.scale_factor if isinstance(self.scale_factor, tuple) else ()
            sizes = tuple(int(size * scale) for size, scale in zip(x[1:], scales, strict=True))
        if min(sizes) < 1:
            raise SpecError(
                f"the output would be {list(sizes)}", field="scale_factor", allowed="an output of at least 1"
            )
        return (x[0], *sizes)

    @property
    def operations(self) -> int:
        """A product per cell that is read; none for copies."""
        return INTERPOLATION.get(self.mode, 1)

    def links(self, x: Shape) -> tuple[Link, ...]:
        """The cells that have a weight, along each axis."""
        out = self.output(x)[1:]
        if self.mode == "area":
            return tuple([Bins(size, there) for size, there in zip(x[1:], out, strict=True)])
        taps = {"nearest": 1, "nearest-exact": 1, "bicubic": 4}.get(self.mode, 2)
        if self.align_corners:
            ends = [(size - 1, there - 1) for size, there in zip(x[1:], out, strict=True)]
            pairs = [end if end[1] else (0, 1) for end in ends]  # a single cell is the first one
        elif isinstance(self.scale_factor, tuple) and not self.recompute_scale_factor:
            pairs = [_pair(scale) for scale in self.scale_factor]
        else:
            pairs = list(zip(x[1:], out, strict=True))
        aligned = bool(self.align_corners) or self.mode == "nearest"
        return tuple([Resized(inputs, outputs, taps, aligned) for inputs, outputs in pairs])


class PixelShuffle(Companion, frozen=True, kw_only=True):
    """(*, C*r*r, H, W) -> (*, C, H*r, W*r)"""

    kind: ClassVar[str] = "pixel_shuffle"
    spatial: ClassVar[bool] = True
    upscale_factor: int

    @property
    def rank(self) -> int:
        """Two spatial axes."""
        return 2

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """(N, ...), (C, H, W)"""
        return leading(shape, 2)

    def output(self, x: Shape) -> Shape:
        """Channels become pixels."""
        r = self.upscale_factor
        if x[0] % (r * r):
            raise SpecError(
                f"the channels of {list(x)} do not divide by {r * r}",
                field="upscale_factor",
                allowed="a divisor, squared",
            )
        return (x[0] // (r * r), x[1] * r, x[2] * r)

    def links(self, x: Shape) -> tuple[Link, ...]:
        """A pixel of the output is a channel of one of the input: the nearest one."""
        return (Resized(1, self.upscale_factor, 1, aligned=True),) * 2


def leading(shape: Shape, rank: int) -> tuple[Shape, Shape]:
    """((...), (C, *space)): any number of axes before the channels."""
    if len(shape) <= rank:
        raise SpecError(
            f"the input {list(shape)} has {len(shape)} axes",
            field="input",
            allowed=f"at least {rank + 1}: the channels and {rank} spatial ones",
        )
    return tuple(shape[: -rank - 1]), tuple(shape[-rank - 1 :])


class Pad(Companion, frozen=True, kw_only=True):
    """Cells around the last axes, in PyTorch's order: (left, right, top, bottom, ...); negative ones crop."""

    kind: ClassVar[str] = "pad"
    padding: tuple[int, ...]
    mode: str = "zeros"
    value: float = 0.0

    def output(self, x: Shape) -> Shape:
        """Each axis longer by its two numbers."""
        pairs = list(zip(self.padding[::2], self.padding[1::2], strict=True))
        if len(pairs) > len(x):
            raise SpecError(
                f"padding={list(self.padding)} is for {len(pairs)} axes", field="padding", allowed=f"{len(x)}"
            )
        sizes = [size + before + after for size, (before, after) in zip(reversed(x), pairs, strict=False)]
        left = [
            size + min(0, before) + min(0, after) for size, (before, after) in zip(reversed(x), pairs, strict=False)
        ]
        if left and min(left) < 0:
            raise SpecError(f"nothing is left of {list(x)}", field="padding", allowed="less to crop")
        if self.mode != "zeros":
            self._check_copies(x, pairs)
        return (*x[: len(x) - len(sizes)], *reversed(sizes))

    def _check_copies(self, x: Shape, pairs: list[tuple[int, int]]) -> None:
        """Copies must be of cells that are there: reflection repeats no edge, a circle goes round once."""
        if not len(pairs) < len(x) <= len(pairs) + 2:
            raise SpecError(
                f"the input {list(x)} has {len(x)} axes",
                field="input",
                allowed=f"{len(pairs) + 2} for mode={self.mode!r}, or {len(pairs) + 1} without the batch",
            )
        for size, pair in zip(reversed(x), pairs, strict=False):
            most = {"reflect": size - 1, "circular": size}.get(self.mode)
            if most is not None and max(pair) > most:
                raise SpecError(
                    f"padding={max(pair)} copies more than there is of {size} cells",
                    field="padding",
                    allowed=f"at most {most} for mode={self.mode!r}",
                )

    def way(self, which: int, place: int) -> Way | None:
        """The first field begins before the first cell."""
        return Way(self._window(len(self.inputs[which]) - 1 - place), place)

    def _window(self, from_last: int) -> Window:
        """What lies around an axis, counted from the last one."""
        before, after = self.padding[2 * from_last : 2 * from_last + 2] or (0, 0)
        return Window(Axis(1, before=before, after=after), self.mode)


def reshaped(x: Shape, y: Shape, place: int) -> Way | None:
    """Where axis `place` of x lies in y: by itself, or merged with those around it; None when it is split."""
    before = prod(x[:place])
    if x[place] == 1:
        return Way(All(1), None)
    for there, size in enumerate(y):
        outer = prod(y[:there])
        if outer == before and size == x[place]:
            return Way(SAME, there)
        first = next((axis for axis in range(place + 1) if prod(x[:axis]) == outer), None)
        if first is not None and any(prod(x[first : last + 1]) == size for last in range(place, len(x))):
            return Way(SAME, there, merged=x[place])
    return None


def _pair(scale: float) -> tuple[int, int]:
    """(inputs, outputs) of a scale factor: 1.5 is 2 to 3, as it is written."""
    if scale == int(scale):
        return 1, int(scale)
    from fractions import Fraction  # a slow import that hardly any factor needs

    ratio = Fraction(str(scale))
    return ratio.denominator, ratio.numerator


class SpacePad(Pad, frozen=True, kw_only=True):
    """The same around `dims` spatial axes of x (channels, *space), wherever the channels are."""

    spatial: ClassVar[bool] = True
    dims: int

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return self.dims

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """((...), (C, *space)); copies are made in a batch, or in one image."""
        return leading(shape, self.dims) if self.mode == "zeros" else split_batch(shape, self.dims)

    def links(self, x: Shape) -> tuple[Link, ...]:
        """The first field begins before the first cell."""
        return tuple(self._window(self.dims - 1 - place) for place in range(self.dims))
