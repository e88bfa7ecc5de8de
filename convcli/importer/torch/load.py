"""`convcli.import_torch`: from a model, or what makes one, to a Network; and to the YAML of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from convcli.errors import SpecError
from convcli.importer.document import document
from convcli.importer.graph import Graph, Shape
from convcli.importer.settled import settled
from convcli.importer.target import found
from convcli.importer.torch.model import building, graph_of
from convcli.plan import Network
from convcli.spec.build import network

Model = torch.nn.Module | Callable[..., torch.nn.Module] | str
Input = Shape | tuple[Shape, str]


def import_torch(model: Model, *inputs: Input, name: str = "", run: bool = False, **arguments: Any) -> Network:
    """The network of a torch model: its operations in order, without computing them and without weights in memory.

    model: a module, or what gives one when it is called with `arguments` (a class, a function), or where that is to be
    found, "torchvision.models:resnet50". inputs: shapes (N, C, *space), or (shape, dtype's name) pairs.
    run: run it for real, on zeros: for a model that asks for the values of tensors.
    Raises SpecError where there is no such model.
    """
    return network(document(torch_graph(model, *inputs, name=name, run=run, **arguments)), name or "torch")


def torch_graph(model: Model, *inputs: Input, name: str = "", run: bool = False, **arguments: Any) -> Graph:
    """The same as a Graph, to be written."""
    if not inputs:
        raise SpecError("the model needs an input", field="--input", allowed="a shape", repair="-i 1,3,224,224")
    name = name or (model.rpartition(":")[2] if isinstance(model, str) else getattr(model, "__name__", ""))
    built = _built(found(model) if isinstance(model, str) else model, arguments, run=run)
    shapes = [_input(one) for one in inputs]
    graph = graph_of(built, shapes, name=name or type(built).__name__, run=run)
    return settled(graph, {key: param.numel() for key, param in built.named_parameters()})


def _built(target: Any, arguments: dict[str, Any], *, run: bool) -> torch.nn.Module:
    if isinstance(target, torch.nn.Module):
        return target
    if not callable(target):
        raise SpecError(f"{target!r} is no model", allowed="a torch.nn.Module, or what makes one when it is called")
    if run:
        made = target(**arguments)
    else:
        with building():
            made = target(**arguments)
    if not isinstance(made, torch.nn.Module):
        raise SpecError(f"{target} gave {type(made).__name__}", allowed="a torch.nn.Module")
    return made


def _input(said: Input) -> tuple[Shape, torch.dtype]:
    if len(said) == 2 and isinstance(said[1], str):
        dtype = getattr(torch, said[1], None)
        if not isinstance(dtype, torch.dtype):
            raise SpecError(f"the data type {said[1]!r} is not known", allowed="float32, int64 and torch's others")
        return tuple(said[0]), dtype  # type: ignore[arg-type]
    return tuple(said), torch.float32  # type: ignore[arg-type]
