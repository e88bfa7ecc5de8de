"""Layers for the laws: the output's size is drawn first and the input derived from it, so nothing is rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from convcli.kernels.windows import last

if TYPE_CHECKING:
    from collections.abc import Callable

    from convcli.kernels.arguments import Array

WORK_DTYPES = (np.float16, np.float32, np.float64, np.int32, np.uint8)


def law(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The test for everything drawn; the first call may import torch, so no example has a deadline."""
    return lambda test: settings(deadline=None)(given(*strategies)(test))


@dataclass(frozen=True)
class Case:
    """One layer and its input; `out` is known before any kernel runs."""

    batch: int
    groups: int
    channels: int  # per group
    outs: int  # per group
    space: tuple[int, ...]
    out: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    output_padding: tuple[int, ...] = ()

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.batch, self.groups * self.channels, *self.space)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (self.batch, self.groups * self.outs, *self.out)

    @property
    def keywords(self) -> dict[str, Any]:
        sliding = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        return {**sliding, "output_padding": self.output_padding} if self.output_padding else sliding


def integers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Small whole numbers, so small that no sum of their products can round in any dtype used here."""
    least = 0 if np.dtype(dtype).kind == "u" else -4
    return np.random.default_rng(seed).integers(least, 5, shape).astype(dtype)


def quarters(shape: tuple[int, ...], dtype: Any, *, reach: int = 3, seed: int = 0) -> Array:
    """Multiples of 1/4 up to `reach` cells away."""
    return (np.random.default_rng(seed).integers(-4 * reach, 4 * reach + 1, shape) / 4).astype(dtype)


def stuffed(weight: Array, dilation: tuple[int, ...]) -> Array:
    """The kernel with dilation - 1 zeros between its taps."""
    spans = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    wide = np.zeros((*weight.shape[:2], *spans), weight.dtype)
    wide[last(*[slice(None, None, d) for d in dilation])] = weight
    return wide


@st.composite
def conv_cases(draw: st.DrawFn, ranks: tuple[int, ...] = (1, 2, 3), *, negative: bool = True) -> Case:
    rank = draw(st.sampled_from(ranks))
    axes = [draw(_conv_axes(negative=negative)) for _ in range(rank)]
    space, out, kernel, stride, dilation, padding = zip(*axes, strict=True)
    batch, groups, channels, outs = (draw(st.integers(*bounds)) for bounds in ((0, 2), (1, 3), (0, 2), (1, 2)))
    return Case(batch, groups, channels, outs, space, out, kernel, stride, dilation, padding)


@st.composite
def _conv_axes(draw: st.DrawFn, *, negative: bool) -> tuple[Any, ...]:
    out, kernel, stride, dilation = (draw(st.integers(1, 3)) for _ in range(4))
    room = (out - 1) * stride + dilation * (kernel - 1) + 1 + draw(st.integers(0, stride - 1))
    before = draw(st.integers(-1 if negative else 0, min(2, room - 1)))
    after = draw(st.integers(-1 if negative else 0, min(2, room - 1 - before)))
    return room - before - after, out, kernel, stride, dilation, (before, after)


@st.composite
def transposed_cases(draw: st.DrawFn, ranks: tuple[int, ...] = (1, 2, 3), *, negative: bool = True) -> Case:
    rank = draw(st.sampled_from(ranks))
    axes = [draw(_transposed_axes(negative=negative)) for _ in range(rank)]
    space, out, kernel, stride, dilation, padding, extra = zip(*axes, strict=True)
    batch, groups, channels, outs = (draw(st.integers(*bounds)) for bounds in ((0, 2), (1, 3), (0, 2), (1, 2)))
    return Case(batch, groups, channels, outs, space, out, kernel, stride, dilation, padding, extra)


@st.composite
def _transposed_axes(draw: st.DrawFn, *, negative: bool) -> tuple[Any, ...]:
    size, kernel, stride, dilation = (draw(st.integers(1, 3)) for _ in range(4))
    extra = draw(st.integers(0, max(stride, dilation) - 1))
    full = (size - 1) * stride + dilation * (kernel - 1) + 1 + extra
    before = draw(st.integers(-1 if negative else 0, min(2, full - 1)))
    after = draw(st.integers(-1 if negative else 0, min(2, full - 1 - before)))
    return size, full - before - after, kernel, stride, dilation, (before, after), extra
