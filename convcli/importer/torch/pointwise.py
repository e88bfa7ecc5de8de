"""Functions of each element, of several tensors element by element, and along axes; pools and resizing."""

from __future__ import annotations

from typing import Any

import torch

from convcli.importer.fields import per_axis, unless
from convcli.importer.graph import Node
from convcli.importer.torch.ghost import tensors
from convcli.importer.torch.table import on
from convcli.importer.torch.trace import Call, Trace, elements, shape
from convcli.importer.torch.weights import first

UNARY = {
    "relu": "ReLU", "relu6": "ReLU6", "silu": "SiLU", "hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid",
    "sigmoid": "Sigmoid", "tanh": "Tanh", "mish": "Mish", "selu": "SELU", "gelu": "GELU", "logsigmoid": "LogSigmoid",
    "log_sigmoid": "LogSigmoid", "softsign": "Softsign", "tanhshrink": "Tanhshrink", "exp": "Exp", "expm1": "Exp",
    "log": "Log", "log1p": "Log", "log2": "Log", "log10": "Log", "sqrt": "Sqrt", "rsqrt": "Rsqrt", "neg": "Neg",
    "reciprocal": "Reciprocal", "abs": "Abs", "pow": "Pow", "square": "Pow", "erf": "Erf", "clamp": "Clamp",
    "clamp_min": "Clamp", "clamp_max": "Clamp", "clip": "Clamp", "sin": "Sin", "cos": "Cos", "floor": "Floor",
    "ceil": "Floor", "round": "Floor", "trunc": "Floor", "sign": "Clamp", "logical_not": "Clamp", "isnan": "Clamp",
    "isfinite": "Clamp", "cumsum": "Scale", "cumprod": "Scale", "nan_to_num": "Clamp", "invert": "Clamp",
    "bitwise_not": "Clamp", "atan": "Sin", "acos": "Cos", "asin": "Sin",
    "absolute": "Abs", "softplus": "Softplus", "hardtanh": "Hardtanh", "elu": "ELU", "celu": "CELU",
    "leaky_relu": "LeakyReLU", "threshold": "Threshold", "hardshrink": "Hardshrink", "softshrink": "Softshrink",
}  # fmt: skip
WORDS = {"gelu": ("approximate",), "elu": ("alpha",), "celu": ("alpha",), "leaky_relu": ("negative_slope",),
         "softplus": ("beta", "threshold"), "hardtanh": ("min_val", "max_val"), "hardshrink": ("lambd",),
         "softshrink": ("lambd",), "threshold": ("threshold", "value")}  # fmt: skip
BINARY = {
    "add": "Add", "iadd": "Add", "radd": "Add", "sub": "Subtract", "isub": "Subtract", "rsub": "Subtract",
    "subtract": "Subtract", "mul": "Multiply", "imul": "Multiply", "rmul": "Multiply", "multiply": "Multiply",
    "div": "Divide", "truediv": "Divide", "itruediv": "Divide", "rtruediv": "Divide", "divide": "Divide",
    "true_divide": "Divide", "rdiv": "Divide", "floordiv": "Divide", "floor_divide": "Divide", "rfloordiv": "Divide",
    "idiv": "Divide", "ifloordiv": "Divide", "mod": "Divide", "remainder": "Divide", "fmod": "Divide",
    "maximum": "Maximum", "minimum": "Minimum", "rpow": "Pow", "atan2": "Divide", "fmax": "Maximum", "fmin": "Minimum",
    **dict.fromkeys(("gt", "lt", "ge", "le", "eq", "ne", "logical_and", "logical_or", "and", "or", "xor", "iand",
                     "ior", "rand", "ror", "bitwise_and", "bitwise_or", "greater", "less"), "Maximum"),
}  # fmt: skip
REDUCED = {"mean": "Mean", "sum": "Sum", "amax": "Max", "amin": "Min", "argmax": "Max", "argmin": "Min",
           "any": "Max", "all": "Min", "prod": "Sum", "logsumexp": "Sum", "nansum": "Sum"}  # fmt: skip


@on(*UNARY)
def _unary(trace: Trace, call: Call) -> Node:
    """One operation an element. A comparison counts as one, like max's."""
    others = [x for x in tensors((call.args[1:], call.kwargs)) if elements(x) > 1]
    if others and call.name == "pow":
        return trace.add("Multiply", {}, [call.x, *others], shape(call.out), call.name)
    said = {word: call.get(place, word) for place, word in enumerate(WORDS.get(call.name, ()), 1)}
    known = {word: value for word, value in said.items() if isinstance(value, int | float | str)}
    if call.name == "hardtanh" and (known.get("min_val"), known.get("max_val")) == (0, 6):
        return trace.add("ReLU6", {}, [call.x], shape(call.out), call.name)
    if known.get("approximate") == "none" or (call.name == "leaky_relu" and known.get("negative_slope") == 0.01):
        known = {}
    return trace.add(UNARY[call.name], known, [call.x], shape(call.out), call.name)


