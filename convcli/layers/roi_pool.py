"""Deformable RoI pooling (Dai et al., Deformable Convolutional Networks, 2017), with mmcv's meaning of every number.

A layer on regions: x (N, C, H, W) and rois (R, 5) = (image, x1, y1, x2, y2) make (R, C, rows, columns), whatever N is.
So x is the whole shape, and the batch is no factor.
"""

from __future__ import annotations

from math import isfinite, prod
from typing import ClassVar, Self

import msgspec

from convcli.axis import LARGEST, Axis, whole
from convcli.errors import SpecError
from convcli.layers.base import Counts, Layer, Part, Shape
from convcli.layers.composite import Composite
from convcli.layers.conv import Conv
from convcli.layers.deform import COORDINATE_FLOPS

FC_CHANNELS = 1024  # mmcv's
NO_GRADIENT = frozenset({"rois"})  # inputs that say where to look, and are not differentiated


class OnRoIs(Layer, frozen=True, kw_only=True):
    """What the layers on regions share. num_rois None: as many as are fed; one where nobody feeds any."""

    kind: ClassVar[str] = ""
    spatial: ClassVar[bool] = False
    axes: tuple[Axis, ...] = ()
    output_size: tuple[int, ...]
    spatial_scale: float = 1.0
    sampling_ratio: int = 0
    gamma: float = 0.1
    num_rois: int | None = None

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """((), (N, C, H, W))"""
        if len(shape) != 4:
            raise SpecError(
                f"the input {list(shape)} has {len(shape)} axes", field="input", allowed="4: N, C, H, W, with the batch"
            )
        for place, size in enumerate(shape):
            if type(size) is not int or not (place > 1) <= size <= LARGEST:
                whole("input", size, least=int(place > 1))
        return (), tuple(shape)

    def on(self, shapes: tuple[Shape, ...], *, channels_last: bool = False) -> tuple[Shape, Shape, Layer]:
        """As many RoIs as are fed; what is fed beside x must have its shape."""
        if channels_last:
            raise SpecError(
                "RoI pooling takes its input channels first", field="input", allowed="N, C, H, W; not channels_last"
            )
        told = self
        if len(shapes) > 1:
            told = self._fed(shapes[1])
        batch, x, layer = super(OnRoIs, told).on(shapes)
        for (name, needed), given in zip(layer.side_inputs(x).items(), shapes[1:], strict=False):
            if given != needed:
                raise SpecError(
                    f"the {name} that is fed has the shape {list(given)}", field="from", allowed=f"{list(needed)}"
                )
        return batch, x, layer

    def _fed(self, rois: Shape) -> Self:
        if len(rois) != 2 or rois[1] != 5:
            raise SpecError(
                f"the rois that are fed have the shape {list(rois)}",
                field="from",
                allowed="[num_rois, 5]: image, x1, y1, x2, y2",
            )
        if self.num_rois not in {None, rois[0]}:
            raise SpecError(
                f"num_rois={self.num_rois}, but {rois[0]} are fed",
                field="num_rois",
                allowed=f"{rois[0]}, or leave it out",
            )
        return msgspec.structs.replace(self, num_rois=rois[0])

    def settled(self, x: Shape) -> Self:
        """Two output sizes, the number of RoIs, the input's channels."""
        size = self.output_size * 2 if len(self.output_size) == 1 else self.output_size
        if len(size) != 2:
            raise SpecError(f"output_size has {len(size)} numbers", field="output_size", allowed="one, or 2")
        for cells in size:
            whole("output_size", cells, least=1)
        whole("sampling_ratio", self.sampling_ratio, least=0)
        whole("num_rois", self.rois, least=0)
        for field, value, right in (
            ("spatial_scale", self.spatial_scale, isfinite(self.spatial_scale) and self.spatial_scale > 0),
            ("gamma", self.gamma, isfinite(self.gamma)),
        ):
            if not right:
                allowed = "a number above 0" if field == "spatial_scale" else "a number"
                raise SpecError(f"{field}={value!r} is not allowed", field=field, allowed=allowed)
        return msgspec.structs.replace(
            self, output_size=size, num_rois=self.rois, in_channels=self.settled_in_channels(x[1:])
        )

    @property
    def rois(self) -> int:
        """How many regions."""
        return 1 if self.num_rois is None else self.num_rois

    def output(self, x: Shape) -> Shape:
        """(R, C, rows, columns)"""
        return (self.rois, x[1], *self.output_size)

    def side_inputs(self, x: Shape) -> dict[str, Shape]:
        """rois (R, 5): image, x1, y1, x2, y2 in the coordinates of the picture, which spatial_scale brings to x's."""
        del x
        return {"rois": (self.rois, 5)}


