"""Pooling: windows larger than the input, padding beyond half of them, axes."""

from __future__ import annotations

import re

from convcli.axis import Axis
from convcli.solver.messages.reader import NUMBER, numbers, plain, reader, said, told, x
from convcli.solver.records import Fix, Reading

SMALLER = (
    Fix("take a smaller window or stride", "kernel_size", "the input is right"),
    Fix("pool once less", when="the input got small on the way: every pool of 2 halves it"),
    Fix("pool to a fixed size", "AdaptiveAvgPool2d(1)", "this is the last pool"),
    Fix("feed larger inputs", when="the images are smaller than the network was made for"),
)


def _nothing(found: re.Match[str]) -> Reading:
    size, made = numbers(found[1]), numbers(found[2])
    means = (
        f"From {x(size)} (C and the spatial axes) the pool would make {x(made)}: its window is larger than the input."
    )
    return told(found, "pooling: the window is larger than the input", means, SMALLER, input=size, output=made)


def _nothing_1d(found: re.Match[str]) -> Reading:
    means = f"The pool would make {found[1]} cells: its window is larger than the padded input."
    return told(found, "pooling: the window is larger than the input", means, SMALLER, output=int(found[1]))


def _window(found: re.Match[str]) -> Reading:
    size, kernel = numbers(found[1]), numbers(found[2])
    means = f"The pool's window is {x(kernel)}, and the padded input has only {x(size)} cells."
    return told(found, "pooling: the window is larger than the input", means, SMALLER, input=size, kernel_size=kernel)


def _half(found: re.Match[str]) -> Reading:
    pads = tuple(map(int, re.findall(r"\bpad\w{0,8} ?= ?(-?\d{1,18})", found[1])))
    kernels = tuple(map(int, re.findall(r"\bk\w{0,12} ?= ?(-?\d{1,18})", found[1])))
    rates = tuple(map(int, re.findall(r"\bdilation ?= ?(-?\d{1,18})", found[1]))) or (1,) * len(kernels)
    halves = [Axis(kernel, dilation=rate).span // 2 for kernel, rate in zip(kernels, rates, strict=False)]
    means = (
        f"A pool pads by at most half its window, so that every window holds real cells: {said(halves or (0,))} for a"
        f" window of {said(kernels or (0,))}, not {said(pads or (0,))}."
    )
    fixes = (
        Fix("pad by half at the most", f"padding={said(halves or (0,))}", "the window is right"),
        Fix(
            "take a larger window",
            f"kernel_size={said([max(k, 2 * p) for k, p in zip(kernels, pads, strict=False)] or (1,))}",
            "the padding is right",
        ),
        Fix("pad before the pool", "F.pad(x, ..., value=-inf)", "so much padding is meant"),
    )
    return told(found, "pooling: padding beyond half the window", means, fixes, padding=pads, kernel_size=kernels)


READERS = (
    reader(r"Given input size: \(([\dx]{1,80})\)\. ?Calculated output size: \(([-\dx]{1,80})\)", _nothing),
    reader(rf"max_pool1d\(\) Invalid computed output size: {NUMBER}", _nothing_1d),
    reader(r"input image \(([TWHD: \d]{1,80})\) smaller than kernel size \(([kTWHD: \d]{1,80})\)", _window),
    reader(
        r"pad(?:ding)? should be (?:at most|smaller than(?: or equal to)?) half of (?:effective )?kernel size,"
        r" but got ([\w ,=]{1,200})",
        _half,
    ),
    plain(
        r"non-empty \dD or \dD \(batch mode\) tensor expected for input",
        "pooling: axes of the input",
        "The pool takes C and the spatial axes, with a batch or without, and the input has another number of axes.",
        Fix("add batch and channel", "x[None, None]", "this is one image of one channel"),
        Fix("pool before flattening", when="the input was flattened already"),
    ),
    plain(
        r"Expected (\d) to (\d) dimensions, but got (\d)-dimensional tensor for argument #\d",
        "pooling: axes of the input",
        "The layer takes {1} or {2} axes, and the input has {3}.",
        Fix("add batch and channel", "x[None, None]", "this is a bare signal"),
        Fix("add the channel", "x.unsqueeze(1)", "the first axis is the batch"),
    ),
    plain(
        r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], but got (-?\d+)\)",
        "axes: one that the tensor does not have",
        "Axis {3} was asked for, and the tensor has axes {1} to {2} only.",
        Fix("add the batch", "x.unsqueeze(0)", "the tensor lacks an axis"),
        Fix("count the axes again", "x.dim()", "an axis was squeezed or flattened before"),
    ),
)