@on("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def _dropout(trace: Trace, call: Call) -> Node:
    type_ = "Dropout" + (call.name[-2:] if call.name[-1] == "d" else "")
    return trace.add(type_, {}, [call.x], shape(call.out), call.name)


@on("softmax", "log_softmax", "_softmax", "_log_softmax", "softmin")
def _softmax(trace: Trace, call: Call) -> Node:
    types = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "softmin": "Softmin"}
    word = call.name.removeprefix("_")
    return trace.add(types[word], {"dim": call.get(1, "dim", -1)}, [call.x], shape(call.out), word)


@on(*BINARY)
def _binary(trace: Trace, call: Call) -> Node:
    """Element by element; with a number, one operation an element. alpha is another."""
    pair = [x for x in (call.get(0, "input"), call.get(1, "other")) if x is not None]
    full = [x for x in pair if isinstance(x, torch.Tensor) and not (trace.constant(x) and elements(x) == 1)]
    out, word = shape(call.out), call.name.strip("_")
    if call.kwargs.get("alpha", 1) != 1 and len(full) == 2:
        full[1] = trace.add("Scale", {}, [full[1]], shape(full[1]))
    if len(full) < 2:
        x = full[0] if full else pair[0]
        node = trace.add("Pow" if call.name == "rpow" else "Scale", {}, [x], shape(x), word)
        return node if node.shape == out else trace.add("Rearrange", {"shape": out}, [node], out)
    return trace.add(BINARY[call.name], {}, full, out, word)


@on("addcmul", "addcdiv", "lerp")
def _ternary(trace: Trace, call: Call) -> Node:
    """x + a * b, x + a / b, x + weight * (y - x)"""
    x, a, b = call.get(0, "input"), call.get(1, "tensor1"), call.get(2, "tensor2")
    out = shape(call.out)
    if call.name == "lerp":
        a = trace.add("Subtract", {}, [a, x], tuple(torch.broadcast_shapes(shape(a), shape(x))))
        b = call.get(2, "weight")
    if not isinstance(b, torch.Tensor):
        made = trace.add("Scale", {}, [a], a.shape if isinstance(a, Node) else shape(a))
    else:
        sizes = tuple(torch.broadcast_shapes(a.shape if isinstance(a, Node) else shape(a), shape(b)))
        made = trace.add("Divide" if call.name == "addcdiv" else "Multiply", {}, [a, b], sizes)
    return trace.add("Add", {}, [x, made], out)


@on("glu")
def _glu(trace: Trace, call: Call) -> Node:
    """a * sigmoid(b) of the two halves."""
    out = shape(call.out)
    a, b = (trace.add("Rearrange", {"shape": out}, [call.x], out, "half") for _ in range(2))
    return trace.add("Multiply", {}, [a, trace.add("Sigmoid", {}, [b], out)], out)


@on(*REDUCED, "max", "min")
def _reduced(trace: Trace, call: Call) -> Node:
    dims = call.get(1, "dim", call.kwargs.get("axis"))
    if isinstance(dims, torch.Tensor):
        return trace.add(call.name.capitalize() + "imum", {}, [call.x, dims], shape(call.out))
    type_ = REDUCED.get(call.name, call.name.capitalize())
    return reduced(trace, type_, call.x, dims, first(call.out), call.name)


def reduced(trace: Trace, type_: str, x: Any, dims: Any, out: torch.Tensor, word: str) -> Node:
    """x over some of its axes, or over all."""
    sizes = x.shape if isinstance(x, Node) else shape(x)
    axes = [dims] if isinstance(dims, int) else list(dims or range(len(sizes)))
    keep = len(shape(out)) == len(sizes) > 0
    fields = {"dims": axes, **({"keepdim": True} if keep else {})}
    return trace.add(type_, fields, [x], shape(out), word)


@on("var", "std", "var_mean", "std_mean")
def _variance(trace: Trace, call: Call) -> Node | None:
    """mean((x - mean(x))**2), and its root"""
    x, dims = call.x, call.get(1, "dim")
    axes = [dims] if isinstance(dims, int) else list(dims) if isinstance(dims, tuple | list) else list(range(x.dim()))
    kept = tuple(1 if at in {axis % x.dim() for axis in axes} else n for at, n in enumerate(shape(x)))
    mean = trace.add("Mean", {"dims": axes, "keepdim": True}, [x], kept)
    apart = trace.add("Subtract", {}, [x, mean], shape(x))
    square = trace.add("Pow", {}, [apart], shape(x))
    node = reduced(trace, "Mean", square, axes, first(call.out), call.name)
    if call.name.startswith("std"):
        node = trace.add("Sqrt", {}, [node], node.shape)
    if not isinstance(call.out, torch.Tensor):
        trace.gives(call.out[0], node)
        trace.gives(call.out[1], trace.add("Reshape", {"shape": shape(call.out[1])}, [mean], shape(call.out[1])))
        return None
    return node


