"""The layers between convolutions: what they work out, how long the output is, and what that costs."""

from __future__ import annotations

from functools import singledispatch
from math import prod
from typing import TYPE_CHECKING, cast

from msgspec import UNSET

from convcli.explaining import counts
from convcli.explaining.sizes import OUT, axis_values, span_steps
from convcli.explaining.subject import Section
from convcli.explaining.working import alike, each, times, working
from convcli.layers.companion import Companion
from convcli.layers.joins import Arithmetic, Concat
from convcli.layers.linear import Linear, MatMul, MultiheadAttention
from convcli.layers.pool import AdaptivePool, Pool
from convcli.layers.rearrange import Flatten, Pad, PixelShuffle, Reduce, Reshape, Upsample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.explaining.subject import Subject
    from convcli.explaining.working import Working

SCALED = "y = (x - mean) / sqrt(variance + eps) * weight + bias"
EQUATIONS = {
    "linear": "y[..., o] = bias[o] + sum over i of weight[o, i] * x[..., i]",
    "matmul": "y[..., m, n] = sum over k of a[..., m, k] * b[..., k, n]",
    "attention": "y = softmax(Q K^T / sqrt(embed_dim / num_heads)) V, then a projection; Q, K, V = x W + b",
    "embedding": "y = weight[x]: a row of the table for every index",
    "batch_norm": f"{SCALED}, per channel",
    "group_norm": f"{SCALED}, over each group of channels",
    "layer_norm": f"{SCALED}, over the last axes",
    "prelu": "y = x where x > 0, weight * x elsewhere",
    "pool": "y[c, p] = {function} over the taps t of x[c, stride*p + dilation*t - before]",
    "adaptive_pool": "y[c, p] = {function} of x[c, floor(p*size/out)] to x[c, ceil((p + 1)*size/out) - 1]",
    "arithmetic": "y = x1 {function} x2 ..., shapes broadcast",
    "concat": "y: the inputs one behind the other along axis {dim}",
    "elementwise": "y = {function}(x), element by element",
    "flatten": "y: the axes {start_dim} to {end_dim} of x as one",
    "reshape": "y: the elements of x in another shape",
    "permute": "y: the axes of x in the order {dims}",
    "reduce": "y: the {function} of x over the axes {dims}",
    "upsample": "y: x on another grid, {mode}",
    "pixel_shuffle": "y[c, h*r + i, w*r + j] = x[c*r*r + i*r + j, h, w], r = {upscale_factor}",
    "pad": "y: x with cells around it, {mode}",
    "parameter": "y: a tensor of the network's own",
    "rearrange": "y: elements of x in another place",
    "unknown": "{operation}: nobody has said what it works out",
}


def equation(layer: Companion) -> str:
    """What one output is; empty for a kind that says nothing of itself."""
    text = EQUATIONS.get(layer.kind, "")
    fields = {name: getattr(layer, name) for name in layer.__struct_fields__}
    return text.format_map(fields)


def sections(subject: Subject) -> Iterator[Section]:
    """The output, the parameters, products where there are any, other operations, bytes."""
    layer = cast("Companion", subject.layer)
    yield Section("output", (f"{list(subject.y)}",), tuple(output(layer, subject)))
    yield counts.parameters(subject)
    if not layer.known:
        yield Section("MACs", ("nobody knows what this layer costs; the network's totals are lower bounds",))
        return
    cost = layer.counts(subject.x, subject.images)
    macs = tuple(products(layer, subject))
    if macs:
        yield Section("MACs", ("every output is a sum of products",), macs)
        yield counts.flops(subject)
        yield from counts.backward(subject)
    if cost.elementwise_flops:
        yield Section("other operations", (), (operations(layer, subject, cost.elementwise_flops),))
    elif not macs:
        yield Section("MACs", ("none, and nothing else to work out",))
    if subject.record.memory is not UNSET:
        yield counts.memory(subject)


@singledispatch
def output(layer: Companion, subject: Subject) -> Iterator[Working]:
    """The sizes that are worked out; an output of the input's shape needs no formula."""
    del layer, subject
    yield from ()


@output.register(Linear)
def _(layer: Linear, subject: Subject) -> Iterator[Working]:
    yield working("features", "out_features", subject.y[-1], out_features=layer.out_features)


@output.register(Flatten)
@output.register(Reshape)
def _(layer: Flatten | Reshape, subject: Subject) -> Iterator[Working]:
    del layer
    for sizes in (subject.x, subject.y):
        yield working("elements", " * ".join(map(str, sizes)) or "1", prod(sizes))


@output.register(Concat)
def _(layer: Concat, subject: Subject) -> Iterator[Working]:
    at = (1 if layer.dim is None else layer.dim) % len(subject.x)
    yield working(f"axis {at}", " + ".join(str(shape[at]) for shape in layer.inputs), subject.y[at])


@output.register(PixelShuffle)
def _(layer: PixelShuffle, subject: Subject) -> Iterator[Working]:
    r, x, y = layer.upscale_factor, subject.x, subject.y
    yield working("channels", "channels / (r * r)", y[0], channels=x[0], r=r)
    for letters, place in alike(subject.letters, subject.space):
        yield working(f"out ({letters})", "size * r", y[1 + place], size=subject.space[place], r=r)


