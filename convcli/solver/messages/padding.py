"""Padding: words, modes, and more than there is to pad with."""

from __future__ import annotations

import re

from convcli.solver.messages.reader import NUMBER, SHAPE, numbers, plain, reader, told, x
from convcli.solver.records import Fix, Reading


def _reflect(found: re.Match[str]) -> Reading:
    padding, place, shape = numbers(found[1]), int(found[2]), numbers(found[3])
    size = shape[place] if 0 <= place < len(shape) else 0
    means = (
        f"Reflection repeats no edge, so it pads {size} cells by {size - 1} at the most,"
        f" not by {max(padding, default=0)} (axis {place} of {x(shape)})."
    )
    fixes = [
        Fix(f"pad by {size - 1} at the most", f"padding={max(size - 1, 0)}"),
        Fix("repeat the edge", "padding_mode='replicate'", when="it pads by any number"),
        Fix(f"feed at least {max(padding, default=0) + 1} cells", when="the input got smaller than it should"),
    ]
    return told(found, "padding: more than reflection has", means, fixes, padding=padding, axis=place, input=shape)


READERS = (
    plain(
        r"negative padding is not supported",
        "convolution: padding",
        "The padding is negative; PyTorch's convolutions do not crop.",
        Fix("take at least 0", "padding=0"),
        Fix("crop before the layer", "x[..., 1:-1, 1:-1]", "cropping is meant"),
    ),
    plain(
        r"padding=.same. is not supported for strided convolutions",
        "convolution: 'same' with a stride",
        "padding='same' keeps the size, and a stride larger than 1 does not.",
        Fix("pad by half the kernel", "padding=(kernel_size - 1) // 2", "odd kernels: makes ceil(in/stride)"),
        Fix("keep the size", "stride=1", "it should stay"),
        Fix("pad with F.pad as TensorFlow does", "convcli shape \"... padding='same_upper'\"", "its SAME is meant"),
    ),
    plain(
        r"Invalid padding string '?(\w{1,40})'?",
        "convolution: padding",
        "{1!r} is no padding: PyTorch has numbers, 'same' and 'valid'.",
        Fix("pad by kernel_size - 1", "padding=kernel_size - 1", "'full' is meant, as in scipy"),
        Fix("keep the size", "padding='same'", "the stride is 1"),
        Fix("do not pad", "padding='valid'"),
    ),
    reader(
        rf"Padding size should be less than the corresponding input dimension, but got: padding \(([\d, -]{{1,80}})\)"
        rf" at dimension {NUMBER} of input {SHAPE}",
        _reflect,
    ),
    plain(
        r"Padding value causes wrapping around more than once",
        "padding: more than once around",
        "Circular padding takes cells from the other end, and has no more of them than the input has cells.",
        Fix("pad by at most the input's size", "padding=size"),
        Fix("repeat the edge", "padding_mode='replicate'", "it pads by any number"),
    ),
    plain(
        r"padding_mode must be one of .{1,100}? but got padding_mode='(\w{1,40})'",
        "padding: mode",
        "{1!r} is no padding mode.",
        Fix("take one of them", "padding_mode='circular'", "'wrap' is meant, as numpy says it"),
        Fix("take one of them", "padding_mode='replicate'", "'edge' is meant, as numpy says it"),
    ),
)