@on("norm", "linalg_norm", "linalg_vector_norm", "vector_norm", "frobenius_norm")
def _length(trace: Trace, call: Call) -> Node:
    """sqrt(sum(x**2))"""
    dims = call.get(2, "dim")
    square = trace.add("Pow", {}, [call.x], shape(call.x))
    node = reduced(trace, "Sum", square, dims, call.out, call.name)
    return trace.add("Sqrt", {}, [node], node.shape)


@on("_weight_norm", "_weight_norm_interface")
def _weight_norm(trace: Trace, call: Call) -> Node:
    """v * g / norm(v): a square and a sum an element for the norm, and the product."""
    v, g = call.args[:2]
    square = trace.add("Pow", {}, [v], shape(v))
    dims = [at for at, n in enumerate(shape(g)) if n == 1 and shape(v)[at] != 1]
    norm: Any = trace.add("Sum", {"dims": dims, "keepdim": True}, [square], shape(g)) if dims else square
    scale = trace.add("Divide", {}, [g, norm], shape(g))
    return trace.add("Multiply", {}, [v, scale], shape(v), "weight_norm")


@on("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "max_pool1d_with_indices")  # fmt: skip
def _max_pool(trace: Trace, call: Call) -> Node:
    rank = int(call.name.removesuffix("_with_indices")[-2])
    kernel, stride = per_axis(call.get(1, "kernel_size"), rank), call.get(2, "stride")
    told = {"padding": (per_axis(call.get(3, "padding", 0), rank), 0)}
    told["dilation"] = (per_axis(call.get(4, "dilation", 1), rank), 1)
    told["ceil_mode"] = (bool(call.get(5, "ceil_mode", False)), False)
    return _pool(trace, call, f"MaxPool{rank}d", kernel, stride, rank, told)


@on("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(trace: Trace, call: Call) -> Node:
    rank = int(call.name[-2])
    kernel, stride = per_axis(call.get(1, "kernel_size"), rank), call.get(2, "stride")
    told = {"padding": (per_axis(call.get(3, "padding", 0), rank), 0)}
    told["ceil_mode"] = (bool(call.get(4, "ceil_mode", False)), False)
    told["count_include_pad"] = (bool(call.get(5, "count_include_pad", True)), True)
    return _pool(trace, call, f"AvgPool{rank}d", kernel, stride, rank, told)


def _pool(trace: Trace, call: Call, type_: str, kernel: Any, stride: Any, rank: int, told: dict[str, Any]) -> Node:
    step = per_axis(stride, rank) if stride not in (None, [], ()) else kernel
    fields = {"kernel_size": kernel, **unless(stride=(step, kernel), **told)}
    return trace.add(type_, fields, [call.x], shape(first(call.out)), call.name)


@on(*[f"adaptive_{word}_pool{rank}d" for word in ("avg", "max") for rank in (1, 2, 3)],
    *[f"_adaptive_avg_pool{rank}d" for rank in (2, 3)])  # fmt: skip
def _adaptive(trace: Trace, call: Call) -> Node:
    word, rank = call.name.removeprefix("_"), int(call.name[-2])
    size = call.get(1, "output_size")
    size = per_axis(list(size) if not isinstance(size, int) else size, rank)
    kind = "Avg" if "avg" in word else "Max"
    return trace.add(f"Adaptive{kind}Pool{rank}d", {"output_size": size}, [call.x], shape(first(call.out)), word)


@on("interpolate", "upsample", *[f"upsample_{word}" for word in ("nearest1d", "nearest2d", "nearest3d", "bilinear2d",
    "bicubic2d", "linear1d", "trilinear3d")], "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")  # fmt: skip
def _interpolate(trace: Trace, call: Call) -> Node:
    rank = call.x.dim() - 2
    inner = call.name.removeprefix("_upsample_").removeprefix("upsample_")
    mode = call.get(3, "mode", "nearest") if call.name in {"interpolate", "upsample"} else inner.split("d")[0][:-1]
    mode = mode.removesuffix("2").removesuffix("1").removesuffix("3")
    size = per_axis(shape(call.out)[2:], rank)
    scale = call.kwargs.get("scale_factor") if call.name in {"interpolate", "upsample"} else None
    told = {"scale_factor": scale} if isinstance(scale, int | float) else {"size": size}
    return trace.add("Upsample", {**told, **unless(mode=(mode, "nearest"))}, [call.x], shape(call.out), "upsample")
