"""Functions of each element, of several tensors element by element, and along axes; pools."""

from __future__ import annotations

from typing import Any

import numpy as np

from convcli.axis import Axis
from convcli.importer.fields import per_axis, unless
from convcli.importer.onnx.table import Op, on
from convcli.importer.onnx.trace import Refused, Value
from convcli.importer.onnx.windows import padding

UNARY = {
    "Relu": "ReLU", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Selu": "SELU", "Mish": "Mish", "HardSwish": "Hardswish",
    "Softsign": "Softsign", "Softplus": "Softplus", "Exp": "Exp", "Log": "Log", "Sqrt": "Sqrt", "Neg": "Neg",
    "Reciprocal": "Reciprocal", "Abs": "Abs", "Erf": "Erf", "Sin": "Sin", "Cos": "Cos", "Floor": "Floor",
    "Ceil": "Floor", "Round": "Floor", "Sign": "Clamp", "Not": "Clamp", "IsNaN": "Clamp", "IsInf": "Clamp",
    "CumSum": "Scale", "QuantizeLinear": "Scale", "DynamicQuantizeLinear": "Scale", "BitwiseNot": "Clamp",
    "Tan": "Sin", "Asin": "Sin", "Acos": "Cos", "Atan": "Sin", "Sinh": "Exp", "Cosh": "Exp", "Asinh": "Log",
    "Acosh": "Log", "Atanh": "Log", "Swish": "SiLU", "HardSigmoid": "Hardsigmoid", "Shrink": "Softshrink",
}  # fmt: skip
JOINS = {
    "Add": "Add", "Sub": "Subtract", "Mul": "Multiply", "Div": "Divide", "Max": "Maximum", "Min": "Minimum",
    "Sum": "Add", "Mean": "Add", "Mod": "Divide", "Pow": "Multiply", "PRelu": "Multiply", "BitShift": "Multiply",
    **dict.fromkeys(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "BitwiseAnd",
                     "BitwiseOr", "BitwiseXor"), "Maximum"),
}  # fmt: skip
# What is done to each element before, along the axes, and after.
REDUCED: dict[str, tuple[str, str, str]] = {
    "ReduceMean": ("", "Mean", ""), "ReduceSum": ("", "Sum", ""), "ReduceMax": ("", "Max", ""),
    "ReduceMin": ("", "Min", ""), "ReduceProd": ("", "Sum", ""), "ReduceL1": ("Abs", "Sum", ""),
    "ReduceL2": ("Pow", "Sum", "Sqrt"), "ReduceSumSquare": ("Pow", "Sum", ""), "ReduceLogSum": ("", "Sum", "Log"),
    "ReduceLogSumExp": ("Exp", "Sum", "Log"),
}  # fmt: skip


@on(*UNARY)
def _unary(op: Op) -> Value:
    """One operation an element."""
    return op.trace.add(UNARY[op.name], {}, [op.x])


