"""Functions whose result is as long as the data say: where there are no data, everything is kept, and that is noted."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch

from convcli.importer.graph import Node
from convcli.importer.torch.table import on
from convcli.importer.torch.trace import Call, Trace, shape


def _kept(trace: Trace, what: str, x: torch.Tensor, many: int) -> torch.Tensor:
    """The indices of all `many`."""
    where = trace.modules[-1].path or "the model"
    note = f"{where}: how many {what} keeps depends on data; all {many} are kept here"
    if note not in trace.graph.notes:
        trace.graph.notes.append(note)
    found = torch.empty((many,), dtype=torch.int64, device="meta")
    trace.gives(found, trace.add("Unknown", {"operation": what, "shape": (many,)}, [x], (many,), what))
    return found


def _nms(trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    boxes = args[0] if args else kwargs["boxes"]
    return _kept(trace, "nms", boxes, int(boxes.shape[0]))


def _nonzero(trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0] if args else kwargs["input"]
    found = [_kept(trace, "nonzero", x, prod(shape(x))) for _ in shape(x)]
    if kwargs.get("as_tuple"):
        return tuple(found)
    out = torch.stack(found, dim=1)
    node = trace.add("Rearrange", {"shape": shape(out)}, found, shape(out))
    trace.gives(out, node)
    return out


def _where(trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) + len(kwargs) > 1:
        return None  # a choice between two tensors
    return _nonzero(trace, args, {**kwargs, "as_tuple": True})


def _unique(trace: Trace, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if any(kwargs.get(word) for word in ("return_inverse", "return_counts", "dim")):
        return None
    x = args[0]
    kept = _kept(trace, "unique", x, prod(shape(x)))
    return kept.to(x.dtype) if x.dtype != kept.dtype else kept


ASSUMED: dict[str, Callable[[Trace, tuple[Any, ...], dict[str, Any]], Any]] = {
    "nms": _nms,
    "nonzero": _nonzero,
    "where": _where,
    "unique": _unique,
    "_unique2": _unique,
}


def masked(trace: Trace, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of x[index]: a mask without values lets everything through."""
    index = args[1]
    parts = index if isinstance(index, tuple) else (index,)
    if not any(isinstance(part, torch.Tensor) and part.dtype in {torch.bool, torch.uint8} for part in parts):
        return args
    found: list[Any] = []
    for part in parts:
        if isinstance(part, torch.Tensor) and part.dtype in {torch.bool, torch.uint8}:
            found += _all(trace, part)
        else:
            found.append(part)
    return (args[0], tuple(found), *args[2:])


def _all(trace: Trace, mask: torch.Tensor) -> list[torch.Tensor]:
    if mask.device.type != "meta":
        return list(mask.nonzero(as_tuple=True))
    return [_kept(trace, "a mask", mask, prod(shape(mask))) for _ in shape(mask)]


@on("argsort", "searchsorted", "bucketize")
def _ordered(trace: Trace, call: Call) -> Node:
    """Sorting has no agreed cost."""
    from convcli.importer.torch.weights import unknown

    return unknown(trace, call)
