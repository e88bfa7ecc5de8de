"""A model's graph: built without memory, run once, everything that was changed for it put back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial as bound
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from convcli.importer.graph import Graph, Node, Shape, pruned
from convcli.importer.torch.ghost import Building, Ghost, NeedsDataError, tensors
from convcli.importer.torch.recorder import Below, Recorder
from convcli.importer.torch.trace import Trace, Where, shape


@contextmanager
def building() -> Iterator[None]:
    """Inside, what is built has no memory, and no weights are fetched or loaded."""
    from torch import hub

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(Building())
        stack.enter_context(_replaced(torch.nn.Module, "load_state_dict", _nothing_loaded))
        stack.enter_context(_replaced(hub, "load_state_dict_from_url", _no_weights))
        import sys

        if api := sys.modules.get("torchvision.models._api"):
            stack.enter_context(_replaced(api, "load_state_dict_from_url", _no_weights))
        yield


@contextmanager
def _quick_nms() -> Iterator[None]:
    """torchvision suppresses boxes class by class, or, which is the same, of all classes at once, far apart."""
    import sys

    boxes = sys.modules.get("torchvision.ops.boxes")
    if boxes is None:
        yield
        return
    with _replaced(boxes, "_batched_nms_vanilla", boxes._batched_nms_coordinate_trick):  # noqa: SLF001 - the other half
        yield


def _nothing_loaded(*args: object, **kwargs: object) -> object:
    from torch.nn.modules.module import _IncompatibleKeys

    del args, kwargs
    return _IncompatibleKeys([], [])


def _no_weights(*args: object, **kwargs: object) -> dict[str, Any]:
    del args, kwargs
    return {}


@contextmanager
def _replaced(holder: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, before)


def graph_of(
    model: torch.nn.Module,
    shapes: Sequence[tuple[Shape, torch.dtype]],
    *,
    name: str = "",
    run: bool = False,
    partial: bool = False,
) -> Graph:
    """What `model` does with inputs of these shapes. run: with zeros, on the CPU. partial: until it asks for values."""
    graph = Graph(name, shapes[0][0])
    counted = {id(p): p for p in model.parameters()}
    graph.params = sum(p.numel() for p in counted.values())
    trace = Trace(graph, model, real=run)
    inputs = [torch.zeros(size, dtype=dtype, device="cpu" if run else "meta") for size, dtype in shapes]
    for place, x in enumerate(inputs):
        trace.gives(
            x, trace.add("Constant", {"shape": shape(x)}, (), shape(x), f"input_{place + 1}") if place else None
        )
        if place:
            trace.fed.add(id(trace.made[id(x)]))
    recorder = Recorder(trace, None if run else Ghost())
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(_evaluating(model))
        stack.enter_context(_watched(model, trace, recorder))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_quick_nms())
        stack.enter_context(recorder)
        try:
            out = model(*inputs)
        except NeedsDataError as error:
            if not partial:
                raise
            out = ()
            trace.add("Unknown", {"operation": "the rest", "shape": ()}, [], (), "rest").comment = str(error)
            graph.notes.append(f"{error}: what it does then is not here")
    found = [trace.made.get(id(x)) for x in _results(out) if not trace.constant(x)]
    graph.outputs = [node for node in found if node is not None]
    _rest(trace, model)
    return pruned(graph)


def _results(out: Any) -> Iterator[torch.Tensor]:
    if hasattr(out, "__dict__") and not isinstance(out, torch.Tensor | dict | tuple | list):
        out = vars(out)
    yield from tensors(out)


def _rest(trace: Trace, model: torch.nn.Module) -> None:
    """Parameters that took no part, so that the sum is the model's."""
    seen: set[int] = set()
    for name, param in model.named_parameters():
        if trace.params[id(param)] not in trace.owner and id(param) not in seen:
            seen.add(id(param))
            node = Node("Parameter", {"shape": shape(param)}, (), shape(param), word=name, comment="takes no part")
            node.weights = {"weight": name}
            trace.graph.nodes.append(node)


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """In evaluation mode; every module's own mode is put back."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def _watched(model: torch.nn.Module, trace: Trace, recorder: Recorder) -> Iterator[None]:
    """The trace knows which module is running; attention is seen as a whole."""
    paths = {module: path for path, module in model.named_modules()}
    below: list[Below] = []

    def enter(module: torch.nn.Module, args: object) -> None:
        del args
        path = paths.get(module, f"{trace.modules[-1].path}.{type(module).__name__.lower()}".lstrip("."))
        if isinstance(module, torch.jit.ScriptModule):
            below.append(Below(trace, recorder.ghost).__enter__())  # its functions are called in C++
        trace.modules.append(
            Where(path, leaf={name for name, _ in module.named_children()} <= {"parametrizations"}, nodes=[])
        )

    def leave(module: torch.nn.Module, args: object, out: object) -> None:
        del args, out
        trace.leave()
        if isinstance(module, torch.jit.ScriptModule):
            below.pop().__exit__(None, None, None)

    with ExitStack() as stack:
        stack.callback(register_module_forward_pre_hook(enter).remove)
        stack.callback(register_module_forward_hook(leave, always_call=True).remove)
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        for module in model.modules():
            known = isinstance(module, torch.nn.MultiheadAttention)
            if known and type(module).forward is torch.nn.MultiheadAttention.forward and "forward" not in vars(module):
                module.forward = bound(_attention, trace, recorder, module)
                stack.callback(vars(module).pop, "forward", None)
        yield


def _attention(trace: Trace, recorder: Recorder, module: Any, *args: Any, **kwargs: Any) -> Any:
    """An attention module's call: one layer, where that says all; else what it consists of."""
    forward: Callable[..., Any] = bound(type(module).forward, module)
    words = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask", "average_attn_weights")
    said: Mapping[str, Any] = {**dict(zip(words, args, strict=False)), **kwargs}
    plain = all(said.get(word) is None for word in ("key_padding_mask", "attn_mask")) and module.bias_k is None
    if said.get("need_weights", True) or not plain or module.add_zero_attn or said["query"].dim() != 3:
        return forward(*args, **kwargs)
    held = {name: trace.params.get(id(param)) for name, param in module.named_parameters()}
    if None in held.values() or any(name in trace.owner for name in held.values() if name):
        return forward(*args, **kwargs)
    triple = [said[word] for word in words[:3]]
    recorder.silent += 1
    try:
        out, weights = forward(*args, **kwargs)
    finally:
        recorder.silent -= 1
    fields: dict[str, Any] = {"num_heads": module.num_heads}
    width = module.embed_dim
    fields |= {word: n for word, n in (("kdim", module.kdim), ("vdim", module.vdim)) if n != width}
    fields |= {} if module.in_proj_bias is not None else {"bias": False}
    fields |= {"batch_first": True} if module.batch_first else {}
    one = all(x is triple[0] for x in triple)
    inputs = triple[:1] if one else triple
    node = trace.add(
        "MultiheadAttention", fields, inputs, shape(out), "attention", {k: v for k, v in held.items() if v}
    )
    node.alone = True
    trace.gives(out, node)
    return out, weights
