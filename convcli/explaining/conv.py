"""What is particular about a convolution: its sum, groups, a kernel of 1, gaps between taps; and separable layers."""

from __future__ import annotations

from math import gcd, prod
from typing import TYPE_CHECKING

from convcli.explaining.counts import channel_values
from convcli.explaining.subject import Grid, Section
from convcli.explaining.working import Working, alike, times, working
from convcli.layers import Conv, ConvTranspose, DeformConv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.axis import Axis
    from convcli.explaining.subject import Subject
    from convcli.layers import Separable

POSITIONS, TAPS = "pqr", "abc"  # the letters of an output cell and of a tap in an equation
MOST_GROUPS = 12  # that are listed


def equation(layer: Conv, channels: int) -> str:
    """y[o, p, q] = bias[o] + sum over i < 3, a < 7, b < 7 of weight[o, i, a, b] * x[i, 2*p + a - 3, 2*q + b - 3]"""
    groups, outs = layer.groups or 1, layer.out_channels or 0
    taps = [tap if axis.kernel > 1 else "" for tap, axis in zip(TAPS, layer.axes, strict=False)]
    bounds = [f"{tap} < {axis.kernel}" for tap, axis in zip(taps, layer.axes, strict=True) if tap]
    places = [landing(axis, p, tap) for axis, p, tap in zip(layer.axes, POSITIONS, taps, strict=False)]
    mask = ""
    if isinstance(layer, DeformConv):
        places = [f"{place} + {moved}" for place, moved in zip(places, ("dy", "dx"), strict=True)]
        mask = "mask * " if layer.modulated else ""
    channel = _channel("o", channels // groups, outs // groups, groups)
    if channels // groups > 1 or groups == 1:
        channel, bounds = " + ".join(filter(None, [channel, "i"])), [f"i < {channels // groups}", *bounds]
    weight = ", ".join(["o", *(["i"] if "i" in channel else []), *filter(None, taps)])
    bias = "bias[o] + " if layer.bias else ""
    summed = f"sum over {', '.join(bounds)} of " if bounds else ""
    where = ", ".join(["o", *POSITIONS[: len(layer.axes)]])
    return f"y[{where}] = {bias}{summed}weight[{weight}] * {mask}x[{', '.join([channel, *places])}]"


def _channel(name: str, to: int, of: int, groups: int) -> str:
    """2*floor(o / 3): the first channel of the group that holds channel `name`, nothing of a single group."""
    if groups == 1:
        return ""
    group = name if of == 1 else f"floor({name} / {of})"
    return group if to == 1 else f"{to}*{group}"


def landing(axis: Axis, position: str, tap: str) -> str:
    """2*p + 3*a - 1: the cell that a tap meets; tap "" of a kernel of 1."""
    start = position if axis.stride == 1 else f"{axis.stride}*{position}"
    step = tap if axis.dilation == 1 or not tap else f"{axis.dilation}*{tap}"
    end = f" {'-' if axis.before > 0 else '+'} {abs(axis.before)}" if axis.before else ""
    return f"{start} + {step}{end}" if step else f"{start}{end}"


def groups(subject: Subject) -> Iterator[Section]:
    """Which input channels feed which output channels, and what that does to the weight."""
    layer = subject.layer
    count = getattr(layer, "groups", 1)
    if count == 1:
        return
    channels, outs = subject.x[0], subject.y[0]
    ins, each_out = channels // count, outs // count
    shape = layer.tensors(subject.x)["weight"]
    first = ins if isinstance(layer, ConvTranspose) else each_out
    one = f"a layer of {ins} input and {each_out} output channels, its weight {[first, *shape[1:]]}"
    words = [f"{count} groups, each {one}"]
    if count == channels:
        words.append("depthwise: every input channel has filters of its own, and no other channel is mixed in")
    rows = [
        (number, _range(number, ins), _range(number, each_out), _range(number, first))
        for number in range(min(count, MOST_GROUPS))
    ]
    title = "which channels feed which" + (f" (the first {MOST_GROUPS} of {count})" if count > MOST_GROUPS else "")
    grid = Grid(title, ("group", "input channels", "output channels", "rows of the weight"), tuple(rows))
    taps = times("kernel", subject.letters)
    values = channel_values(subject)
    whole = channels * outs * prod(axis.kernel for axis in layer.axes)
    steps = (
        working("weight at groups=1", f"{taps} * in_channels * out_channels", whole, **values),
        working("weight", f"{taps} * in_channels * out_channels / groups", prod(shape), **values),
    )
    yield Section("groups", tuple(words), steps, (grid,))


def _range(number: int, size: int) -> str:
    first = number * size
    return f"{first}" if size == 1 else f"{first} to {first + size - 1}"


def gaps(subject: Subject) -> Iterator[Section]:
    """A kernel of 1 is a product of matrices; a dilated one is a longer kernel with zeros in it."""
    axes = subject.layer.axes
    standard = isinstance(subject.layer, Conv) and subject.layer.groups == 1
    if standard and axes and all(axis.kernel == 1 for axis in axes):
        matrix = f"({subject.y[0]} x {subject.x[0]})"
        yield Section("pointwise", (f"a kernel of 1 mixes channels alone: y = W x at every position, W {matrix}",))
    dilated = [(axis.kernel, axis.dilation) for axis in axes]
    if not any(kernel > 1 < dilation for kernel, dilation in dilated):
        return
    words = []
    for letters, place in alike(subject.letters, dilated):
        axis = axes[place]
        if axis.kernel > 1 and axis.span <= 64:
            marks = "".join("#" if cell % axis.dilation == 0 else "." for cell in range(axis.span))
            words.append(f"{letters}: {marks}: {axis.kernel} taps on {axis.span} cells, {axis.dilation} apart")
    taps, cells = prod(axis.kernel for axis in axes), prod(axis.span for axis in axes)
    does = "an input cell adds to" if isinstance(subject.layer, ConvTranspose) else "an output cell reads"
    words.append(f"{does} {taps} of the {cells} cells that the kernel spans; the weight is no larger for it")
    yield Section("dilation", tuple(words))


def comparison(subject: Subject) -> Iterator[Section]:
    """A separable layer and the standard one that takes its place."""
    layer: Separable = subject.layer  # type: ignore[assignment]
    letters, images = subject.letters, subject.images
    standard = Conv(axes=layer.axes, out_channels=layer.out_channels, bias=False).settled(subject.x)
    weights = prod(standard.tensors(subject.x)["weight"])
    macs = standard.counts(subject.x, images).macs
    depthwise, pointwise = (part.layer.counts(part.x, images).macs for part in layer.parts(subject.x))
    own = sum(prod(shape) for name, shape in layer.tensors(subject.x).items() if name.endswith("weight"))
    named = {"batch": images, "outputs": prod(subject.y[1:]), "channels": subject.x[0], "filters": layer.out_channels}
    named |= {"taps": prod(axis.kernel for axis in layer.axes), "multiplier": layer.depth_multiplier}
    parts = {"depthwise": depthwise, "pointwise": pointwise, "standard": macs}
    ratio = "multiplier / filters + multiplier / taps"
    words = (
        "beside a standard layer of the same kernel: outputs are the cells of a channel, filters the output channels",
        f"taps = {times('kernel', letters)}; the ratio is 1 / filters + 1 / taps, times depth_multiplier, biases apart",
    )
    steps = (
        working("standard_macs", "batch * outputs * taps * channels * filters", macs, **named),
        working("depthwise_macs", "batch * outputs * taps * channels * multiplier", depthwise, **named),
        working("pointwise_macs", "batch * outputs * channels * multiplier * filters", pointwise, **named),
        *(
            [_ratio("macs_ratio", "(depthwise + pointwise) / standard", depthwise + pointwise, macs, **parts)]
            if macs
            else []
        ),
        working("standard_weights", "taps * channels * filters", weights, **named),
        working("separable_weights", "taps * channels * multiplier + channels * multiplier * filters", own, **named),
        *([_ratio("ratio", ratio, own, weights, **named)] if weights else []),
    )
    yield Section("against the standard layer", words, steps)


def _ratio(of: str, formula: str, part: int, whole: int, **values: int) -> Working:
    """With the fraction in lowest terms before it is a decimal."""
    shared = gcd(part, whole)
    found = working(of, formula, part / whole, **values)
    fraction = f"{part // shared} / {whole // shared}"
    return Working(of, formula, (*found.numbers, fraction), part / whole)
