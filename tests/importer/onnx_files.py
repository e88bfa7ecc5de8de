"""Small ONNX models, one operator each, with what they must count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from convcli.layers import Shape

X4 = (2, 4, 9, 8)


class Case(NamedTuple):
    """An operator on inputs of these shapes; `held` are its other inputs, by name: shapes of weights, or numbers.

    inputs: the names in the order in which it takes them, all of them if left out.
    """

    op: str
    shapes: Sequence[Shape] = (X4,)
    held: dict[str, Any] = {}
    attrs: dict[str, Any] = {}
    macs: int = 0
    params: int = 0
    opset: int = 18
    outputs: int = 1
    inputs: tuple[str, ...] = ()
    shape: Shape | None = None  # of the result, where ONNX' own evaluator fails

    @property
    def label(self) -> str:
        told = "-".join(f"{key}={value}" for key, value in self.attrs.items())
        return f"{self.op}-{self.opset}-{told}".replace(" ", "")[:60]


def built(case: Case) -> ModelProto:
    """A model of that operator alone; its inputs are x0, x1, ..., its results y0, y1, ..."""
    names = [f"x{at}" for at in range(len(case.shapes))]
    node = helper.make_node(
        case.op, case.inputs or [*names, *case.held], [f"y{at}" for at in range(case.outputs)], **case.attrs
    )
    return model([node], dict(zip(names, case.shapes, strict=True)), case.held, node.output, case.opset)


def model(
    nodes: Sequence[NodeProto],
    inputs: dict[str, Any],
    held: dict[str, Any],
    outputs: Sequence[str],
    opset: int = 18,
    **more: Any,
) -> ModelProto:
    """A model; `held` are its tensors: arrays, or shapes of weights."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs if name],
        [numpy_helper.from_array(_array(value), name) for name, value in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def _array(value: Any) -> Any:
    if isinstance(value, tuple):
        return np.random.default_rng(0).standard_normal(value).astype(np.float32)
    return np.asarray(value)


def ints(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


CONV = [
    Case("Conv", held={"w": (6, 4, 3, 3), "b": (6,)}, attrs={"pads": [1, 1, 1, 1]}, macs=2 * 6 * 72 * 36, params=222),
    Case("Conv", held={"w": (6, 4, 3, 3)}, attrs={"pads": [0, 1, 2, 1], "strides": [2, 1]}, macs=2 * 6 * 40 * 36, params=216),
    Case("Conv", held={"w": (8, 2, 3, 3)}, attrs={"group": 2, "dilations": [2, 2]}, macs=2 * 8 * 20 * 18, params=144),
    Case("Conv", held={"w": (4, 1, 3, 3)}, attrs={"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]},
         macs=2 * 4 * 20 * 9, params=36),
    Case("Conv", held={"w": (4, 4, 2, 2)}, attrs={"auto_pad": "SAME_LOWER"}, macs=2 * 4 * 72 * 16, params=64, opset=7),
    Case("Conv", held={"w": (4, 4, 2, 2)}, attrs={"auto_pad": "VALID"}, macs=2 * 4 * 56 * 16, params=64),
    Case("Conv", [(1, 3, 11)], {"w": (5, 3, 4), "b": (5,)}, {"strides": [2]}, macs=5 * 4 * 12, params=65),
    Case("Conv", [(1, 2, 4, 5, 6)], {"w": (3, 2, 2, 2, 2)}, macs=3 * 60 * 16, params=48),
    Case("ConvTranspose", held={"w": (4, 6, 3, 3), "b": (6,)}, attrs={"strides": [2, 2]}, macs=2 * 72 * 4 * 54, params=222),
    Case("ConvTranspose", held={"w": (4, 6, 3, 3)},
         attrs={"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}, macs=2 * 72 * 4 * 54, params=216),
    Case("ConvTranspose", held={"w": (4, 6, 3, 3)}, attrs={"strides": [2, 2], "output_shape": [18, 16]},
         macs=2 * 72 * 4 * 54, params=216, shape=(2, 6, 18, 16)),
    Case("ConvTranspose", held={"w": (4, 6, 3, 3)}, attrs={"strides": [2, 2], "auto_pad": "SAME_UPPER"},
         macs=2 * 72 * 4 * 54, params=216),
    Case("ConvTranspose", [(1, 3, 7)], {"w": (3, 2, 4)}, {"pads": [1, 2], "dilations": [2]}, macs=7 * 3 * 8, params=24),
    Case("DeformConv", [(1, 4, 6, 6), (1, 18, 4, 4)], {"w": (5, 4, 3, 3)}, macs=5 * 16 * 36, params=180, opset=19,
         inputs=("x0", "w", "x1")),
    Case("DeformConv", [(1, 4, 6, 6), (1, 36, 6, 6), (1, 18, 6, 6)], {"w": (4, 2, 3, 3), "b": (4,)},
         {"group": 2, "offset_group": 2, "pads": [1, 1, 1, 1]}, macs=4 * 36 * 18, params=76, opset=19,
         inputs=("x0", "w", "x1", "b", "x2")),
]  # fmt: skip
PRODUCTS = [
    Case("Gemm", [(3, 4)], {"w": (5, 4), "b": (5,)}, {"transB": 1}, macs=60, params=25),
    Case("Gemm", [(4, 3)], {"w": (4, 5)}, {"transA": 1}, macs=60, params=20),
    Case("Gemm", [(3, 4), (4, 5), (3, 5)], attrs={"alpha": 0.5, "beta": 2.0}, macs=60),
    Case("MatMul", [(2, 3, 4)], {"w": (4, 5)}, macs=120, params=20),
    Case("MatMul", [(2, 3, 4), (2, 4, 5)], macs=120),
    Case("MatMul", [(4, 5), (4,)], macs=20, inputs=("x1", "x0")),
    Case("MatMul", [(3, 4), (4,)], macs=12),
    Case("MatMul", [(4, 5)], {"w": (3, 4)}, macs=60, params=12, inputs=("w", "x0")),
    Case("MatMul", [(2, 3, 4)], {"w": (2, 4, 5)}, macs=120, params=40),
    Case("Einsum", [(2, 3, 4, 5), (2, 6, 4, 5)], attrs={"equation": "bqhc,bkhc->bhqk"}, macs=2 * 4 * 3 * 6 * 5),
    Case("Einsum", [(2, 3, 4)], {"w": (4, 5)}, {"equation": "bij,jk->bik"}, macs=120, params=20),
    Case("Einsum", [(2, 3), (3, 4), (4, 5)], attrs={"equation": "ij,jk,kl->il"}, macs=2 * 3 * 4 + 2 * 4 * 5),
    Case("Einsum", [(2, 3, 4)], attrs={"equation": "abc->ca"}),
]
NORMS = [
    Case("BatchNormalization", held=dict.fromkeys(("scale", "b", "mean"), (4,)) | {"var": np.ones(4, np.float32)}, params=8),
    Case("BatchNormalization", [(3, 4)], dict.fromkeys(("scale", "b", "mean"), (4,)) | {"var": np.ones(4, np.float32)},
         params=8, opset=7, shape=(3, 4)),
    Case("InstanceNormalization", held=dict.fromkeys(("scale", "b"), (4,)), params=8),
    Case("InstanceNormalization", held={"scale": np.ones(4, np.float32), "b": np.zeros(4, np.float32)}),
    Case("GroupNormalization", held=dict.fromkeys(("scale", "b"), (4,)), attrs={"num_groups": 2}, params=8, opset=21),
    Case("LayerNormalization", [(2, 3, 8)], dict.fromkeys(("scale", "b"), (8,)), params=16),
    Case("LayerNormalization", [(2, 3, 8)], {"scale": (3, 8)}, {"axis": 1}, params=24),
]  # fmt: skip
POOLS = [
    Case("MaxPool", attrs={"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", attrs={"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("MaxPool", attrs={"kernel_shape": [2, 2], "dilations": [2, 2]}),
    Case("MaxPool", attrs={"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    Case("MaxPool", attrs={"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("MaxPool", [(1, 2, 9)], attrs={"kernel_shape": [3]}, opset=7),
    Case("AveragePool", attrs={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Case("AveragePool", attrs={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    Case("GlobalAveragePool"), Case("GlobalMaxPool"), Case("GlobalAveragePool", [(1, 3, 4, 4, 4)]),
]  # fmt: skip
UNARY = [
    Case(op) for op in (
        "Relu", "Sigmoid", "Tanh", "Selu", "Mish", "HardSwish", "Softsign", "Softplus", "Exp", "Neg", "Abs", "Erf",
        "Sin", "Cos", "Floor", "Ceil", "Round", "Sign", "HardSigmoid", "Elu", "LeakyRelu", "Celu", "Identity",
        "ThresholdedRelu", "Softmax", "LogSoftmax", "Hardmax", "Shrink", "Dropout", "Atan",
    )
]  # fmt: skip
ELEMENTWISE = [
    *UNARY,
    Case("Gelu", attrs={"approximate": "tanh"}, opset=20),
    Case("Softmax", attrs={"axis": 1}, opset=11),
    Case("Clip", attrs={"min": 0.0, "max": 6.0}, opset=7),
    Case("Clip", held={"low": np.float32(0), "high": np.float32(6)}, opset=13),
    Case("PRelu", held={"slope": (4, 1, 1)}, params=4),
    *(Case(op, [X4, X4]) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Equal", "Greater")),
    Case("Add", [X4, (8,)]), Case("Add", held={"w": (4, 1, 1)}, params=4), Case("Mul", held={"n": np.float32(2)}),
    Case("Pow", held={"n": np.float32(2)}), Case("Sub", held={"n": np.float32(2)}, inputs=("n", "x0")),
    Case("Where", [X4], {"c": np.ones((9, 8), bool), "n": np.float32(0)}, inputs=("c", "x0", "n")),
    Case("CumSum", held={"axis": np.int64(1)}), Case("QuantizeLinear", held={"s": np.float32(2), "z": np.uint8(3)}),
]  # fmt: skip
MOVES = [
    Case("Concat", [X4, (2, 3, 9, 8)], attrs={"axis": 1}), Case("Concat", [X4, X4], attrs={"axis": -1}),
    Case("Split", attrs={"axis": 1, "num_outputs": 2}, outputs=2), Case("Split", held={"s": ints(1, 3)}, attrs={"axis": 1}, outputs=2),
    Case("Split", attrs={"axis": 1, "split": [1, 3]}, outputs=2, opset=11),
    Case("Slice", held={"a": ints(1), "b": ints(2**62), "axes": ints(2), "step": ints(3)}),
    Case("Slice", held={"a": ints(-1), "b": ints(-(2**62)), "axes": ints(-1), "step": ints(-2)}),
    Case("Slice", attrs={"starts": [0, 1], "ends": [1, -1], "axes": [0, 3]}, opset=7),
    Case("Transpose", attrs={"perm": [0, 2, 3, 1]}), Case("Transpose"),
    Case("Reshape", held={"s": ints(0, -1, 4)}), Case("Reshape", held={"s": ints(0, 4, 72)}), Case("Reshape", held={"s": ints(*X4)}),
    Case("Flatten"), Case("Flatten", attrs={"axis": 2}), Case("Flatten", attrs={"axis": 0}), Case("Flatten", attrs={"axis": -1}),
    Case("Squeeze", [(1, 3, 1, 2)], {"axes": ints(0, 2)}), Case("Squeeze", [(1, 3, 1, 2)]),
    Case("Squeeze", [(1, 3, 1, 2)], attrs={"axes": [2]}, opset=11),
    Case("Unsqueeze", held={"axes": ints(0, -1)}), Case("Unsqueeze", attrs={"axes": [1]}, opset=7),
    Case("Gather", held={"i": ints(0, 2)}, attrs={"axis": 2}), Case("Gather", held={"i": np.int64(1)}, attrs={"axis": 1}),
    Case("GatherElements", held={"i": np.zeros((2, 4, 3, 8), np.int64)}, attrs={"axis": 2}),
    Case("GatherND", held={"i": np.zeros((5, 2), np.int64)}), Case("Expand", [(1, 4, 1)], {"s": ints(3, 1, 5)}),
    Case("Tile", held={"s": ints(1, 2, 1, 3)}), Case("Pad", held={"p": ints(0, 0, 1, 2, 0, 0, 3, 4)}),
    Case("Pad", attrs={"pads": [0, 0, 1, 1, 0, 0, 1, 1], "mode": "reflect"}, opset=7),
    Case("Pad", held={"p": ints(0, 1, 0, 0, 0, 0, 0, 0)}, attrs={"mode": "edge"}),
    Case("DepthToSpace", attrs={"blocksize": 2, "mode": "CRD"}), Case("DepthToSpace", attrs={"blocksize": 2}),
    Case("SpaceToDepth", [(1, 2, 4, 6)], attrs={"blocksize": 2}), Case("Trilu"),
    Case("Resize", held={"s": np.array([1, 1, 2, 2], np.float32)}, attrs={"mode": "nearest"}, inputs=("x0", "", "s")),
    Case("Resize", held={"n": ints(2, 4, 5, 12)}, attrs={"mode": "linear"}, inputs=("x0", "", "", "n")),
    Case("Upsample", held={"s": np.array([1, 1, 2, 3], np.float32)}, opset=9),
    *(Case(f"Reduce{word}", held={"axes": ints(2, 3)}) for word in ("Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp")),
    Case("ReduceSum", held={"axes": ints(-1)}, attrs={"keepdims": 0}), Case("ReduceMean", attrs={"axes": [1]}, opset=13),
    Case("ReduceSum"), Case("ReduceSum", attrs={"noop_with_empty_axes": 1}), Case("ArgMax", attrs={"axis": 1, "keepdims": 0}),
]  # fmt: skip
CASES = [*CONV, *PRODUCTS, *NORMS, *POOLS, *ELEMENTWISE, *MOVES]
