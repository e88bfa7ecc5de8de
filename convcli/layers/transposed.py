"""Transposed convolution: the adjoint x = C^T y of a convolution y = Cx, with the convolution's own weight."""

from __future__ import annotations

from functools import lru_cache
from math import gcd, prod
from typing import ClassVar, Self

import msgspec

from convcli.axis import Axis, whole
from convcli.layers.base import Counts, Layer, Shape, check_groups
from convcli.reach import Link, Scatter


class ConvTranspose(Layer, frozen=True, kw_only=True):
    """y[o, stride*p + dilation*t - before] += weight[i, o, t] * x[i, p], then + bias[o] everywhere"""

    kind: ClassVar[str] = "conv_transpose"
    out_channels: int
    groups: int = 1
    bias: bool = True

    def settled(self, x: Shape) -> Self:
        """Channels and padding as numbers; output_padding must stay below max(stride, dilation), as in torch."""
        channels = whole("in_channels", self.settled_in_channels(x), least=1)  # torch's kernels refuse none
        check_groups(channels, self.out_channels, self.groups)
        return msgspec.structs.replace(self, axes=_settled_axes(self.axes, x[1:]), in_channels=channels)

    def output(self, x: Shape) -> Shape:
        """(out_channels, *space), each axis by (size - 1)*stride - before - after + span + output_padding."""
        return (self.out_channels, *_outs(self.axes, x[1:]))

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight (C, O/groups, *kernel) and bias (O)."""
        weight = (x[0], self.out_channels // self.groups, *[axis.kernel for axis in self.axes])
        return {"weight": weight, "bias": (self.out_channels,)} if self.bias else {"weight": weight}

    def counts(self, x: Shape, batch: int) -> Counts:
        """macs: every input position uses every weight of its channel once (scatter, torch's number).

        macs_kept, which is also macs_nonpad: the products that land in the cropped output. macs_zero_insert: what the
        equivalent convolution on the zero-inserted input multiplies.
        """
        space = self.output(x)[1:]
        taps = prod(axis.kernel for axis in self.axes)
        channel_pairs = batch * x[0] * (self.out_channels // self.groups)
        kept = channel_pairs * prod([axis.pairs(o, i) for axis, i, o in zip(self.axes, x[1:], space, strict=True)])
        touched = prod(_touched(axis, i, o) for axis, i, o in zip(self.axes, x[1:], space, strict=True))
        return Counts(
            macs=channel_pairs * prod(x[1:]) * taps,
            macs_nonpad=kept,
            bias_adds=batch * self.out_channels * prod(space) if self.bias else 0,
            sums=batch * self.out_channels * touched if x[0] else 0,
            macs_kept=kept,
            macs_zero_insert=channel_pairs * prod(space) * taps,
        )

    def links(self, x: Shape) -> tuple[Link, ...]:
        """What an output cell receives: neighbours take turns, the jump shrinks by the stride."""
        return _links(self.axes)


# The layers of a big spec have few different windows, on few different sizes.


@lru_cache(4096)
def _settled_axes(axes: tuple[Axis, ...], space: Shape) -> tuple[Axis, ...]:
    for axis in axes:
        axis.check_output_padding()
    return tuple([axis.transposed_settled(size) for axis, size in zip(axes, space, strict=True)])


@lru_cache(4096)
def _outs(axes: tuple[Axis, ...], space: Shape) -> Shape:
    return tuple([axis.transposed_out(size) for axis, size in zip(axes, space, strict=True)])


@lru_cache(4096)
def _links(axes: tuple[Axis, ...]) -> tuple[Link, ...]:
    return tuple([Scatter(axis) for axis in axes])


def _touched(axis: Axis, size: int, out: int) -> int:
    """How many of the `out` cells receive at least one product.

    Taps whose distance is a multiple of the stride reach the same cells modulo the stride; each such class covers runs
    of `size` strided cells, one run every `step`.
    """
    period = axis.stride // gcd(axis.stride, axis.dilation)
    step = axis.dilation // gcd(axis.stride, axis.dilation)
    touched = 0
    for tap in range(min(axis.kernel, period)):
        first, residue = divmod(tap * axis.dilation - axis.before, axis.stride)
        runs = -(-(axis.kernel - tap) // period)
        length, every = (size, step) if step > size else (size + (runs - 1) * step, 0)
        last = -(-(out - residue) // axis.stride)
        touched += _covered(last - first, length, every, runs) - _covered(-first, length, every, runs)
    return touched if size else 0


def _covered(bound: int, length: int, every: int, runs: int) -> int:
    """Cells below `bound` in runs of `length` that start at 0, every, 2*every, ...; a single run when `every` is 0."""
    if bound <= 0 or not every:
        return max(0, min(bound, length))
    whole_runs = min(runs, bound // every)
    return whole_runs * length + (min(bound - whole_runs * every, length) if whole_runs < runs else 0)
