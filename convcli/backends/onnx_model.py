"""A primitive as an ONNX model of one operator, for whatever runs ONNX. Forward only; nothing here runs anything."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from convcli.backends import Unsupported
from convcli.backends.compose import composed
from convcli.layers import Conv, ConvTranspose, DeformConv, Layer

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

OPSET, IR = 19, 9  # the first with DeformConv and circular padding
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
Run = Callable[[dict[str, Any]], "Array"]
Start = Callable[[ModelProto], Run]


def forward(layer: Layer, arrays: Arrays, start: Start) -> Array:
    """y of `layer`, its primitives as models that `start` makes runs of, batch axis added where there is none."""
    return _ready(layer, arrays, start, constants=False)()


def prepared(layer: Layer, arrays: Arrays, start: Start, dy: Array | None) -> Callable[[], Array]:
    """The layer as a call without arguments; its models, with the weights in them, are made by the first call."""
    if dy is not None:
        raise Unsupported("it has no gradients")
    return _ready(layer, arrays, start, constants=True)


def _ready(layer: Layer, arrays: Arrays, start: Start, *, constants: bool) -> Callable[[], Array]:
    runs: dict[int, Run] = {}  # by the primitive's weight, of which each has its own

    def primitive(part: Layer, given: Arrays) -> Array:
        batched = given["x"].ndim == len(part.axes) + 2
        images = {"x", *part.side_inputs(given["x"].shape[-1 - len(part.axes) :])}
        inputs = {name: a if batched or name not in images else a[None] for name, a in given.items()}
        fixed = set(inputs) - images if constants else set()
        place = id(given["weight"])
        if place not in runs:
            runs[place] = start(model(part, inputs, fixed))
        y = runs[place]({name: array for name, array in inputs.items() if name not in fixed})
        return y if batched else y[0]

    return lambda: composed(layer, arrays, primitive)


def model(layer: Layer, inputs: Arrays, fixed: Collection[str] = ()) -> ModelProto:
    """The model of a primitive for inputs of these shapes and this dtype, `fixed` ones in it. Raises Unsupported."""
    kind = helper.np_dtype_to_tensor_dtype(inputs["x"].dtype)
    given = [
        helper.make_tensor_value_info(name, kind, array.shape) for name, array in inputs.items() if name not in fixed
    ]
    held = [numpy_helper.from_array(inputs[name], name) for name in fixed]
    result = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph(_nodes(layer, inputs), "layer", given, [result], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def _nodes(layer: Layer, inputs: Arrays) -> list[NodeProto]:
    pads = [axis.before for axis in layer.axes] + [axis.after for axis in layer.axes]
    if min(pads) < 0:
        raise Unsupported("ONNX has no negative padding here")
    options: dict[str, Any] = {
        "kernel_shape": [axis.kernel for axis in layer.axes],
        "strides": [axis.stride for axis in layer.axes],
        "dilations": [axis.dilation for axis in layer.axes],
        "pads": pads,
    }
    bias = "bias" if "bias" in inputs else ""
    if isinstance(layer, DeformConv):
        groups = inputs["x"].shape[1] // inputs["weight"].shape[1]
        cells = int(np.prod(options["kernel_shape"]))
        options |= {"group": groups, "offset_group": inputs["offset"].shape[1] // (2 * cells)}
        names = ["x", "weight", "offset", bias, "mask" if "mask" in inputs else ""]
        return [helper.make_node("DeformConv", _stripped(names), ["y"], **options)]
    if isinstance(layer, ConvTranspose):
        options |= {"group": layer.groups, "output_padding": [axis.output_padding for axis in layer.axes]}
        return [helper.make_node("ConvTranspose", _stripped(["x", "weight", bias]), ["y"], **options)]
    if not isinstance(layer, Conv):
        raise Unsupported(f"ONNX has no {layer.kind}")
    options["group"] = layer.groups or 1
    if layer.padding_mode == "zeros":
        return [helper.make_node("Conv", _stripped(["x", "weight", bias]), ["y"], **options)]
    around = [0, 0, *pads[: len(layer.axes)], 0, 0, *pads[len(layer.axes) :]]
    options["pads"] = [0] * len(pads)
    return [
        helper.make_node("Constant", [], ["around"], value_ints=around),
        helper.make_node("Pad", ["x", "around"], ["padded"], mode=MODES[layer.padding_mode]),
        helper.make_node("Conv", _stripped(["padded", "weight", bias]), ["y"], **options),
    ]


def _stripped(names: list[str]) -> list[str]:
    """Without the empty names at the end."""
    while not names[-1]:
        names.pop()
    return names
