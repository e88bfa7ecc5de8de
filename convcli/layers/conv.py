"""Convolution of any rank: standard, grouped, depthwise, dilated and pointwise are values of one primitive."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import ClassVar, Self

import msgspec

from convcli.axis import Axis
from convcli.layers.base import Counts, Layer, Shape, check_groups, outs, windows
from convcli.reach import Link

ONE = Axis(1)


class Conv(Layer, frozen=True, kw_only=True):
    """y[o, p] = bias[o] + sum over i, t of weight[o, i, t] * x[i, stride*p + dilation*t - before]

    groups None: as many as input channels (depthwise). out_channels None: input channels * depth_multiplier.
    """

    kind: ClassVar[str] = "conv"
    out_channels: int | None = None
    groups: int | None = 1
    depth_multiplier: int = 1
    bias: bool = True
    padding_mode: str = "zeros"

    def settled(self, x: Shape) -> Self:
        """Channels, groups and padding as numbers."""
        channels = self.settled_in_channels(x)
        groups = channels if self.groups is None else self.groups
        out_channels = channels * self.depth_multiplier if self.out_channels is None else self.out_channels
        check_groups(channels, out_channels, groups)
        axes = _settled_axes(self.axes, x[1:])
        if self.padding_mode != "zeros":
            for axis, size in zip(axes, x[1:], strict=True):
                axis.check_padding_mode(self.padding_mode, size)
        return msgspec.structs.replace(
            self, axes=axes, in_channels=channels, out_channels=out_channels, groups=groups, depth_multiplier=1
        )

    def output(self, x: Shape) -> Shape:
        """(out_channels, *space), each axis by floor((size + before + after - span) / stride) + 1."""
        return (self._out_channels, *outs(self.axes, x[1:]))

    def links(self, x: Shape) -> tuple[Link, ...]:
        """The kernel's windows, over cells that the padding repeats off the zero mode."""
        return windows(self.axes, self.padding_mode)

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight (O, C/groups, *kernel) and bias (O)."""
        weight = (self._out_channels, x[0] // (self.groups or 1), *[axis.kernel for axis in self.axes])
        return {"weight": weight, "bias": (self._out_channels,)} if self.bias else {"weight": weight}

    def counts(self, x: Shape, batch: int) -> Counts:
        """Every output position uses every weight of its channel once; off the zero mode every padded cell is real."""
        space = self.output(x)[1:]
        channel_pairs = batch * self._out_channels * (x[0] // (self.groups or 1))
        macs = channel_pairs * prod(space) * prod(axis.kernel for axis in self.axes)
        nonpad = macs
        if self.padding_mode == "zeros":
            nonpad = channel_pairs * prod(
                [axis.pairs(i, o) for axis, i, o in zip(self.axes, x[1:], space, strict=True)]
            )
        outputs = batch * self._out_channels * prod(space)
        return Counts(macs, nonpad, outputs if self.bias else 0, outputs if x[0] else 0)

    @property
    def _out_channels(self) -> int:
        return self.out_channels or 0


@lru_cache(4096)  # the layers of a big spec have few different windows, on few different sizes
def _settled_axes(axes: tuple[Axis, ...], space: Shape) -> tuple[Axis, ...]:
    return tuple([axis.settled(size) for axis, size in zip(axes, space, strict=True)])


def pointwise(rank: int, out_channels: int, *, bias: bool) -> Conv:
    """A convolution with a kernel of 1 on every axis: it mixes channels and nothing else."""
    return Conv(axes=(ONE,) * rank, out_channels=out_channels, bias=bias)
