"""Operators that only move elements, or leave them where they are."""

from __future__ import annotations

from math import prod

import numpy as np

from convcli.importer.fields import unless
from convcli.importer.graph import Shape
from convcli.importer.onnx.table import Op, on
from convcli.importer.onnx.trace import Refused, Value

SAME = ("Identity", "Cast", "CastLike", "BitCast", "DequantizeLinear", "OptionalGetElement", "Optional")
MODES = {"reflect": "Reflection", "edge": "Replication", "wrap": "Circular"}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
WEIGHTS = frozenset({*SAME, "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})


def passed(op: Op) -> Value | None:
    """A weight, cast or in another shape: still the same weight. None when this is something else."""
    if op.name not in WEIGHTS or not op.x.weight:
        return None
    shape = op.x.shape
    if op.name == "Transpose":
        shape = tuple(shape[at] for at in _order(op))
    elif op.name not in SAME:
        shape = _reshaped(op)
    return Value(shape, there=True, weight=op.x.weight, learned=op.x.learned)


@on(*SAME)
def _same(op: Op) -> Value:
    if op.name == "DequantizeLinear" and not op.x.there:
        return op.trace.add("Scale", {}, [op.x])
    return op.x


def _order(op: Op) -> list[int]:
    rank = len(op.x.shape)
    return list(op.attr("perm", range(rank)[::-1]))


@on("Transpose")
def _transpose(op: Op) -> Value:
    order = _order(op)
    return op.x if order == sorted(order) else op.trace.add("Permute", {"dims": order}, [op.x])


@on("Reshape", "Squeeze", "Unsqueeze", "Flatten")
def _reshape(op: Op) -> Value:
    """Flatten where it is that; else Reshape."""
    x, out = op.x, _reshaped(op)
    for start in range(len(x.shape)) if len(out) < len(x.shape) else ():
        end = start + len(x.shape) - len(out)
        if (*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]) == out:
            last = end if end < len(x.shape) - 1 else -1
            return op.trace.add("Flatten", unless(start_dim=(start, 1), end_dim=(last, -1)), [x])
    return op.trace.reshaped(x, out)


def _reshaped(op: Op) -> Shape:
    """The shape that Reshape, Flatten, Squeeze or Unsqueeze gives."""
    x = op.x.shape
    if op.name == "Flatten":
        axis = op.attr("axis", 1) + (len(x) if op.attr("axis", 1) < 0 else 0)
        return prod(x[:axis]), prod(x[axis:])
    if op.name == "Reshape":
        said = op.numbers("shape", 1) or ()
        sizes = [x[at] if n == 0 and not op.attr("allowzero", 0) and at < len(x) else n for at, n in enumerate(said)]
        known = prod(n for n in sizes if n != -1)
        return tuple(prod(x) // known if n == -1 and known else n for n in sizes)
    axes = op.numbers("axes", 1)
    if op.name == "Squeeze":
        gone = {at for at, n in enumerate(x) if n == 1} if axes is None else {at % len(x) for at in axes}
        return tuple(n for at, n in enumerate(x) if at not in gone)
    rank = len(x) + len(axes or ())
    new = {at % rank for at in axes or ()}
    rest = iter(x)
    return tuple(1 if at in new else next(rest) for at in range(rank))


@on("Expand", "Tile")
def _repeated(op: Op) -> Value:
    said, x = op.input(1).integers, op.x.shape
    out = (
        tuple(np.broadcast_shapes(x, said))
        if op.name == "Expand"
        else tuple(a * b for a, b in zip(x, said, strict=True))
    )
    return op.x if out == x else op.trace.rearranged(op.x, out)


@on("Slice")
def _slice(op: Op) -> Value:
    x = op.x.shape
    starts, ends = op.numbers("starts", 1), op.numbers("ends", 2)
    if starts is None or ends is None:
        raise Refused("a slice without an end")
    axes = op.numbers("axes", 3) or tuple(range(len(starts)))
    steps = op.numbers("steps", 4) or (1,) * len(starts)
    out = list(x)
    for at, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # a reversed slice ends before the first cell by a number below -size, which Python would count from the end
        stop = None if step < 0 and end < -x[at] else end
        out[at] = len(range(x[at])[start:stop:step])
    whole = tuple(out) == x and all(step == 1 for step in steps)
    return op.x if whole else op.trace.rearranged(op.x, tuple(out))


@on("Split")
def _split(op: Op) -> list[Value]:
    x, axis = op.x.shape, op.attr("axis", 0) % max(1, len(op.x.shape))
    sizes = op.numbers("split", 1)
    if sizes is None:
        count = op.attr("num_outputs", len(op.proto.output))
        piece = -(-x[axis] // count)
        sizes = tuple(min(piece, x[axis] - at * piece) for at in range(count))
    return [op.trace.rearranged(op.x, (*x[:axis], size, *x[axis + 1 :])) for size in sizes]


@on("Gather")
def _gather(op: Op) -> Value:
    x, index = op.x, op.input(1)
    axis = op.attr("axis", 0) % max(1, len(x.shape))
    if x.weight and x.learned and len(x.shape) == 2 and axis == 0 and not index.there:
        fields = {"num_embeddings": x.shape[0], "embedding_dim": x.shape[1]}
        found = op.trace.layer("Embedding", fields, [index], {"weight": x})
        if found:
            return found
    out = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return op.trace.rearranged(x, out, *([] if index.there else [index]))


@on("GatherElements", "GatherND", "ScatterND", "ScatterElements", "Scatter", "Where", "SpaceToDepth", "Trilu", "OneHot",
    "ReverseSequence", "Compress", "CenterCropPad", "Col2Im", "EyeLike", "TensorScatter")  # fmt: skip
def _moved(op: Op) -> Value:
    inputs = [x for x in op.inputs if x is not None and not (x.there and not x.learned)]
    return op.trace.add("Rearrange", {"shape": op.shape}, inputs)


@on("DepthToSpace")
def _shuffled(op: Op) -> Value:
    """CRD is PixelShuffle's order of the channels, DCR another."""
    if op.attr("mode", "DCR") == "CRD":
        return op.trace.add("PixelShuffle", {"upscale_factor": op.attr("blocksize")}, [op.x])
    return op.trace.rearranged(op.x, op.shape)


@on("Concat")
def _concat(op: Op) -> Value:
    parts = [x for x in op.inputs if x is not None and 0 not in x.shape]
    axis = op.attr("axis", 1)
    return parts[0] if len(parts) == 1 else op.trace.add("Concat", {} if axis == 1 else {"dim": axis}, parts)


@on("Pad")
def _pad(op: Op) -> Value:
    x, said, mode = op.x, op.numbers("pads", 1), op.attr("mode", "constant")
    axes = op.numbers("axes", 3) or range(len(x.shape))
    pairs = [(0, 0)] * len(x.shape)
    for at, before, after in zip(axes, said or (), (said or ())[len(axes) :], strict=False):
        pairs[at] = (before, after)
    while pairs and pairs[0] == (0, 0):
        pairs.pop(0)
    numbers = [n for pair in reversed(pairs) for n in pair]
    if not numbers:
        return x
    if mode in MODES and len(pairs) <= len(x.shape) - 1 and len(pairs) <= 3:
        return op.trace.add(f"{MODES[mode]}Pad{len(pairs)}d", {"padding": numbers}, [x])
    return op.trace.add("Pad", {"padding": numbers}, [x])


@on("Resize", "Upsample")
def _resize(op: Op) -> Value:
    x, out = op.x, op.shape
    rank = len(x.shape) - 2
    mode = op.attr("mode", "nearest")
    if out == x.shape:
        return x
    if rank not in LINEAR or out[:2] != x.shape[:2]:
        return op.trace.rearranged(x, out)
    word = LINEAR[rank] if mode == "linear" else "bicubic" if mode == "cubic" else "nearest"
    factors = {b // a if not b % a else None for a, b in zip(x.shape[2:], out[2:], strict=True)}
    factor = factors.pop() if len(factors) == 1 else None
    told = {"scale_factor": factor} if factor else {"size": out[2] if len(set(out[2:])) == 1 else out[2:]}
    return op.trace.add("Upsample", {**told, **unless(mode=(word, "nearest"))}, [x])


@on("ConstantOfShape", "Range", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "HannWindow",
    "HammingWindow", "BlackmanWindow")  # fmt: skip
def _made(op: Op) -> Value:
    """A tensor that is there, too large to be written down."""
    return Value(op.shape, there=True)
