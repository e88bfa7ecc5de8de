"""Normalisation: y = weight * (x - mean) / sqrt(variance + eps) + bias, over the batch, channels or last axes."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Self

import msgspec

from convcli.errors import SpecError
from convcli.layers.base import Shape, split_batch
from convcli.layers.companion import Channelled, Companion, must_be


class BatchNorm(Companion, frozen=True, kw_only=True):
    """y = x * scale + shift per channel: in inference the statistics are constants. x (channels, *space).

    rank 1 takes (N, C) too. own: "batch" or "instance", whose module has no parameters unless `affine`.
    """

    kind: ClassVar[str] = "batch_norm"
    spatial: ClassVar[bool] = True
    dims: int
    num_features: int | None = None
    affine: bool = True
    bias: bool = True
    instance: bool = False
    eps: float = 1e-5

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return self.dims

    @property
    def operations(self) -> int:
        """A product and a sum per element; an instance's own statistics take three more."""
        return 5 if self.instance else 2

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """(N,), (C, *space); torch takes no input without the batch, and BatchNorm1d one without space."""
        if self.dims == 1 and len(shape) == 2 and not self.instance:
            return (shape[0],), (shape[1],)
        if len(shape) == self.dims + 1 and not self.instance:
            raise SpecError(
                f"the input {list(shape)} has {len(shape)} axes",
                field="input",
                allowed=f"{self.dims + 2}: batch norm works over a batch",
            )
        return split_batch(shape, self.dims)

    def settled(self, x: Shape) -> Self:
        """num_features as a number."""
        if self.instance:
            _check_statistics(prod(x[1:]), "channel")
        return msgspec.structs.replace(self, num_features=must_be("num_features", self.num_features, x[0], "channels"))

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight and bias (C) when affine; running statistics are buffers, no parameters."""
        return _affine((x[0],), weight=self.affine, bias=self.bias)


class GroupNorm(Channelled, frozen=True, kw_only=True):
    """Statistics over each of num_groups groups of channels of an image; x (channels, *space), of any rank."""

    kind: ClassVar[str] = "group_norm"
    num_groups: int
    num_channels: int | None = None
    affine: bool = True
    bias: bool = True
    eps: float = 1e-5

    @property
    def operations(self) -> int:
        """Mean and variance take three per element, scale and shift two."""
        return 5

    def settled(self, x: Shape) -> Self:
        """num_channels as a number that divides into the groups."""
        channels = must_be("num_channels", self.num_channels, x[0], "channels")
        if channels % self.num_groups:
            raise SpecError(
                f"num_channels={channels} is not a multiple of num_groups={self.num_groups}",
                field="num_groups",
                allowed="a divisor of num_channels",
            )
        _check_statistics(prod(x) // self.num_groups * prod(self.inputs[0][:1] if self.inputs else ()), "group")
        return msgspec.structs.replace(super().settled(x), num_channels=channels)

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight and bias (C) when affine."""
        return _affine((x[0],), weight=self.affine, bias=self.bias)


class LayerNorm(Companion, frozen=True, kw_only=True):
    """Statistics over the last axes; rms: the mean is left in place (RMSNorm), and there is no bias.

    normalized_shape None: the last axis. channel_axis: over axis 1 instead, as torchvision's LayerNorm2d does.
    """

    kind: ClassVar[str] = "layer_norm"
    normalized_shape: Shape | None = None
    affine: bool = True
    bias: bool = True
    rms: bool = False
    channel_axis: bool = False
    eps: float | None = 1e-5

    @property
    def operations(self) -> int:
        """Mean and variance take three per element, scale and shift two; without mean and shift three in all."""
        return 3 if self.rms else 5

    def settled(self, x: Shape) -> Self:
        """normalized_shape as the last sizes of x."""
        shape = self.normalized_shape
        found = (x[1],) if self.channel_axis and len(x) > 1 else x[len(x) - (1 if shape is None else len(shape)) :]
        if (shape is not None and shape != found) or not found:
            raise SpecError(
                f"normalized_shape={list(shape or ())}, but the input is {list(x)}",
                field="normalized_shape",
                allowed="the sizes of the input's channels"
                if self.channel_axis
                else "the sizes of the input's last axes",
                repair=str(list(found)),
            )
        return msgspec.structs.replace(self, normalized_shape=found)

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight and bias of normalized_shape."""
        del x
        return _affine(self.normalized_shape or (), weight=self.affine, bias=self.bias and not self.rms)


def _check_statistics(values: int, of: str) -> None:
    """Refuse, as torch does, to take the mean and the variance of a single value."""
    if values == 1:
        raise SpecError(f"there is one value per {of}: it has no variance", field="input", allowed="more cells")


def _affine(shape: Shape, *, weight: bool, bias: bool) -> dict[str, Shape]:
    return dict.fromkeys(("weight", "bias")[: weight + (weight and bias)], shape)