@on("LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "Gelu", "Dropout", "Clip")
def _told(op: Op) -> Value:
    """Functions that are told a number or a word."""
    alpha = op.attr("alpha")
    if op.name == "Clip":
        said = [op.attr(word, x.numbers if (x := op.get(at)) else None) for at, word in ((1, "min"), (2, "max"))]
        six = [None if n is None else float(n) for n in said] == [0, 6]
        return op.trace.add("ReLU6" if six else "Clamp", {}, [op.x])
    known: dict[str, tuple[str, dict[str, Any]]] = {
        "LeakyRelu": ("LeakyReLU", unless(negative_slope=(_short(alpha, 0.01), 0.01))),
        "Elu": ("ELU", unless(alpha=(_short(alpha, 1.0), 1.0))),
        "Celu": ("CELU", unless(alpha=(_short(alpha, 1.0), 1.0))),
        "ThresholdedRelu": ("Threshold", {"threshold": _short(alpha, 1.0), "value": 0}),
        "Gelu": ("GELU", unless(approximate=(op.attr("approximate", "none"), "none"))),
        "Dropout": ("Dropout", {}),
    }
    return op.trace.add(*known[op.name], [op.x])


def _short(said: float | None, default: float) -> float:
    """A float32 in as few digits as tell it."""
    return default if said is None else float(str(np.float32(said)))


@on("PRelu")
def _prelu(op: Op) -> Value:
    slope = op.input(1)
    if slope.weight:
        found = op.trace.layer(
            "PReLU", unless(num_parameters=(int(np.prod(slope.shape)), 1)), [op.x], {"weight": slope}
        )
        if found:
            return found
    return joined(op)


@on("Softmax", "LogSoftmax", "Hardmax")
def _softmax(op: Op) -> Value:
    axis = op.attr("axis", -1 if op.opset >= 13 else 1)
    if op.name == "Hardmax":
        return op.trace.rearranged(op.trace.add("Max", {"dims": axis, "keepdim": True}, [op.x]), op.x.shape)
    return op.trace.add(op.name, {"dim": axis}, [op.x])


@on(*[name for name in JOINS if name != "PRelu"])
def _join(op: Op) -> Value:
    return joined(op)


def joined(op: Op) -> Value:
    """Element by element; with a number, one operation an element."""
    given = [x for x in op.inputs if x is not None]
    full = [x for x in given if not x.number]
    out = tuple(np.broadcast_shapes(*(x.shape for x in given)))
    if not full:
        raise Refused("the numbers are not known")
    if len(full) == 1:
        x = full[0]
        if len(given) > 1:
            x = op.trace.add("Pow" if op.name == "Pow" and x is op.x else "Scale", {}, [x])
        return op.trace.reshaped(x, out)
    found = op.trace.add(JOINS[op.name], {}, full)
    found = op.trace.add("Scale", {}, [found]) if op.name == "Mean" else found
    return op.trace.reshaped(found, out)


@on(*REDUCED, "ArgMax", "ArgMin")
def _reduced(op: Op) -> Value:
    before, along, after = REDUCED.get(op.name, ("", op.name[3:], ""))
    axes = op.numbers("axes", 1) if op.name in REDUCED else (op.attr("axis", 0),)
    if not axes and op.attr("noop_with_empty_axes", 0):
        return op.x
    dims = list(axes or range(len(op.x.shape)))
    x = op.trace.add(before, {}, [op.x]) if before else op.x
    x = op.trace.add(along, {"dims": dims, **({"keepdim": True} if op.attr("keepdims", 1) else {})}, [x])
    return op.trace.add(after, {}, [x]) if after else x


@on("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(op: Op) -> Value:
    kind = "Max" if op.name == "GlobalMaxPool" else "Avg"
    return op.trace.add(f"Adaptive{kind}Pool{len(op.x.shape) - 2}d", {"output_size": 1}, [op.x])


@on("MaxPool", "AveragePool")
def _pool(op: Op) -> Value:
    """Padding that is not the same on both sides is a layer before."""
    x, kernel = op.x, op.attr("kernel_shape")
    rank = len(kernel)
    stride, dilation = op.attr("strides", [1] * rank), op.attr("dilations", [1] * rank)
    pads = padding(op, rank)
    if isinstance(pads, str):
        windows = zip(kernel, stride, dilation, x.shape[2:], strict=True)
        settled = [Axis(k, s, d, auto=pads).settled(n) for k, s, d, n in windows]
        pads = [[axis.before, axis.after] for axis in settled]
    pairs = [[n, n] if isinstance(n, int) else n for n in ([pads] * rank if isinstance(pads, int) else pads)]
    if any(before != after for before, after in pairs):
        around = [n for pair in reversed(pairs) for n in pair]
        x = op.trace.add("Pad", {"padding": around}, [x], word="pad")
        pairs = [[0, 0]] * rank
    fields = {
        "kernel_size": per_axis(kernel, rank),
        **unless(
            stride=(per_axis(stride, rank), per_axis(kernel, rank)),
            padding=(per_axis([before for before, _ in pairs], rank), 0),
            dilation=(per_axis(dilation, rank), 1),
            ceil_mode=(bool(op.attr("ceil_mode", 0)), False),
        ),
    }
    if op.name == "AveragePool" and pairs != [[0, 0]] * rank and not op.attr("count_include_pad", 0):
        fields["count_include_pad"] = False
    return op.trace.add(f"{op.name[:3]}Pool{rank}d".replace("Ave", "Avg"), fields, [x])
