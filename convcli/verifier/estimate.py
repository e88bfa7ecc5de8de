"""What a check will take, worked out before anything is allocated."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

from convcli.layers import Layer, Shape

DEFAULT = 4 << 30  # where the system does not tell
ITEM = {"float64": 8, "float32": 4, "float16": 4, "bfloat16": 4}  # halves are summed in single


def forward_bytes(layer: Layer, batch: Shape, x: Shape, dtype: str) -> int:
    """The most that one check of the forward pass holds at a time, in both workers, on files and here.

    Counted in copies: inputs and weights, ours, the other side's, their absolute values and the files; outputs, two
    results, S, the file of each and the comparison. The other side may spread out all its columns (torch's im2col
    does, for the whole batch); ours are blocks of some MiB.
    """
    parts = [(part.layer, part.x) for part in layer.parts(x)] or [(layer, x)]
    return max(_elements(part, prod(batch), shape) for part, shape in parts) * ITEM[dtype]


def _elements(layer: Layer, images: int, x: Shape) -> int:
    space = prod(layer.output(x)[1:])
    inputs, weights = images * (prod(x) + _side(layer, x)), _weights(layer, x)
    taps = prod(axis.kernel for axis in layer.axes)
    columns = images * taps * (layer.output(x)[0] * prod(x[1:]) if layer.kind == "conv_transpose" else x[0] * space)
    return 5 * (inputs + weights) + 8 * images * prod(layer.output(x)) + (columns if taps > 1 else 0)


def backward_bytes(layer: Layer, batch: Shape, x: Shape, dtype: str) -> int:
    """As much for the gradients: every input and weight has one, on both sides, with its S."""
    parts = [(part.layer, part.x) for part in layer.parts(x)] or [(layer, x)]
    return 2 * forward_bytes(layer, batch, x, dtype) + ITEM[dtype] * max(
        8 * (prod(batch) * (prod(shape) + _side(part, shape)) + _weights(part, shape)) for part, shape in parts
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
