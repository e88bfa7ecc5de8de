"""What a check will take, worked out before anything is allocated."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

from convcli.layers import Layer, OnRoIs, Part, Shape

DEFAULT = 4 << 30  # where the system does not tell
ITEM = {"float64": 8, "float32": 4, "float16": 4, "bfloat16": 4}  # halves are summed in single


def forward_bytes(layer: Layer, batch: Shape, x: Shape, dtype: str) -> int:
    """The most that one check of the forward pass holds at a time, in both workers, on files and here.

    Counted in copies: inputs and weights, ours, the other side's, their absolute values and the files; outputs, two
    results, S, the file of each and the comparison. The other side may spread out all its columns (torch's im2col
    does, for the whole batch); ours are blocks of some MiB.
    """
    parts = layer.parts(x) or (Part("", layer, x),)
    return max(_elements(part.layer, prod(part.of(batch)), part.x) for part in parts) * ITEM[dtype]


def _elements(layer: Layer, images: int, x: Shape) -> int:
    if isinstance(layer, OnRoIs):  # four cells of each sample lie side by side, in torch those of all boxes
        return (
            5 * (prod(x) + _side(layer, x))
            + 8 * prod(layer.output(x))
            + 4 * (layer.counts(x, 1).interpolation_macs or 0)
        )
    space = prod(layer.output(x)[1:])
    inputs, weights = images * (prod(x) + _side(layer, x)), _weights(layer, x)
    taps = prod(axis.kernel for axis in layer.axes)
    columns = images * taps * (layer.output(x)[0] * prod(x[1:]) if layer.kind == "conv_transpose" else x[0] * space)
    return 5 * (inputs + weights) + 8 * images * prod(layer.output(x)) + (columns if taps > 1 else 0)


def backward_bytes(layer: Layer, batch: Shape, x: Shape, dtype: str) -> int:
    """As much for the gradients: every input and weight has one, on both sides, with its S."""
    parts = layer.parts(x) or (Part("", layer, x),)
    return 2 * forward_bytes(layer, batch, x, dtype) + ITEM[dtype] * max(
        8 * (prod(part.of(batch)) * (prod(part.x) + _side(part.layer, part.x)) + _weights(part.layer, part.x))
        for part in parts
    )


def _side(layer: Layer, x: Shape) -> int:
    return sum(map(prod, layer.side_inputs(x).values()))


def _weights(layer: Layer, x: Shape) -> int:
    return sum(map(prod, layer.tensors(x).values()))


def memory_limit() -> int:
    """Half of the memory that is free now."""
    return _available() // 2


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not POSIX
        return 2 * DEFAULT


def gigabytes(size: int) -> str:
    """12.4 GB."""
    return f"{size / 1e9:.1f} GB" if size < 1e15 else f"{size:.1e} bytes"
