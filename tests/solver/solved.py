"""What the solver's tests share: sizes counted one by one, and torch's own word on a layer."""

from __future__ import annotations

import warnings
from typing import Any

import convcli
from convcli.solver.records import Reading, Repairs, Way, Ways


def counted(kernel: int, stride: int, dilation: int, before: int, after: int, size: int) -> int:
    """How often a convolution's kernel fits into the padded input: by trying every place."""
    cells = size + before + after
    return sum(start + dilation * (kernel - 1) < cells for start in range(0, max(cells, 0), stride))


def scattered(kernel: int, stride: int, dilation: int, crop: int, extra: int, size: int) -> int:
    """How many cells a transposed layer's taps span, less what is cropped; 0 for none."""
    last = max(stride * cell + dilation * tap for cell in range(size) for tap in range(kernel))
    return max(last + 1 - crop + extra, 0)


def ways(*question: Any, **space: Any) -> Ways:
    """The answer to two sizes."""
    answer = convcli.solve(*question, **space)
    assert isinstance(answer, Ways)
    return answer


def repairs(layer: str, shape: tuple[int, ...] | None = None) -> Repairs:
    """The answer to a layer."""
    answer = convcli.solve(layer, input=shape, limit=100)
    assert isinstance(answer, Repairs)
    return answer


def reading(message: str) -> Reading:
    """The answer to a message."""
    answer = convcli.solve(message)
    assert isinstance(answer, Reading)
    return answer


def numbers(way: Way) -> tuple[int, ...]:
    """kernel, dilation, padding before and after, stride, output_padding of the first axis of a single layer."""
    (step,) = way.layers
    return (step.kernel_size[0], step.dilation[0], *step.padding[0], step.stride[0], step.output_padding[0])


def in_torch(layer: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that torch's CPU layer makes of zeros; None for a layer whose words torch does not have."""
    import torch

    from convcli.spec.spelling import spelled

    fields = spelled(layer).fields
    padding = fields.get("padding", 0)
    pairs = isinstance(padding, list) and any(isinstance(pair, list) for pair in padding)
    made = getattr(torch.nn, fields.pop("type"), None)
    if made is None or pairs or (isinstance(padding, str) and padding.startswith("same_")):
        return None
    arguments = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")
        return tuple(made(**arguments)(torch.zeros(shape)).shape)
