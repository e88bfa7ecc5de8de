"""Depthwise-separable convolution: a depthwise layer, then a pointwise one (Chollet, Xception, 2017)."""

from __future__ import annotations

from typing import ClassVar

from convcli.layers.base import Part, Shape
from convcli.layers.composite import Composite
from convcli.layers.conv import Conv, pointwise


class Separable(Composite, frozen=True, kw_only=True):
    """pointwise(depthwise(x)): `depth_multiplier` filters per input channel, mixed by a kernel of 1."""

    kind: ClassVar[str] = "separable"
    out_channels: int
    depth_multiplier: int = 1
    bias: bool = True
    pointwise_bias: bool | None = None

    def chain(self, x: Shape) -> tuple[Part, ...]:
        """`depthwise` and `pointwise`; the pointwise bias follows `bias` unless it is set."""
        depthwise = Conv(axes=self.axes, groups=None, depth_multiplier=self.depth_multiplier, bias=self.bias).settled(x)
        mixing_bias = self.bias if self.pointwise_bias is None else self.pointwise_bias
        mixed = pointwise(len(self.axes), self.out_channels, bias=mixing_bias)
        between = depthwise.output(x)
        return Part("depthwise", depthwise, x), Part("pointwise", mixed.settled(between), between)
