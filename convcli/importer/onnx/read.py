"""An ONNX file as onnx' own structs, without the numbers of its weights; whatever is wrong with it, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import ModelProto, TensorProto

from convcli.errors import ImportFailed, SpecError
from convcli.importer.graph import Shape
from convcli.importer.onnx.skim import skimmed

OLDEST = 7
SMALL = 4096  # elements of a tensor whose numbers may tell a shape
Inputs = Shape | Mapping[str, Shape] | None


def model_of(data: bytes, source: str) -> ModelProto:
    """The model in the bytes of a file; functions are spelled out. Raises SpecError, ImportFailed."""
    try:
        model = onnx.load_model_from_string(skimmed(data))
    except DecodeError:
        raise SpecError(
            f"{source}: this is no ONNX file, or not all of one", allowed="what torch.onnx.export writes"
        ) from None
    if not model.graph.node or not model.opset_import:
        raise SpecError(f"{source}: there is no graph in this file", allowed="an ONNX model, whole")
    opset = opset_of(model)
    if opset < OLDEST:
        raise SpecError(
            f"{source}: this is opset {opset}",
            allowed=f"opset {OLDEST} and later",
            repair="onnx.version_converter.convert_version(model, 13)",
        )
    if opset > onnx.defs.onnx_opset_version():
        known = f"onnx {onnx.__version__} knows {onnx.defs.onnx_opset_version()}"
        raise ImportFailed(f"{source}: this is opset {opset}, {known}; pip install --upgrade onnx")
    nodes = [
        name for node in model.graph.node for name in (node.op_type, node.domain, node.name, *node.input, *node.output)
    ]
    names = [*nodes, *(held.name for held in (*model.graph.initializer, *model.graph.input, *model.graph.output))]
    if not all(isinstance(name, str) for name in names):  # protobuf hands on as bytes what is not UTF-8
        raise SpecError(
            f"{source}: this file is damaged: it has a name that is no text", allowed="an ONNX model, whole"
        )
    for tensor in _tensors(model):
        if prod(tensor.dims) > SMALL:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                tensor.ClearField(field)
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    return model


def opset_of(model: ModelProto) -> int:
    """The version of ONNX' own operators."""
    return max((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), default=OLDEST)


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                if attribute.HasField("g"):
                    graphs.append(attribute.g)


def settle_inputs(model: ModelProto, given: Inputs, source: str) -> dict[str, Shape]:
    """The shape of every input of the network, written into the model; `given` tells what the file leaves open.

    given: the first input's shape, or shapes by the inputs' names; a name of an axis with one number will do, too.
    """
    there = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in there and one.type.HasField("tensor_type")]
    inputs.sort(key=lambda one: len(one.type.tensor_type.shape.dim) == 1)  # a spec's input has two axes or more
    if not inputs:
        raise SpecError(f"{source}: this network has no input", allowed="at least one tensor that is no weight")
    told = dict(given) if isinstance(given, Mapping) else {} if given is None else {inputs[0].name: given}
    names = [one.name for one in inputs]
    axes = {dim.dim_param: None for one in inputs for dim in one.type.tensor_type.shape.dim if dim.dim_param}
    for name in told:
        if name not in names and name not in axes:
            raise SpecError(
                f"{source}: no input is named {name!r}", field="--input", allowed=", ".join([*names, *axes])
            )
    return {one.name: _settled(one, told, source) for one in inputs}


def _settled(one: Any, told: dict[str, Shape], source: str) -> Shape:
    dims = one.type.tensor_type.shape.dim
    said: list[int | str] = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in dims]
    shape: tuple[int | str, ...] = told.get(one.name) or tuple(_size(n, told) for n in said)
    fixed = tuple(n for n in shape if isinstance(n, int))
    known = one.type.tensor_type.HasField("shape")
    if len(fixed) < len(shape) or (not known and one.name not in told):
        shown = (
            ",".join(str(n if isinstance(n, int) else 224 if at else 1) for at, n in enumerate(shape)) or "1,3,224,224"
        )
        raise SpecError(
            f"{source}: the input {one.name!r} is [{', '.join(map(str, shape))}]: it has axes without a size"
            if known
            else f"{source}: the input {one.name!r} has no shape",
            field="--input",
            allowed="a size for every axis",
            repair=f"-i {one.name}={shown}",
        )
    if known and len(fixed) != len(said):
        raise SpecError(
            f"{source}: the input {one.name!r} has {len(said)} axes, {list(fixed)} has {len(fixed)}",
            field="--input",
            allowed=f"[{', '.join(map(str, said))}]",
        )
    del dims[:]
    for size in fixed:
        dims.add().dim_value = size
    return fixed


def _size(said: int | str, told: dict[str, Shape]) -> int | str:
    """The size of an axis that has a name, when somebody told it."""
    found = told.get(said, ()) if isinstance(said, str) else ()
    return found[0] if len(found) == 1 else said


def inferred(model: ModelProto) -> dict[str, Shape]:
    """The shapes that ONNX itself finds, by name: those without an open axis."""
    graph = model.graph
    del graph.value_info[:]  # they may be those of another input
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        found = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, DecodeError, EncodeError, RuntimeError, ValueError):
        return {}  # what it cannot do we may
    shapes = dict[str, Shape]()
    for one in (*found.value_info, *found.output):
        held = one.type.tensor_type
        known = one.type.HasField("tensor_type") and held.HasField("shape")
        if known and all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in held.shape.dim):
            shapes[one.name] = tuple(dim.dim_value for dim in held.shape.dim)
    return shapes
