"""A dense layer holds its padded input and 2 MiB, whatever its size: on one to three axes, any stride, any dilation."""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pytest

from convcli import kernels
from convcli.axis import axes

ROOM = 2 * 2**20
MACS, BYTES = 5 * 10**7, 2**24  # at most, of a drawn layer and of its arrays: some hundredths of a second
DRAWN = 40


@dataclass(frozen=True)
class Dense:
    """A layer with one group, and what `kernels.conv` is given besides the arrays."""

    x: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    dtype: str = "float32"

    @property
    def out(self) -> tuple[int, ...]:
        """The positions."""
        one_each = axes(self.weight[2:], stride=self.stride, padding=self.padding, dilation=self.dilation)
        return tuple(axis.out(size) for axis, size in zip(one_each, self.x[2:], strict=True))

    @property
    def padded_bytes(self) -> int:
        """Of the padded input."""
        grown = [before + size + after for size, (before, after) in zip(self.x[2:], self.padding, strict=True)]
        return prod(self.x[:2]) * prod(grown) * np.dtype(self.dtype).itemsize

    def held_bytes(self) -> int:
        """At the peak, besides x, weight and y; y is held to the sum of products of ones."""
        x, weight = np.ones(self.x, self.dtype), np.ones(self.weight, self.dtype)
        keywords: dict[str, Any] = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        tracemalloc.start()
        y = kernels.conv(x, weight, **keywords)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        middle = (0, 0, *[size // 2 for size in self.out])
        assert 0 <= y[middle] <= prod(self.weight[1:])
        assert y.max() <= prod(self.weight[1:])
        return peak - y.nbytes


def drawn(seed: int) -> Dense:
    """A layer of a few MiB; the positions come first, and the input follows from them."""
    draw = random.Random(seed)  # noqa: S311 - data, not secrets
    while True:
        rank = draw.randint(1, 3)

        def each(*values: int, rank: int = rank) -> tuple[int, ...]:
            return tuple(draw.choice(values) for _ in range(rank))

        n, channels, outs = draw.choice((1, 1, 2, 5, 16)), *(draw.choice((1, 17, 64, 200, 512, 1024)) for _ in "io")
        kernel, stride, dilation = each(1, 2, 3, 3, 5, 11), each(1, 1, 2, 3), each(1, 1, 2, 4)
        before, after, out = each(0, 1, 3), each(0, 1, 2), each(1, 3, 7, 14, 30, 61, 120, 500, 3000)
        steps = zip(out, stride, dilation, kernel, before, after, strict=True)
        space = tuple((o - 1) * s + d * (k - 1) + 1 - b - a for o, s, d, k, b, a in steps)
        padding = tuple(zip(before, after, strict=True))
        dtype = draw.choice(("float32", "float64"))
        layer = Dense((n, channels, *space), (outs, channels, *kernel), stride, padding, dilation, dtype)
        numbers = (layer.padded_bytes, 8 * prod(layer.weight), 8 * n * outs * prod(out))
        large = max(numbers) > BYTES or n * prod(layer.weight) * prod(out) > MACS
        if min(space) >= 1 and not large and max(numbers) > BYTES // 16:
            return layer


def test_a_dense_layer_holds_the_padded_input_and_two_mebibytes() -> None:
    layers = [drawn(seed) for seed in range(DRAWN)]
    assert {len(layer.out) for layer in layers} == {1, 2, 3}
    assert {layer.dtype for layer in layers} == {"float32", "float64"}
    over = {layer: layer.held_bytes() - layer.padded_bytes for layer in layers}
    assert {layer: extra for layer, extra in over.items() if extra > ROOM} == {}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x", "weight"),
    [((1, 64, 100), (64, 64, 3)), ((1, 32, 40, 40), (32, 32, 3, 3)), ((1, 16, 10, 12, 14), (16, 16, 3, 3, 3))],
    ids=["1-D", "2-D", "3-D"],
)
def test_what_is_held_does_not_grow_with_the_layer(x: tuple[int, ...], weight: tuple[int, ...], dtype: str) -> None:
    """Of a layer 2 and 8 times the size only the padded input is larger."""
    rank = len(x) - 2
    for times in (2, 8):
        size = (*x[:2], times * x[2], *x[3:])
        layer = Dense(size, weight, (1,) * rank, ((1, 1),) * rank, (1,) * rank, dtype)
        assert layer.held_bytes() <= layer.padded_bytes + ROOM


@pytest.mark.parametrize(
    "layer",
    [
        Dense((16, 1024, 8, 119), (64, 1024, 1, 1), (2, 2), ((2, 3), (2, 0)), (1, 1)),
        Dense((16, 17, 360), (2048, 17, 5), (3,), ((1, 1),), (1,)),
    ],
    ids=["one tap with stride and padding", "several samples in a block"],
)
def test_layers_that_held_more_once(layer: Dense) -> None:
    assert layer.held_bytes() <= layer.padded_bytes + ROOM