@output.register(Upsample)
def _(layer: Upsample, subject: Subject) -> Iterator[Working]:
    scales = layer.scale_factor if isinstance(layer.scale_factor, tuple) else ()
    for letters, place in alike(subject.letters, list(zip(subject.space, scales, strict=False))):
        values = {"size": subject.space[place], "scale": scales[place]}
        yield working(f"out ({letters})", "floor(size * scale)", subject.y[1 + place], **values)


@output.register(Pad)
def _(layer: Pad, subject: Subject) -> Iterator[Working]:
    pairs = zip(layer.padding[::2], layer.padding[1::2], strict=True)
    for nth, (before, after) in enumerate(pairs, 1):
        sizes = {"size": subject.x[-nth], "before": before, "after": after}
        yield working(f"axis {len(subject.x) - nth}", "size + before + after", subject.y[-nth], **sizes)


@output.register(Pool)
def _(layer: Pool, subject: Subject) -> Iterator[Working]:
    """A convolution's formula; rounded up with ceil_mode, less a window that would begin behind the input."""
    yield from span_steps(subject)
    for letters, place in alike(subject.letters, list(zip(layer.axes, subject.space, strict=True))):
        axis, size, out = layer.axes[place], subject.space[place], subject.y[1 + place]
        up = -(-(size + axis.before + axis.after - axis.span) // axis.stride) + 1
        formula, words = OUT, f"out ({letters})"
        if layer.ceil_mode and out == up:
            formula = CEIL
        elif layer.ceil_mode and out == up - 1:
            formula, words = f"{CEIL} - 1", f"out ({letters}), the last window would begin in the padding"
        yield working(words, formula, out, size=size, **axis_values(axis))


CEIL = "ceil((size + before + after - span) / stride) + 1"


@singledispatch
def products(layer: Companion, subject: Subject) -> Iterator[Working]:
    """The products of those that have any."""
    del layer, subject
    yield from ()


@products.register(Linear)
@products.register(MatMul)
def _(layer: Linear | MatMul, subject: Subject) -> Iterator[Working]:
    inner = "in_features" if isinstance(layer, Linear) else "inner"
    values = {"outputs": subject.images * prod(subject.y), inner: subject.x[-1]}
    yield working("macs", f"outputs * {inner}", layer.counts(subject.x, subject.images).macs, **values)


@products.register(MultiheadAttention)
def _(layer: MultiheadAttention, subject: Subject) -> Iterator[Working]:
    """Four projections, Q K^T and the weighted sums of V."""
    x = subject.x
    query, key, value = layer.inputs if len(layer.inputs) == 3 else (x, x, x)
    along = (1 if layer.batch_first else 0) if len(x) == 3 else 0
    values = {"q": query[along], "k": key[along], "width": x[-1], "kdim": key[-1], "vdim": value[-1]}
    values["sequences"] = prod(x) // max(1, x[along] * x[-1])
    formula = "sequences * width * (2 * q * width + k * kdim + k * vdim + 2 * q * k)"
    yield working("macs", formula, layer.counts(x, subject.images).macs, **values)


@singledispatch
def operations(layer: Companion, subject: Subject, flops: int) -> Working:
    """What is worked out besides products, one operation per element and function."""
    outputs = subject.images * prod(subject.y)
    return working(OTHER, "outputs * operations", flops, outputs=outputs, operations=layer.operations)


OTHER = "elementwise_flops"


@operations.register(Pool)
def _(layer: Pool, subject: Subject, flops: int) -> Working:
    taps, values = times("kernel", subject.letters), each("kernel", subject.letters, [a.kernel for a in layer.axes])
    formula = f"outputs * ({taps} + 1)" if layer.function == "avg" else f"outputs * {taps}"
    return working(OTHER, formula, flops, outputs=subject.images * prod(subject.y), **values)


@operations.register(AdaptivePool)
def _(layer: AdaptivePool, subject: Subject, flops: int) -> Working:
    """The windows overlap: cells are those of all windows together."""
    divisions = prod(subject.y[1:]) if layer.function == "avg" else 0
    values = {"batch": subject.images, "channels": subject.x[0], "divisions": divisions}
    cells = flops // max(1, subject.images * subject.x[0]) - divisions
    return working(OTHER, "batch * channels * (cells + divisions)", flops, cells=cells, **values)


@operations.register(Arithmetic)
def _(layer: Arithmetic, subject: Subject, flops: int) -> Working:
    outputs = subject.images * prod(subject.y)
    return working(OTHER, "outputs * (inputs - 1)", flops, outputs=outputs, inputs=len(layer.inputs))


@operations.register(Reduce)
def _(layer: Reduce, subject: Subject, flops: int) -> Working:
    del layer
    return working(OTHER, "elements", flops, elements=subject.images * prod(subject.x))


@operations.register(MultiheadAttention)
def _(layer: MultiheadAttention, subject: Subject, flops: int) -> Working:
    """The softmax of every score."""
    del layer, subject
    return working(OTHER, "3 * scores", flops, scores=flops // 3)
