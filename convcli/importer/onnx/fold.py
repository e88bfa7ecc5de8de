"""What depends on no input and is small is worked out: the sizes that Reshape, Slice and Resize are told."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from convcli.errors import SpecError
from convcli.importer.onnx.read import SMALL
from convcli.importer.onnx.table import Op
from convcli.importer.onnx.trace import Value

FOLDED = frozenset(
    {
        "Abs", "Add", "And", "ArgMax", "ArgMin", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape",
        "CumSum", "Div", "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND",
        "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg",
        "NonZero", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMin", "ReduceProd",
        "ReduceSum", "Reshape", "Round", "ScatterElements", "ScatterND", "Sign", "Slice", "Split", "Sqrt", "Squeeze",
        "Sub", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
    }
)  # fmt: skip
FLOATS = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.DOUBLE,
        TensorProto.BFLOAT16,
        TensorProto.INT8,
        TensorProto.UINT8,
    }
)


def tensor(held: TensorProto, *, learned: bool) -> Value:
    """A tensor of the file; its numbers, when it is small and they are in the file itself."""
    shape = tuple(held.dims)
    small = prod(shape) <= SMALL and held.data_location != TensorProto.EXTERNAL
    try:
        numbers = numpy_helper.to_array(held) if small else None
    except (ValueError, TypeError, KeyError) as error:
        raise SpecError(f"the tensor {held.name!r} is damaged: {error}") from None
    return Value(
        shape,
        there=True,
        numbers=numbers,
        weight=held.name,
        learned=learned and held.data_type in FLOATS and (prod(shape) > 1 or len(shape) > 1),
    )


def constant(op: Op) -> Value | None:
    """The operators that give a tensor without working anything out; None for others."""
    if op.name == "Constant":
        for name, value in op.told.items():
            if name == "value":
                found = tensor(value, learned=False)
                found.weight = op.proto.output[0]
                return found
            if name.startswith("value_"):
                numbers = np.asarray(value)
                return Value(numbers.shape, there=True, numbers=numbers, weight=op.proto.output[0])
    if op.name == "Shape":
        sizes = np.asarray(op.x.shape[op.attr("start", 0) : op.attr("end", len(op.x.shape))], np.int64)
        return Value(sizes.shape, there=True, numbers=sizes)
    if op.name == "Size":
        return Value((), there=True, numbers=np.asarray(prod(op.x.shape), np.int64))
    return None


def folded(op: Op) -> list[Value] | None:
    """The results of an operator whose inputs are numbers that are known; None when it must become a layer."""
    if op.name not in FOLDED or any(x is not None and (x.numbers is None or x.learned) for x in op.inputs):
        return None
    if not _small(op):
        return None
    given = {name: x.numbers for name, x in zip(op.proto.input, op.inputs, strict=True) if x is not None}
    takes = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in given.items()
    ]
    gives = [helper.make_empty_tensor_value_info(name) for name in op.proto.output if name]
    alone = helper.make_graph([op.proto], "alone", takes, gives)
    results: list[Any] = ReferenceEvaluator(alone, opsets={"": op.opset}).run(None, given)
    return [Value(np.shape(y), there=True, numbers=np.asarray(y)) for y in results]


def _small(op: Op) -> bool:
    """Whether the result is: some of them are told how large it is to be."""
    if op.name == "Range":
        start, limit, delta = (float(x.numbers) for x in op.inputs if x is not None)
        return delta != 0 and (limit - start) / delta <= SMALL
    if op.name == "ConstantOfShape":
        return prod(op.x.integers) <= SMALL
    if op.name in {"Expand", "Tile"}:
        return prod(op.x.shape) * prod(op.input(1).integers) <= SMALL * SMALL
    return True
