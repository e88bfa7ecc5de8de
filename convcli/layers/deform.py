"""Deformable convolution, version 1 (Dai et al., 2017) and 2 (modulated; Zhu et al., 2019), torchvision's semantics."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Self

import msgspec

from convcli.axis import whole
from convcli.errors import SpecError
from convcli.layers.base import Counts, Layer, Part, Shape
from convcli.layers.composite import Composite
from convcli.layers.conv import Conv

COORDINATE_FLOPS = 10  # per sampling point: two coordinates, two floors, four fractions, two border tests


class DeformConv(Conv, frozen=True, kw_only=True):
    """y[o, p] = bias[o] + sum over i, t of weight[o, i, t] * mask[t, p] * x(i, q)

    with q = stride*p + dilation*t - before + offset[t, p]. x(i, q) is bilinear between cells and fades to 0 within one
    cell outside the input. The offsets, and the masks of a modulated layer, are inputs.
    """

    kind: ClassVar[str] = "deform_conv"
    arity: ClassVar[tuple[int, int]] = (1, 3)
    offset_groups: int = 1
    modulated: bool = False

    def settled(self, x: Shape) -> Self:
        """A convolution's, and input channels that divide into the offset groups."""
        if self.offset_groups < 1 or x[0] < 1:
            whole("offset_groups", self.offset_groups, least=1)
            whole("in_channels", x[0], least=1)  # torchvision's kernel dies without
        if x[0] % self.offset_groups:
            raise SpecError(
                f"in_channels={x[0]} is not a multiple of offset_groups={self.offset_groups}",
                field="offset_groups",
                allowed="a divisor of in_channels",
            )
        return super().settled(x)

    def on(self, shapes: tuple[Shape, ...], *, channels_last: bool = False) -> tuple[Shape, Shape, Layer]:
        """A convolution's; the offset and the mask, where a network feeds them, must have their shapes."""
        batch, x, layer = super().on(shapes, channels_last=channels_last)
        if len(shapes) == 1:
            return batch, x, layer
        for (name, needed), given in zip(layer.side_inputs(x).items(), shapes[1:], strict=False):
            if given != (*batch, *needed):
                allowed = f"{[*batch, *needed]}"
                raise SpecError(f"the {name} that is fed has the shape {list(given)}", field="from", allowed=allowed)
        return batch, x, layer

    def side_inputs(self, x: Shape) -> dict[str, Shape]:
        """offset (2*offset_groups*taps, *out), channel 2*(row*kw + col) dy, + 1 dx; mask (offset_groups*taps, *out)."""
        space = self.output(x)[1:]
        points = self.offset_groups * self._taps
        shapes = {"offset": (2 * points, *space)}
        if self.modulated:
            shapes["mask"] = (points, *space)
        return shapes

    def counts(self, x: Shape, batch: int) -> Counts:
        """A convolution's products; apart from them 4 MACs per bilinear sample, 1 per masked one, the coordinates."""
        positions = batch * self._taps * prod(self.output(x)[1:])
        samples = positions * x[0]
        return msgspec.structs.replace(
            Conv.counts(self, x, batch),
            interpolation_macs=4 * samples,
            modulation_macs=samples if self.modulated else 0,
            coordinate_flops=COORDINATE_FLOPS * positions * self.offset_groups,
        )

    @property
    def _taps(self) -> int:
        return prod(axis.kernel for axis in self.axes)


class DeformConvPack(Composite, frozen=True, kw_only=True):
    """deform_conv(x, offset_conv(x)): a convolution predicts the offsets, and a sigmoid the masks (mmcv's packs)."""

    kind: ClassVar[str] = "deform_conv_pack"
    slides: ClassVar[int] = 1  # at zero offsets; the predictor sees the same cells
    out_channels: int
    groups: int = 1
    bias: bool = True
    offset_groups: int = 1
    modulated: bool = False

    def chain(self, x: Shape) -> tuple[Part, ...]:
        """`offset_conv`, with 2 (modulated: 3) channels per offset group and tap, always biased; and `deform_conv`."""
        deform = DeformConv(
            axes=self.axes,
            out_channels=self.out_channels,
            groups=self.groups,
            bias=self.bias,
            offset_groups=self.offset_groups,
            modulated=self.modulated,
        ).settled(x)
        channels = sum(shape[0] for shape in deform.side_inputs(x).values())
        predictor = Conv(axes=self.axes, out_channels=channels).settled(x)
        return Part("offset_conv", predictor, x), Part("deform_conv", deform, x)
