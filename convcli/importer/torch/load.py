"""`convcli.import_torch`: from a model, or what makes one, to a Network; and to the YAML of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any, TypeAlias

import torch

from convcli.errors import ImportFailed, SpecError
from convcli.importer.document import document
from convcli.importer.graph import Graph, Shape
from convcli.importer.settled import settled
from convcli.importer.target import found
from convcli.importer.torch.ghost import NeedsDataError
from convcli.importer.torch.model import building, graph_of
from convcli.plan import Network
from convcli.spec.build import network

Model: TypeAlias = "torch.nn.Module | Callable[..., torch.nn.Module] | str"
Input: TypeAlias = "Shape | tuple[Shape, str]"


def import_torch(
    model: Model, *inputs: Input, name: str = "", run: bool = False, partial: bool = False, **arguments: Any
) -> Network:
    """The network of a torch model: its operations in order, without computing them and without weights in memory.

    model: a module, or what gives one when it is called with `arguments` (a class, a function), or where that is to be
    found, "torchvision.models:resnet50". inputs: shapes (N, C, *space), or (shape, dtype's name) pairs.
    A model that asks for the values of tensors cannot be run so. partial: keep what came before that; run: run it for
    real, on zeros.
    Raises SpecError where there is no such model, ImportFailed where it cannot be built or run.
    """
    graph = torch_graph(model, *inputs, arguments=arguments, name=name, run=run, partial=partial)
    return network(document(graph), graph.name)


def torch_graph(
    model: Model,
    *inputs: Input,
    arguments: Mapping[str, Any] | None = None,
    name: str = "",
    run: bool = False,
    partial: bool = False,
) -> Graph:
    """The same as a Graph, to be written. arguments: by their names, which may be `name` or `run` too."""
    if not inputs:
        raise SpecError("the model needs an input", field="--input", allowed="a shape", repair="-i 1,3,224,224")
    name = name or (model.rpartition(":")[2] if isinstance(model, str) else getattr(model, "__name__", ""))
    shapes = [_input(one) for one in inputs]
    with redirect_stdout(sys.stderr):  # what the model prints is no part of the spec
        with _said("importing", model):
            target = found(model) if isinstance(model, str) else model
        with _said("building", model):
            built = _built(target, dict(arguments or {}), shapes, run=run)
        with _said("running", model):
            graph = graph_of(built, shapes, name=name or type(built).__name__, run=run, partial=partial)
    return settled(graph, {key: param.numel() for key, param in built.named_parameters()})


@contextmanager
def _said(doing: str, model: Model) -> Iterator[None]:
    """Whatever somebody else's code raises, as an ImportFailed that says where."""
    try:
        yield
    except (SpecError, ImportFailed):
        raise
    except NeedsDataError as error:
        raise ImportFailed(f"{error}; --partial keeps what came before, --run runs the model on zeros") from error
    except (Exception, SystemExit) as error:
        what = model if isinstance(model, str) else getattr(model, "__name__", type(model).__name__)
        raise ImportFailed(f"{doing} {what} raised {type(error).__name__}: {error}") from error


def _built(
    target: Any, arguments: dict[str, Any], shapes: list[tuple[Shape, torch.dtype]], *, run: bool
) -> torch.nn.Module:
    if isinstance(target, torch.nn.Module):
        return target
    if not callable(target):
        raise SpecError(f"{target!r} is no model", allowed="a torch.nn.Module, or what makes one when it is called")
    with nullcontext() if run else building():
        made = target(**arguments)
        if isinstance(made, torch.nn.Module) and any(map(torch.nn.parameter.is_lazy, made.parameters())):
            made(*[torch.zeros(size, dtype=dtype, device=None if run else "meta") for size, dtype in shapes])
    if not isinstance(made, torch.nn.Module):
        raise SpecError(f"{target} gave {type(made).__name__}", allowed="a torch.nn.Module")
    return made


def _input(said: Input) -> tuple[Shape, torch.dtype]:
    if len(said) == 2 and isinstance(said[1], str):
        dtype = getattr(torch, said[1], None)
        if not isinstance(dtype, torch.dtype):
            raise SpecError(f"the data type {said[1]!r} is not known", allowed="float32, int64 and torch's others")
        return tuple(said[0]), dtype
    return tuple(said), torch.float32
