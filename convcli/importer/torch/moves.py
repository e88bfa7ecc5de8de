"""Functions that only move elements, or leave them where they are."""

from __future__ import annotations

from typing import Any

import torch

from convcli.importer.graph import Node
from convcli.importer.torch.ghost import tensors
from convcli.importer.torch.table import on
from convcli.importer.torch.trace import Call, Trace, shape

SAME = (
    "contiguous", "clone", "detach", "to", "type", "float", "double", "half", "bfloat16", "long", "int", "bool",
    "type_as", "data", "alias", "requires_grad_", "lift_fresh", "_to_copy", "cpu", "cuda", "positive", "identity",
    "resolve_conj", "real", "view_as_real", "copy", "deepcopy", "expand_as", "_conj", "detach_copy", "short", "byte",
)  # fmt: skip
RESHAPED = ("view", "reshape", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as", "_unsafe_view",
            "atleast_1d", "flatten", "ravel")  # fmt: skip
PERMUTED = ("permute", "transpose", "t", "swapaxes", "swapdims", "movedim", "moveaxis", "T", "mT", "H", "mH", "adjoint")
MOVED = (
    "getitem", "select", "narrow", "slice", "index_select", "index", "gather", "take", "roll", "flip", "rot90",
    "repeat", "tile", "expand", "broadcast_to", "repeat_interleave", "unfold", "im2col", "pixel_unshuffle",
    "channel_shuffle", "tril", "triu", "masked_fill", "where", "stack", "as_strided", "diagonal", "diag", "index_put",
    "index_copy",
    "scatter", "select_scatter", "slice_scatter", "constant_pad_nd", "one_hot", "fliplr", "flipud", "take_along_dim",
    "hstack", "vstack", "dstack", "column_stack", "native_channel_shuffle",
    "index_fill", "masked_scatter", "fill", "zero", "copysign", "unsafe_index", "_unsafe_index", "view_dtype",
    "block_diag", "cartesian_prod", "expand_copy",
)  # fmt: skip
PIECES = ("chunk", "split", "unbind", "tensor_split", "split_with_sizes", "unsafe_chunk", "unsafe_split", "hsplit",
          "vsplit", "meshgrid", "broadcast_tensors", "nonzero_pieces")  # fmt: skip


@on(*SAME)
def _same(trace: Trace, call: Call) -> Node | None:
    if shape(call.out) != shape(call.x):
        return moved(trace, call, call.out)
    if call.name == "copy":  # x.copy_(y): what y holds
        trace.same(call.out, call.get(1, "src"))
    else:
        trace.same(call.out, call.x)
    return None


@on(*RESHAPED)
def _reshaped(trace: Trace, call: Call) -> Node | None:
    if shape(call.out) == shape(call.x):
        trace.same(call.out, call.x)
        return None
    return _reshape(trace, call)


def _reshape(trace: Trace, call: Call) -> Node:
    """Flatten where it is that; else Reshape, with the -1 that was said."""
    x, out = shape(call.x), shape(call.out)
    for start in range(len(x)):
        end = start + len(x) - len(out)
        if len(out) < len(x) and (*x[:start], _product(x[start : end + 1]), *x[end + 1 :]) == out:
            last = end if end < len(x) - 1 else -1
            fields = {**({"start_dim": start} if start != 1 else {}), **({"end_dim": last} if last != -1 else {})}
            return trace.add("Flatten", fields, [call.x], out, call.name)
    said = call.args[1] if len(call.args) == 2 and isinstance(call.args[1], tuple | list) else call.args[1:]
    whole = call.name in {"view", "reshape"} and all(isinstance(n, int) for n in said) and len(said) == len(out)
    return trace.add("Reshape", {"shape": tuple(said) if whole else out}, [call.x], out, call.name)


def _product(sizes: tuple[int, ...]) -> int:
    count = 1
    for size in sizes:
        count *= size
    return count


@on(*PERMUTED)
def _permuted(trace: Trace, call: Call) -> Node | None:
    x = call.x
    order = list(range(x.dim()))
    if call.name == "permute":
        said = call.args[1:] if not call.kwargs else [call.kwargs["dims"]]
        said = said[0] if len(said) == 1 and isinstance(said[0], tuple | list) else said
        order = [int(dim) % x.dim() for dim in said]
    elif call.name in {"transpose", "swapaxes", "swapdims"}:
        a = call.get(1, "dim0", call.kwargs.get("axis0")) % x.dim()
        b = call.get(2, "dim1", call.kwargs.get("axis1")) % x.dim()
        order[a], order[b] = order[b], order[a]
    elif call.name in {"mT", "mH", "adjoint"}:
        order[-2:] = order[:-3:-1]
    elif call.name in {"movedim", "moveaxis"}:
        return moved(trace, call, call.out)
    else:
        order = order[::-1]
    if order == list(range(x.dim())):
        trace.same(call.out, x)
        return None
    return trace.add("Permute", {"dims": order}, [x], shape(call.out), call.name)


@on(*MOVED)
def _moved(trace: Trace, call: Call) -> Node | None:
    if call.name in {"expand", "broadcast_to", "repeat"} and shape(call.out) == shape(call.x):
        trace.same(call.out, call.x)
        return None
    return moved(trace, call, call.out)


def moved(trace: Trace, call: Call, out: torch.Tensor) -> Node:
    """The inputs' elements, or some of them, in the shape of `out`."""
    inputs = [x for x in tensors((call.args, call.kwargs)) if not trace.constant(x)]
    return trace.add("Rearrange", {"shape": shape(out)}, inputs, shape(out), call.name)


@on(*PIECES)
def _pieces(trace: Trace, call: Call) -> None:
    for piece in call.out:
        trace.gives(piece, moved(trace, call, piece))


@on("cat", "concat", "concatenate")
def _cat(trace: Trace, call: Call) -> Node | None:
    parts = [x for x in call.get(0, "tensors") if 0 not in shape(x)]
    if len(parts) == 1:
        trace.same(call.out, parts[0])
        return None
    dim = call.get(1, "dim", call.kwargs.get("axis", 0))
    return trace.add("Concat", {} if dim == 1 else {"dim": dim}, parts, shape(call.out), "cat")


@on("pad", "reflection_pad2d", "replication_pad2d")
def _pad(trace: Trace, call: Call) -> Node | None:
    said, mode = call.get(1, "pad"), call.get(2, "mode", "constant")
    numbers = [int(n) for n in said]
    if not any(numbers):
        trace.same(call.out, call.x)
        return None
    words = {"reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}
    type_ = f"{words[mode]}Pad{len(numbers) // 2}d" if mode in words else "Pad"
    return trace.add(type_, {"padding": numbers}, [call.x], shape(call.out), "pad")


@on("setitem")
def _setitem(trace: Trace, call: Call) -> None:
    """x[index] = y: x is what it was, with y in some places."""
    x = call.x
    put = [y for y in tensors(call.args[2:]) if not trace.constant(y)]
    base: list[Any] = [] if trace.constant(x) else [x]
    node = trace.add("Rearrange", {"shape": shape(x)}, [*base, *put], shape(x), "setitem")
    trace.gives(x, node)


@on("pixel_shuffle")
def _shuffle(trace: Trace, call: Call) -> Node:
    factor = {"upscale_factor": int(call.get(1, "upscale_factor"))}
    return trace.add("PixelShuffle", factor, [call.x], shape(call.out), call.name)
