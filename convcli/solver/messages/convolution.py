"""Convolutions and transposed ones: channels, axes, kernels, padding, groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import gcd

from convcli.axis import Axis
from convcli.solver.messages.reader import NUMBER, SHAPE, counted, numbers, permuted, plain, reader, said, told, x
from convcli.solver.records import Fix, Reading, Sizes

SEE = "with your numbers, convcli names what is legal"
RANKS = {"conv1d": 1, "conv2d": 2, "conv3d": 3, "conv_transpose1d": 1, "conv_transpose2d": 2, "conv_transpose3d": 3}


def _channels(found: re.Match[str]) -> Reading:
    groups, weight, shape = max(int(found[1]), 1), numbers(found[2]), numbers(found[3])
    wanted, got = int(found[4]), int(found[5])
    rank = max(len(weight) - 2, 1)
    fixes = [*input_fixes(shape, wanted, got), *_layer_fixes(groups, weight, got, rank)]
    takes = counted(wanted, "input channel")
    means = f"The weight {x(weight)} of this convolution takes {takes}, and the input {x(shape)} has {got}."
    return told(
        found,
        "convolution: input channels",
        means,
        fixes,
        groups=groups,
        weight=weight,
        input=shape,
        expected=wanted,
        got=got,
    )


def _layer_fixes(groups: int, weight: Sizes, got: int, rank: int) -> Iterator[Fix]:
    out, per_group = weight[0], max(weight[1], 1) if len(weight) > 1 else 1
    if groups > 1 and got % per_group == 0 and out % max(got // per_group, 1) == 0:
        yield Fix(
            f"split into {counted(got // per_group, 'group')}", f"groups={got // per_group}", when="the weight is right"
        )
    if got % groups == 0:
        more = f", groups={groups}" if groups > 1 else ""
        code = f"Conv{rank}d({got}, {out}, {said(weight[2:] or (1,))}{more})"
        yield Fix(
            f"make the layer for {counted(got, 'channel')}", code, when="the input is right; keep stride and padding"
        )
    else:
        yield Fix(f"give it channels that divide into {groups} groups", when="the groups are right")


def input_fixes(shape: Sizes, wanted: int, got: int) -> Iterator[Fix]:
    """What may be done to an input whose channels are not those that a layer takes."""
    axes, rest = len(shape), ", -1" * max(len(shape) - 2, 0)
    if axes > 2 and shape[-1] == wanted != got:
        yield Fix(
            "bring the channels to the front", permuted(axes), when="the input is channels-last, as images are read"
        )
    if shape[0] == wanted and got == 1:
        yield Fix("swap batch and channels", "x.transpose(0, 1)", when="the channels stand where the batch belongs")
    if got == 1 < wanted:
        yield Fix(
            f"repeat the one channel {wanted} times",
            f"x.expand(-1, {wanted}{rest})",
            when="grey images, a network for colour",
        )
    if (wanted, got) == (1, 3):
        yield Fix("make the image grey", "x.mean(1, keepdim=True)", when="colour images, a network for grey ones")
    if (wanted, got) == (3, 4):
        yield Fix("drop alpha", "x[:, :3]", when="images with transparency: image.convert('RGB')")
    if not (got == 1 < wanted or (wanted, got) in {(1, 3), (3, 4)}):
        yield Fix(
            f"make {counted(wanted, 'channel')} in the layer before",
            f"out_channels={wanted}",
            when="this layer is right",
        )


def _axes(found: re.Match[str]) -> Reading:
    name, shape = found[3].lower(), numbers(found[4])
    rank = RANKS.get(name, int(found[1]) - 1)
    means = (
        f"{name} takes {rank + 1} axes (C and {rank} spatial) or {rank + 2} with the batch,"
        f" and the input {x(shape)} has {len(shape)}."
    )
    return _told_of_axes(found, means, shape, rank)


def _old_axes(found: re.Match[str]) -> Reading:
    rank, shape = int(found[1]) - 2, numbers(found[2])
    means = f"The layer takes {rank + 2} axes (N, C and {rank} spatial), and the input {x(shape)} has {len(shape)}."
    return _told_of_axes(found, means, shape, rank)


def _told_of_axes(found: re.Match[str], means: str, shape: Sizes, rank: int) -> Reading:
    return told(
        found,
        "convolution: axes of the input",
        means,
        list(_axes_fixes(shape, rank)),
        rank=rank,
        input=shape,
        axes=len(shape),
    )


def _axes_fixes(shape: Sizes, rank: int) -> Iterator[Fix]:
    if len(shape) == rank + 1:
        yield Fix("add the batch", "x.unsqueeze(0)", when="this is one image (C, ...)")
    if len(shape) == rank:
        yield Fix("add batch and channel", "x[None, None]", when="this is one image of one channel")
        yield Fix("add the channel", "x.unsqueeze(1)", when="the first axis is the batch")
    for place, size in enumerate(shape):
        if len(shape) > rank + 2 and size == 1:
            yield Fix(f"drop axis {place}, which has one entry", f"x.squeeze({place})", when="it is an axis too many")
    if len(shape) == rank + 3:
        yield Fix("make the first two axes one batch", "x.flatten(0, 1)", when="frames or crops of several images")
    if 1 <= len(shape) - 2 <= 3 and len(shape) - 2 != rank:
        yield Fix("take the layer of the input's rank", f"Conv{len(shape) - 2}d", when="the input is right")


def _kernel(found: re.Match[str]) -> Reading:
    padded, span = numbers(found[1]), numbers(found[2])
    axes = [(Axis(max(kernel, 1)), size) for kernel, size in zip(span, padded, strict=False)]
    more = [-(-axis.lacking(size) // 2) for axis, size in axes]
    short = [str(place) for place, (axis, size) in enumerate(axes) if axis.lacking(size)]
    fits = [min(kernel, size) for kernel, size in zip(span, padded, strict=False)]
    means = (
        f"The kernel spans {x(span)} cells (dilation included), and the padded input has only {x(padded)} of them"
        f" (too few along spatial axis {', '.join(short)})."
    )
    fixes = [
        Fix(
            f"pad by {said(more or [0])} more at each end", f"padding += {said(more or [0])}", when="the layer is right"
        ),
        Fix("shrink less before this layer", when="the input got small on the way: a stride or a pool too many"),
        Fix(
            f"feed larger inputs: at least {x(span)} must arrive here",
            when="the images are smaller than the network was made for",
        ),
    ]
    if min(fits, default=0) >= 1:
        fixes.append(
            Fix(
                f"take a kernel that spans at most {x(fits)}",
                f"kernel_size={said(fits)}",
                when="the input is right; without dilation",
            )
        )
    return told(found, "convolution: the kernel is larger than its input", means, fixes, padded_input=padded, span=span)


def _weight_groups(found: re.Match[str]) -> Reading:
    groups, weight = int(found[1]), numbers(found[2])
    means = f"{weight[0] if weight else 0} output channels (weight {x(weight)}) do not divide into {groups} groups."
    return told(
        found,
        "convolution: groups",
        means,
        list(_group_fixes(weight[0] if weight else 0, groups)),
        groups=groups,
        weight=weight,
    )


def _group_fixes(channels: int, groups: int) -> Iterator[Fix]:
    if groups and channels:
        divisor = gcd(channels, groups)
        yield Fix(f"take {counted(divisor, 'group')}", f"groups={divisor}", when=f"{channels} channels are right")
        below = channels // groups * groups
        both = " or ".join(str(count) for count in (below, below + groups) if count)
        yield Fix(f"take {both} channels", when=f"{groups} groups are right")


def _bias(found: re.Match[str]) -> Reading:
    weight, wanted, got = numbers(found[1]), int(found[2]), numbers(found[3])
    means = f"The weight {x(weight)} makes {wanted} channels, each with one bias, and the bias has the shape {x(got)}."
    fixes = [Fix(f"give the bias {wanted} entries", f"bias of shape ({wanted},)"), Fix("do without", "bias=None")]
    return told(found, "convolution: bias", means, fixes, weight=weight, expected=wanted, got=got)


READERS = (
    reader(
        rf"Given groups=(\d{{1,18}}), weight of size {SHAPE}, expected input ?{SHAPE} to have {NUMBER} channels,"
        rf" but got {NUMBER} channels",
        _channels,
    ),
    reader(
        rf"Expected (\d)D \(unbatched\) or (\d)D \(batched\) input to (\w{{1,40}}), but got input of size: {SHAPE}",
        _axes,
    ),
    reader(
        rf"Expected (\d)-dimensional input for \d-dimensional weight.{{1,200}}?"
        rf" got \d-dimensional input of size {SHAPE}",
        _old_axes,
    ),
    reader(
        r"Calculated padded input size per channel: \(([\d x]{1,80})\)\. ?Kernel size: \(([\d x]{1,80})\)\.", _kernel
    ),
    reader(
        rf"Given groups=(\d{{1,18}}), expected weight to be (?:divisible by|at least) .{{1,60}}?"
        rf" got weight of size {SHAPE}",
        _weight_groups,
    ),
    plain(
        r"(in_channels|out_channels) must be divisible by groups",
        "convolution: groups",
        "Every group has as many channels as any other, and {1} is no multiple of groups.",
        Fix("take groups that divide in_channels and out_channels", 'convcli solve "Conv2d(6, 8, 3, groups=4)"', SEE),
        Fix("make out_channels a multiple of in_channels", "groups=in_channels", "a depthwise layer"),
    ),
    plain(
        r"non-positive stride is not supported|stride should be greater than zero",
        "convolution: stride",
        "The stride is 0 or negative.",
        Fix("take at least 1", "stride=1"),
    ),
    plain(
        r"dilation should be greater than zero",
        "convolution: dilation",
        "The dilation is 0 or negative: 1 is the ordinary convolution.",
        Fix("take at least 1", "dilation=1"),
    ),
    reader(
        rf"weight of size {SHAPE}, expected bias to be 1-dimensional with {NUMBER} elements,"
        rf" but got bias of size {SHAPE}",
        _bias,
    ),
    plain(
        r"Invalid channel dimensions",
        "convolution: input channels",
        "The input's channels are not those that the weight takes (on the meta device PyTorch tells no numbers).",
        Fix("run it on the CPU, which tells them", 'x.to("cpu")'),
        Fix("ask convcli", 'convcli solve "Conv2d(3, 64, 7)" -i 1,1,224,224', SEE),
    ),
    plain(
        r"Input type \(([\w .]{1,40})\) and (?:bias|weight) type \(([\w .]{1,40})\) should be the same",
        "convolution: dtype",
        "The input is {1} and the layer is {2}: no shape is wrong, the types are.",
        Fix("convert the input", "x.to(layer.weight.dtype)", "images are read as bytes, numpy makes doubles"),
        Fix("convert the layer", "layer.to(x.dtype)"),
    ),
)
