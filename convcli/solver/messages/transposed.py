"""Transposed convolutions: channels, output_padding, sizes."""

from __future__ import annotations

import re

from convcli.solver.messages.convolution import input_fixes
from convcli.solver.messages.reader import NUMBER, SHAPE, counted, numbers, plain, reader, said, told, x
from convcli.solver.records import Fix, Reading


def _transposed_channels(found: re.Match[str]) -> Reading:
    weight, shape, wanted, got = numbers(found[1]), numbers(found[2]), int(found[3]), int(found[4])
    rank = max(len(weight) - 2, 1)
    code = f"ConvTranspose{rank}d({got}, {weight[1] if len(weight) > 1 else 1}, {said(weight[2:] or (1,))})"
    layer = Fix(
        f"make the layer for {counted(got, 'channel')}",
        code,
        when="the input is right; groups multiply its second number",
    )
    takes = counted(wanted, "input channel")
    means = f"The weight {x(weight)} of this transposed layer takes {takes}, and the input {x(shape)} has {got}."
    fixes = [*input_fixes(shape, wanted, got), layer]
    return told(
        found,
        "transposed convolution: input channels",
        means,
        fixes,
        weight=weight,
        input=shape,
        expected=wanted,
        got=got,
    )


def _output_padding(found: re.Match[str]) -> Reading:
    pairs = re.findall(r"(output_padding|stride|dilation)_?(?:\w+)?: ?(-?\d{1,18})", found[0])
    read = {
        name: tuple(int(value) for key, value in pairs if key == name)
        for name in ("output_padding", "stride", "dilation")
    }
    limits = [max(ends) for ends in zip(read["stride"], read["dilation"], strict=False)] or [1]
    fits = [min(extra, limit - 1) for extra, limit in zip(read["output_padding"], limits, strict=False)] or [0]
    strides = [
        max(extra + 1, stride) for extra, stride in zip(read["output_padding"], read["stride"], strict=False)
    ] or [1]
    means = (
        f"output_padding {said(read['output_padding'] or (0,))} must stay below max(stride, dilation) = {said(limits)}:"
        " beyond it lie cells that no tap ever reaches."
    )
    fixes = [
        Fix("take less", f"output_padding={said(fits)}", when="the stride is right"),
        Fix("take a longer stride", f"stride={said(strides)}", when="the output should be larger"),
        Fix("ask for the way from size to size", "convcli solve 112 224", when="with your sizes"),
    ]
    return told(found, "transposed convolution: output_padding", means, fixes, **read)


def _too_small(found: re.Match[str]) -> Reading:
    size, made = numbers(found[1]), numbers(found[2])
    lack = [-(-max(1 - one, 0) // 2) for one in made]
    means = (
        f"From {x(size)} cells this layer would make {x(made)}: the padding of a transposed layer crops,"
        " and nothing is left."
    )
    fixes = [
        Fix(f"pad by {said(lack or [1])} less", f"padding -= {said(lack or [1])}", when="a transposed layer"),
        Fix("take a larger kernel, or feed more cells", when="the padding is right"),
    ]
    return told(found, "transposed convolution: no output left", means, fixes, input=size, output=made)


def _output_size(found: re.Match[str]) -> Reading:
    asked, least, most, size = (numbers(found[place]) for place in (1, 2, 3, 4))
    means = f"From {x(size)} this layer makes {x(least)} to {x(most)}, by output_padding; {x(asked)} is beyond that."
    fixes = [
        Fix("ask for a size in that range", f"output_size={most}"),
        Fix("find a layer that does it", f"convcli solve {x(size)} {x(asked)} --transposed"),
    ]
    return told(
        found, "transposed convolution: output_size", means, fixes, asked=asked, least=least, most=most, input=size
    )


READERS = (
    reader(
        rf"Given transposed=\w+, weight of size {SHAPE}, expected input ?{SHAPE} to have {NUMBER} channels,"
        rf" but got {NUMBER} channels",
        _transposed_channels,
    ),
    plain(
        r"Only .zeros. padding mode is supported for (ConvTranspose\dd)",
        "padding: mode",
        "{1} crops where other layers pad, so it has no padding modes.",
        Fix("leave it out", "padding_mode='zeros'"),
        Fix("enlarge first, then convolve with that mode", "Upsample, Conv2d", "the mode matters"),
    ),
    reader(
        r"output padding must be smaller than either stride or dilation, but got ((?:\w{1,40}: ?-?\d{1,18},? ?){1,9})",
        _output_padding,
    ),
    reader(
        r"Given input size per channel: \(([\d x]{1,80})\)\. ?Calculated output size per channel: \(([-\d x]{1,80})\)",
        _too_small,
    ),
    reader(
        rf"requested an output size of [\[(]([\d, ]{{1,80}})[)\]], but valid sizes range from {SHAPE} to {SHAPE}"
        rf" \(for an input of {SHAPE}",
        _output_size,
    ),
)
