"""Functions with weights: convolutions, linear layers, norms, tables. Whoever uses a parameter first counts it."""

from __future__ import annotations

from typing import Any

import torch

from convcli.importer.fields import per_axis, unless
from convcli.importer.graph import Node
from convcli.importer.torch.products import matmul, product_conv
from convcli.importer.torch.table import on
from convcli.importer.torch.trace import Call, Trace, elements, shape


def layer(
    trace: Trace, type_: str, fields: dict[str, Any], inputs: list[Any], call: Call, *, weight: Any, bias: Any = None
) -> Node | None:
    """A layer that owns `weight` and `bias`, or uses a layer's again; None when they are nobody's parameters.

    A bias that the layer cannot own is added behind it.
    """
    names = {"weight": _parameter(trace, weight)} if weight is not None else {}
    if None in names.values():
        return None
    own = _parameter(trace, bias) if bias is not None else None
    if own is not None:
        names["bias"] = own
    said = {**fields, **({} if own is not None or "affine" in fields else NO_BIAS.get(type_, {"bias": False}))}
    told = {key: name for key, name in names.items() if name is not None}
    owners = [trace.owner.get(name) for name in told.values()]
    taken = [node for node in owners if node is not None and not node.source]
    if taken and not (taken[0].fields == said and taken[0].weights == told and taken[0].type == type_):
        return None
    behind = bias is not None and own is None
    node = trace.add(type_, said, inputs, shape(call.out), call.name, {} if taken else told)
    node.shares = taken[0] if taken else None
    for name in told.values() if not taken else ():
        if name in trace.tables:  # it was listed as a tensor of its own: from now on it is counted here
            trace.tables[name].type, trace.tables[name].weights = "Constant", {}
        trace.owner[name] = node
    return _plus(trace, node, bias) if behind else node


NO_BIAS: dict[str, dict[str, Any]] = {"Embedding": {}, "PReLU": {}, "GroupNorm": {}, "RMSNorm": {}}


def _plus(trace: Trace, node: Node, bias: torch.Tensor) -> Node:
    rank, along = len(node.shape), 1 if node.type.startswith(("Conv", "BatchNorm", "Deform")) else -1
    sizes = [1] * rank
    sizes[along] = elements(bias)
    spread = trace.add("Reshape", {"shape": sizes}, [bias], tuple(sizes)) if along == 1 and rank > 2 else bias
    return trace.add("Add", {}, [node, spread], node.shape)


def _parameter(trace: Trace, x: Any) -> str | None:
    """The parameter that x is, or the nearest of as many elements that it was worked out from."""
    if id(x) in trace.params:
        return trace.params[id(x)]
    for name in trace.origins(x):
        if elements(x) == elements_of(trace, name):
            return name
    return None


def elements_of(trace: Trace, name: str) -> int:
    """The elements of the parameter of that name, which is listed."""
    count = 1
    for size in trace.tables[name].shape:
        count *= size
    return count


@on("conv1d", "conv2d", "conv3d")
def _conv(trace: Trace, call: Call) -> Node:
    weight, bias = call.get(1, "weight"), call.get(2, "bias")
    told = (call.get(3, "stride", 1), call.get(4, "padding", 0), call.get(5, "dilation", 1), call.get(6, "groups", 1))
    return conv(trace, call, weight, bias, *told)


