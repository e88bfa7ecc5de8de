"""Operators with weights: convolutions and norms. Whoever uses a weight first counts it."""

from __future__ import annotations

from math import prod
from typing import Any

from convcli.importer.fields import per_axis, unless
from convcli.importer.onnx.table import Op, on
from convcli.importer.onnx.trace import Refused, Value
from convcli.importer.onnx.windows import padding

OPERANDS = {"QLinearConv": (0, 3, 8), "ConvInteger": (0, 1, 99)}  # x, weight, bias; a place behind the last is none


def owned(
    op: Op, type_: str, fields: dict[str, Any], inputs: list[Value], weight: Value, bias: Value | None
) -> Value | None:
    """A layer that owns its weight and bias; another bias is added behind it. None: the weight is not its own."""
    if bias is not None and bias.weight:
        found = op.trace.layer(type_, fields, inputs, {"weight": weight, "bias": bias})
        if found is not None:
            return found
    found = op.trace.layer(type_, {**fields, "bias": False}, inputs, {"weight": weight})
    if found is None or bias is None:
        return found
    return plus(op, found, bias)


def plus(op: Op, y: Value, bias: Value | None) -> Value:
    """y and a bias for every channel of it."""
    if bias is None:
        return y
    return op.trace.add("Add", {}, [y, op.trace.reshaped(bias, (prod(bias.shape), *[1] * (len(y.shape) - 2)))])


def _sliding(op: Op, weight: Value) -> dict[str, Any]:
    rank = len(weight.shape) - 2
    return {
        "kernel_size": per_axis(weight.shape[2:], rank),
        **unless(
            stride=(per_axis(op.attr("strides", [1]), rank), 1),
            dilation=(per_axis(op.attr("dilations", [1]), rank), 1),
            groups=(op.attr("group", 1), 1),
        ),
    }


@on("Conv", "ConvInteger", "QLinearConv")
def _conv(op: Op) -> Value:
    """A convolution; where its weight is another layer's or worked out, the product of matrices that it is."""
    places = OPERANDS.get(op.name, (0, 1, 2))
    x, weight, bias = op.input(places[0]), op.input(places[1]), op.get(places[2])
    rank = len(weight.shape) - 2
    fields = {"out_channels": weight.shape[0], **_sliding(op, weight), **unless(padding=(padding(op, rank), 0))}
    found = owned(op, f"Conv{rank}d", fields, [x], weight, bias)
    if found:
        return found
    n, groups, taps = x.shape[0], op.attr("group", 1), prod(weight.shape[1:])
    out = op.shape
    windows = op.trace.rearranged(x, (n, groups, prod(out[2:]), taps), word="windows")
    matrix = op.trace.rearranged(weight, (groups, taps, out[1] // groups), word="weight")
    product = op.trace.add("MatMul", {}, [windows, matrix], word="conv")
    return plus(op, op.trace.rearranged(product, out, word="out"), bias)


@on("ConvTranspose")
def _transposed(op: Op) -> Value | None:
    x, weight = op.x, op.input(1)
    rank = len(weight.shape) - 2
    fields = {"out_channels": weight.shape[1] * op.attr("group", 1), **_sliding(op, weight)}
    pads, extra = padding(op, rank), list(op.attr("output_padding", [0] * rank))
    said = op.attr("output_shape")
    if said:
        pads, extra = _fitting(op, x, weight, list(said)[-rank:], extra)
    fields |= unless(padding=(pads, 0), output_padding=(per_axis(extra, rank), 0))
    return owned(op, f"ConvTranspose{rank}d", fields, [x], weight, op.get(2))


def _fitting(op: Op, x: Value, weight: Value, said: list[int], extra: list[int]) -> tuple[Any, list[int]]:
    """The padding that makes an output of the size that was said, and output_padding where there is too little."""
    rank = len(said)
    strides, dilations = op.attr("strides", [1] * rank), op.attr("dilations", [1] * rank)
    pairs, more = list[list[int]](), list[int]()
    for at in range(rank):
        span = dilations[at] * (weight.shape[2 + at] - 1) + 1
        total = strides[at] * (x.shape[2 + at] - 1) + extra[at] + span - said[at]
        small, large = max(total, 0) // 2, max(total, 0) - max(total, 0) // 2
        pairs.append([small, large] if op.attr("auto_pad") == "SAME_UPPER" else [large, small])
        more.append(extra[at] + max(-total, 0))
    even = all(before == after for before, after in pairs)
    return per_axis([before for before, _ in pairs], rank) if even else pairs, more


@on("DeformConv")
def _deform(op: Op) -> Value | None:
    x, weight, offset, bias, mask = op.x, op.input(1), op.input(2), op.get(3), op.get(4)
    fields = {
        "out_channels": weight.shape[0],
        **_sliding(op, weight),
        **unless(
            padding=(padding(op, 2), 0),
            offset_groups=(op.attr("offset_group", 1), 1),
            modulated=(mask is not None, False),
        ),
    }
    return owned(op, "DeformConv2d", fields, [x, offset, *([mask] if mask else [])], weight, bias)


@on("BatchNormalization")
def _batch_norm(op: Op) -> Value:
    rank = max(1, len(op.x.shape) - 2)
    return _norm(op, f"BatchNorm{rank}d", {}, op.input(1), op.input(2), affine="affine")


@on("InstanceNormalization")
def _instance_norm(op: Op) -> Value:
    """Exporters say group norm by it, with a scale of ones and a shift of zeros that are no weights."""
    rank, scale, bias = len(op.x.shape) - 2, op.input(1), op.input(2)
    type_ = f"InstanceNorm{rank}d"
    known = scale.numbers is not None and bias.numbers is not None
    if known and (scale.numbers == 1).all() and (bias.numbers == 0).all():
        return op.trace.add(type_, {}, [op.x])
    return _norm(op, type_, {"affine": True}, scale, bias, affine="affine")


@on("GroupNormalization")
def _group_norm(op: Op) -> Value:
    return _norm(op, "GroupNorm", {"num_groups": op.attr("num_groups")}, op.input(1), op.input(2), affine="affine")


@on("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def _layer_norm(op: Op) -> Value:
    sizes = list(op.x.shape[op.attr("axis", -1) :])
    fields = {} if len(sizes) == 1 else {"normalized_shape": sizes}
    type_ = "LayerNorm" if op.name == "LayerNormalization" else "RMSNorm"
    return _norm(op, type_, fields, op.input(1), op.get(2), affine="elementwise_affine")


def _norm(op: Op, type_: str, fields: dict[str, Any], scale: Value, bias: Value | None, *, affine: str) -> Value:
    """A norm with its scale and shift; behind it, where those are no weights of its own."""
    if bias is None:
        no_bias = {} if type_ == "RMSNorm" else {"bias": False}
        found = op.trace.layer(type_, {**fields, **no_bias}, [op.x], {"weight": scale})
    else:
        found = op.trace.layer(type_, fields, [op.x], {"weight": scale, "bias": bias})
    if found:
        return found
    if type_ == "GroupNorm" and scale.shape != op.x.shape[1:2]:
        raise Refused("a scale for each group")
    bare = {key: value for key, value in fields.items() if key != "affine"}
    y = op.trace.add(type_, {**bare, **({} if type_.startswith("Instance") else {affine: False})}, [op.x])
    for word, x in (("Multiply", scale), ("Add", bias)):
        if x is not None:
            spread = x if affine != "affine" else op.trace.reshaped(x, (prod(x.shape), *[1] * (len(y.shape) - 2)))
            y = op.trace.add(word, {}, [y, spread])
    return y