class DeformRoIPool(OnRoIs, frozen=True, kw_only=True):
    """y[r, c, p, q] = mask[r, p, q] * mean over j, l of x[image, c] at (top + p*h + (j + 1/2)*h/g, left + ...)

    with top = y1*scale - 1/2 + gamma*height*offset[r, 1, p, q], h = height/rows, g samples to a bin. x is bilinear
    between its cells, goes on as its edge for one cell, and is 0 further out. Without offsets: RoIAlign (aligned).
    """

    kind: ClassVar[str] = "deform_roi_pool"
    arity: ClassVar[tuple[int, int]] = (1, 4)
    offset: bool = True
    modulated: bool = False

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """None."""
        del x
        return {}

    def side_inputs(self, x: Shape) -> dict[str, Shape]:
        """rois (R, 5); offset (R, 2, rows, columns), channel 0 to the right, 1 down; mask (R, 1, rows, columns)."""
        shapes = super().side_inputs(x)
        if self.offset:
            shapes["offset"] = (self.rois, 2, *self.output_size)
        if self.modulated:
            shapes["mask"] = (self.rois, 1, *self.output_size)
        return shapes

    def counts(self, x: Shape, batch: int) -> Counts:
        """No weights, so no macs; 4 MACs for each bilinear sample, a division for each mean, the coordinates once."""
        bins = batch * self.rois * prod(self.output_size)
        samples = bins * prod(self.grid(x))
        return Counts(
            0,
            0,
            0,
            0,
            interpolation_macs=4 * samples * x[1],
            modulation_macs=bins * x[1] if self.modulated else 0,
            coordinate_flops=COORDINATE_FLOPS * samples,
            elementwise_flops=bins * x[1],
        )

    def grid(self, x: Shape) -> Shape:
        """Samples to a bin, down and across; where each RoI has its own, those of one as large as x."""
        if self.sampling_ratio:
            return (self.sampling_ratio,) * 2
        return tuple(-(-cells // bins) for cells, bins in zip(x[2:], self.output_size, strict=True))


class FullyConnected(Conv, frozen=True, kw_only=True):
    """y[o] = bias[o] + sum over i of weight[o, i] * x[i]: a convolution without spatial axes; its batch is the RoIs."""

    kind: ClassVar[str] = "fully_connected"
    axes: tuple[Axis, ...] = ()
    relu: bool = False  # whether what comes out goes through a ReLU: it belongs to no layer that has parameters

    def settled(self, x: Shape) -> FullyConnected:
        """As it is: all its numbers are known."""
        return msgspec.structs.replace(self, in_channels=x[0])

    def counts(self, x: Shape, batch: int) -> Counts:
        """A convolution's; an operation for each output of the ReLU."""
        counts = Conv.counts(self, x, batch)
        return msgspec.structs.replace(counts, elementwise_flops=batch * prod(self.output(x)) if self.relu else 0)


class DeformRoIPoolPack(Composite, OnRoIs, frozen=True, kw_only=True):
    """deform_roi_pool(x, rois, offset_fc(roi_pool(x, rois))), modulated times sigmoid(mask_fc(...)): mmcv's packs.

    offset_fc is three linear layers over the bins of one RoI, mask_fc two, with ReLUs between.
    """

    kind: ClassVar[str] = "deform_roi_pool_pack"
    arity: ClassVar[tuple[int, int]] = (1, 2)
    axes: tuple[Axis, ...] = ()
    output_channels: int | None = None
    deform_fc_channels: int = FC_CHANNELS
    modulated: bool = False

    def settled(self, x: Shape) -> Self:
        """output_channels, which must be the input's."""
        whole("deform_fc_channels", self.deform_fc_channels, least=1)
        if self.output_channels not in {None, x[1]}:
            raise SpecError(
                f"output_channels={self.output_channels}, but the input has {x[1]} channels",
                field="output_channels",
                allowed=f"{x[1]}, or leave it out",
            )
        whole("in_channels", x[1], least=1)
        return msgspec.structs.replace(OnRoIs.settled(self, x), output_channels=x[1])

    def side_inputs(self, x: Shape) -> dict[str, Shape]:
        """rois alone: offsets and masks are predicted."""
        return OnRoIs.side_inputs(self, x)

    def output(self, x: Shape) -> Shape:
        """(R, C, rows, columns)"""
        return OnRoIs.output(self, x)

    def chain(self, x: Shape) -> tuple[Part, ...]:
        """`roi_pool` without offsets; `offset_fc`, `mask_fc`, numbered as in mmcv's Sequential; `deform_roi_pool`."""
        fields = {name: getattr(self, name) for name in OnRoIs.__struct_fields__ if name != "axes"}
        bins, hidden, regions = prod(self.output_size), self.deform_fc_channels, (self.rois,)
        branches: dict[str, tuple[int, ...]] = {"offset_fc": (hidden, hidden, 2 * bins)}
        if self.modulated:
            branches["mask_fc"] = (hidden, bins)
        found = [Part("roi_pool", DeformRoIPool(**fields, offset=False), x)]
        for branch, widths in branches.items():
            features = x[1] * bins
            for place, width in enumerate(widths):
                last = place == len(widths) - 1
                layer = FullyConnected(out_channels=width, in_channels=features, relu=not last)
                found.append(Part(f"{branch}.{2 * place}", layer, (features,), regions))
                features = width
        return (*found, Part("deform_roi_pool", DeformRoIPool(**fields, modulated=self.modulated), x))