def conv(
    trace: Trace, call: Call, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Node:
    """A convolution; where its weights are no parameters, the product of matrices that it is."""
    rank = weight.dim() - 2
    fields = {
        "out_channels": int(weight.shape[0]),
        "kernel_size": per_axis(shape(weight)[2:], rank),
        **unless(
            stride=(per_axis(stride, rank), 1),
            padding=(per_axis(padding, rank), 0),
            dilation=(per_axis(dilation, rank), 1),
            groups=(groups, 1),
        ),
    }
    found = layer(trace, f"Conv{rank}d", fields, [call.x], call, weight=weight, bias=bias)
    return found or product_conv(trace, call, weight, bias, groups)


@on("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _transposed(trace: Trace, call: Call) -> Node:
    words = (("stride", 1), ("padding", 0), ("output_padding", 0), ("groups", 1), ("dilation", 1))
    told = {name: call.get(place, name, default) for place, (name, default) in enumerate(words, 3)}
    return transposed(trace, call, call.get(1, "weight"), call.get(2, "bias"), **told)


def transposed(trace: Trace, call: Call, weight: Any, bias: Any, *, groups: int, **window: Any) -> Node:
    """A transposed convolution."""
    rank = weight.dim() - 2
    said = {name: (per_axis(value, rank), int(name in {"stride", "dilation"})) for name, value in window.items()}
    fields = {
        "out_channels": int(weight.shape[1]) * groups,
        "kernel_size": per_axis(shape(weight)[2:], rank),
        **unless(**said, groups=(groups, 1)),
    }
    found = layer(trace, f"ConvTranspose{rank}d", fields, [call.x], call, weight=weight, bias=bias)
    return found or unknown(trace, call)


@on("convolution", "_convolution")
def _aten_conv(trace: Trace, call: Call) -> Node:
    _, weight, bias, stride, padding, dilation, turned, extra, groups = call.args[:9]
    if turned:
        window = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation}
        return transposed(trace, call, weight, bias, groups=groups, **window)
    return conv(trace, call, weight, bias, stride, padding, dilation, groups)


@on("deform_conv2d")
def _deform(trace: Trace, call: Call) -> Node:
    x, weight, offset, mask, bias = call.args[:5]  # torch.ops.torchvision.deform_conv2d's order
    stride, padding, dilation = (tuple(call.args[at : at + 2]) for at in (5, 7, 9))
    groups, offset_groups, modulated = call.args[11:14]
    fields = {
        "out_channels": int(weight.shape[0]),
        "kernel_size": per_axis(shape(weight)[2:], 2),
        **unless(
            stride=(per_axis(stride, 2), 1),
            padding=(per_axis(padding, 2), 0),
            dilation=(per_axis(dilation, 2), 1),
            groups=(groups, 1),
            offset_groups=(offset_groups, 1),
            modulated=(bool(modulated), False),
        ),
    }
    inputs = [x, offset, *([mask] if modulated else [])]
    real = bias if id(bias) in trace.params else None  # torchvision makes one of zeros where there is none
    return layer(trace, "DeformConv2d", fields, inputs, call, weight=weight, bias=real) or unknown(trace, call)


@on("linear")
def _linear(trace: Trace, call: Call) -> Node:
    weight, bias = call.get(1, "weight"), call.get(2, "bias")
    if weight.dim() == 2:
        fields = {"out_features": int(weight.shape[0])}
        found = layer(trace, "Linear", fields, [call.x], call, weight=weight, bias=bias)
        if found:
            return found
    node = matmul(trace, call.x, weight, shape(call.out), transpose_b=True)
    return node if bias is None else trace.add("Add", {}, [node, bias], shape(call.out))


@on("batch_norm", "instance_norm", "native_batch_norm", "_native_batch_norm_legit_no_training")
def _batch_norm(trace: Trace, call: Call) -> Node:
    x, native = call.x, call.name.startswith(("native", "_native"))
    weight, bias = call.get(1 if native else 3, "weight"), call.get(2 if native else 4, "bias")
    type_ = "InstanceNorm" if call.name == "instance_norm" else "BatchNorm"
    rank = max(1, x.dim() - 2)
    if rank > 3:
        return unknown(trace, call)
    said, bare = ({}, {"affine": False}) if type_ == "BatchNorm" else ({"affine": True}, {})
    return _norm(trace, call, f"{type_}{rank}d", said, bare, weight, bias)


@on("group_norm", "native_group_norm")
def _group_norm(trace: Trace, call: Call) -> Node:
    native = call.name.startswith("native")
    weight, bias = call.get(1 if native else 2, "weight"), call.get(2 if native else 3, "bias")
    fields = {"num_groups": call.get(6 if native else 1, "num_groups" if not native else "group")}
    return _norm(trace, call, "GroupNorm", fields, {**fields, "affine": False}, weight, bias)


@on("layer_norm", "native_layer_norm", "rms_norm")
def _layer_norm(trace: Trace, call: Call) -> Node:
    sizes = call.get(1, "normalized_shape")
    sizes = list(sizes) if isinstance(sizes, tuple | list | torch.Size) else [sizes]
    fields = {} if len(sizes) == 1 else {"normalized_shape": sizes}
    type_ = "RMSNorm" if call.name == "rms_norm" else "LayerNorm"
    bias = None if type_ == "RMSNorm" else call.get(3, "bias")
    return _norm(trace, call, type_, fields, {**fields, "elementwise_affine": False}, call.get(2, "weight"), bias)


def _norm(
    trace: Trace, call: Call, type_: str, fields: dict[str, Any], bare: dict[str, Any], weight: Any, bias: Any
) -> Node:
    """A norm with its scale and shift; behind it, where they are no parameters of its own."""
    if weight is not None:
        whole = type_ not in {"GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"} or bias is not None
        found = layer(trace, type_, fields, [call.x], call, weight=weight, bias=bias) if whole else None
        if found:
            return found
    node = trace.add(type_, bare, [call.x], shape(first(call.out)), call.name)
    for word, x in (("Multiply", weight), ("Add", bias)):
        if x is not None:
            sizes = [1, elements(x), *[1] * (len(node.shape) - 2)]
            spread = trace.add("Reshape", {"shape": sizes}, [x], tuple(sizes)) if "affine" in bare else x
            node = trace.add(word, {}, [node, spread], node.shape)
    return node


@on("embedding")
def _embedding(trace: Trace, call: Call) -> Node:
    x, table = (call.get(1, "weight"), call.get(0, "input"))
    if isinstance(table, torch.Tensor) and table.dim() == 2 and id(table) in trace.params and id(x) not in trace.params:
        x, table = table, x  # aten's order is weight, indices
    else:
        x, table = table, x
    fields = {"num_embeddings": int(table.shape[0]), "embedding_dim": int(table.shape[1])}
    found = layer(trace, "Embedding", fields, [x], call, weight=table)
    return found or trace.add("Rearrange", {"shape": shape(call.out)}, [table, x], shape(call.out), "embedding")


@on("prelu")
def _prelu(trace: Trace, call: Call) -> Node:
    weight = call.get(1, "weight")
    fields = unless(num_parameters=(elements(weight), 1))
    found = layer(trace, "PReLU", fields, [call.x], call, weight=weight)
    return found or unknown(trace, call)


def first(out: Any) -> torch.Tensor:
    """The result, or the first of several."""
    found: torch.Tensor = out if isinstance(out, torch.Tensor) else out[0]
    return found


def unknown(trace: Trace, call: Call) -> Node:
    """An operation that nobody knows the cost of."""
    from convcli.importer.torch.ghost import tensors

    inputs = [x for x in tensors((call.args, call.kwargs)) if not trace.constant(x)]
    weights = [x for x in inputs if id(x) in trace.params and trace.params[id(x)] not in trace.owner]
    names = {trace.params[id(x)].rpartition(".")[2]: trace.params[id(x)] for x in weights}
    held = {key: list(shape(x)) for key, x in zip(names, weights, strict=False)} if len(names) == len(weights) else {}
    out = shape(first(call.out))
    fields = {"operation": call.name, "shape": out, **({"tensors": held} if held else {})}
    rest = [x for x in inputs if not held or id(x) not in {id(w) for w in weights}]
    return trace.add("Unknown", fields, rest, out, call.name, names if held else {})
