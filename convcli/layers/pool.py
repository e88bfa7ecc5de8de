"""Pooling: the largest cell or the mean of every window."""

from __future__ import annotations

from math import prod
from typing import ClassVar

from convcli.errors import SpecError
from convcli.layers.base import Counts, Shape, split_batch, windows
from convcli.layers.companion import Companion
from convcli.reach import Bins, Link


class Pool(Companion, frozen=True, kw_only=True):
    """y[c, p] = max or mean over t of x[c, stride*p + dilation*t - before]

    ceil_mode: the last window may reach past the padded input, but not begin past the padding before it (torch's rule).
    count_include_pad: whether a mean counts padding zeros as cells. divisor_override: what a mean divides by instead.
    """

    kind: ClassVar[str] = "pool"
    spatial: ClassVar[bool] = True
    function: str = "max"
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """((N,) or (), (C, *space))"""
        return super(Companion, self).split(shape)

    def settled(self, x: Shape) -> Pool:
        """Padding of at most half the kernel, and no input smaller than a 3-D mean's kernel, as torch has it."""
        small = any(size < axis.kernel for size, axis in zip(x[1:], self.axes, strict=True))
        if small and self.function == "avg" and len(self.axes) == 3:
            raise SpecError(
                f"the input {list(x[1:])} is smaller than the kernel",
                field="kernel_size",
                allowed="no more than the input, its padding apart, in 3-D",
            )
        for axis in self.axes:
            if axis.before < 0 or axis.before > axis.kernel // 2:
                raise SpecError(
                    f"padding={axis.before} is too large for kernel_size={axis.kernel}",
                    field="padding",
                    allowed="at most half of the kernel",
                )
        return self

    def output(self, x: Shape) -> Shape:
        """(C, *space), each axis rounded down, or up with ceil_mode."""
        return (x[0], *[axis.pooled(size, ceil=self.ceil_mode) for axis, size in zip(self.axes, x[1:], strict=True)])

    def counts(self, x: Shape, batch: int) -> Counts:
        """A comparison or a sum per tap, and for a mean the division."""
        taps = prod(axis.kernel for axis in self.axes) + (self.function == "avg")
        return Counts(0, 0, 0, 0, elementwise_flops=batch * prod(self.output(x)) * taps)

    def links(self, x: Shape) -> tuple[Link, ...]:
        """A convolution's."""
        del x
        return windows(self.axes)


class AdaptivePool(Companion, frozen=True, kw_only=True):
    """y[c, p]: the largest or the mean of the cells from floor(p*in/out) to ceil((p+1)*in/out).

    output_size: one number per spatial axis, None to leave an axis as long as it is.
    """

    kind: ClassVar[str] = "adaptive_pool"
    spatial: ClassVar[bool] = True
    function: str = "avg"
    output_size: tuple[int | None, ...]

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.output_size)

    def split(self, shape: Shape) -> tuple[Shape, Shape]:
        """((N,) or (), (C, *space))"""
        return split_batch(shape, self.rank)

    def output(self, x: Shape) -> Shape:
        """(C, *output_size)"""
        return (x[0], *[size if said is None else said for said, size in zip(self.output_size, x[1:], strict=True)])

    def counts(self, x: Shape, batch: int) -> Counts:
        """A comparison or a sum per cell of every window, and for a mean the division."""
        out = self.output(x)[1:]
        cells = prod(_cells(size, there) for size, there in zip(x[1:], out, strict=True))
        divisions = prod(out) if self.function == "avg" else 0
        return Counts(0, 0, 0, 0, elementwise_flops=batch * x[0] * (cells + divisions))

    def links(self, x: Shape) -> tuple[Link, ...]:
        """A bin for each output cell."""
        return tuple([Bins(size, there) for size, there in zip(x[1:], self.output(x)[1:], strict=True)])


def _cells(size: int, out: int) -> int:
    """The cells of all windows together, along one axis: their lengths added up."""
    return sum(-(-(p + 1) * size // out) - p * size // out for p in range(out)) if out <= 10**6 else size
