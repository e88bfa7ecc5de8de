"""A primitive as an ONNX model of one operator, for whatever runs ONNX. Forward only; nothing here runs anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto, NodeProto, helper

from convcli.backends import Unsupported
from convcli.backends.compose import composed
from convcli.layers import Conv, ConvTranspose, DeformConv, Layer

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays

OPSET, IR = 19, 9  # the first with DeformConv and circular padding
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
Session = Callable[[ModelProto, dict[str, Any]], "Array"]


def forward(layer: Layer, arrays: Arrays, session: Session) -> Array:
    """y of `layer`, its primitives as models run by `session`, batch axis added where there is none."""

    def primitive(part: Layer, given: Arrays) -> Array:
        batched = given["x"].ndim == len(part.axes) + 2
        images = {"x", *part.side_inputs(given["x"].shape[-1 - len(part.axes) :])}
        inputs = {name: a if batched or name not in images else a[None] for name, a in given.items()}
        y = session(model(part, inputs), inputs)
        return y if batched else y[0]

    return composed(layer, arrays, primitive)


def model(layer: Layer, inputs: Arrays) -> ModelProto:
    """The model of a primitive for inputs of these shapes and this dtype. Raises Unsupported."""
    kind = helper.np_dtype_to_tensor_dtype(inputs["x"].dtype)
    given = [helper.make_tensor_value_info(name, kind, array.shape) for name, array in inputs.items()]
    result = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph(_nodes(layer, inputs), "layer", given, [result])
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
