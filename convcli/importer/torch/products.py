"""Products of matrices, and what comes down to them: einsum, attention, convolutions whose weights are worked out."""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import torch

from convcli.importer.graph import Node, Shape
from convcli.importer.torch.table import on
from convcli.importer.torch.trace import Call, Trace, elements, shape

Operand: TypeAlias = "torch.Tensor | Node"


def sizes_of(x: Operand) -> Shape:
    """The shape of a tensor, or of what a node gives."""
    return x.shape if isinstance(x, Node) else shape(x)


def reshaped(trace: Trace, x: Operand, out: Shape, type_: str = "Reshape") -> Operand:
    """x in another shape; itself when it has that one."""
    return x if sizes_of(x) == out else trace.add(type_, {"shape": out}, [x], out)


def matmul(trace: Trace, a: Operand, b: Operand, out: Shape, *, transpose_b: bool = False) -> Node:
    """a @ b; vectors are matrices of one row, or of one column."""
    rows, columns = sizes_of(a), sizes_of(b)
    a = reshaped(trace, a, (1, *rows)) if len(rows) == 1 else a
    b = reshaped(trace, b, (1, *columns) if transpose_b else (*columns, 1)) if len(columns) == 1 else b
    inner = -2 if transpose_b else -1
    made = (*_broadcast(sizes_of(a)[:-2], sizes_of(b)[:-2]), sizes_of(a)[-2], sizes_of(b)[inner])
    node = trace.add("MatMul", {"transpose_b": True} if transpose_b else {}, [a, b], made)
    return node if made == out else trace.add("Reshape", {"shape": out}, [node], out)


def _broadcast(a: Shape, b: Shape) -> Shape:
    return tuple(torch.broadcast_shapes(a, b))


@on("matmul", "bmm", "mm", "mv", "dot", "vdot", "inner", "__matmul__", "rmatmul")
def _matmul(trace: Trace, call: Call) -> Node:
    a, b = call.args[:2] if len(call.args) > 1 else (call.x, [*call.kwargs.values()][-1])
    if call.name == "rmatmul":
        a, b = b, a
    return matmul(trace, a, b, shape(call.out))


@on("addmm", "addmv", "addbmm", "baddbmm")
def _addmm(trace: Trace, call: Call) -> Node:
    added, a, b = (call.get(place, word) for place, word in enumerate(("input", "batch1", "batch2")))
    if a is None:
        a, b = call.kwargs["mat1"], call.kwargs["mat2"]
    node = matmul(trace, a, b, (int(a.shape[0]), *shape(call.out)) if call.name == "addbmm" else shape(call.out))
    if call.name == "addbmm":
        node = trace.add("Sum", {"dims": 0}, [node], shape(call.out))
    return node if call.kwargs.get("beta", 1) == 0 else trace.add("Add", {}, [node, added], shape(call.out))


@on("outer", "ger")
def _outer(trace: Trace, call: Call) -> Node:
    a, b = call.args[:2]
    column = reshaped(trace, a, (elements(a), 1))
    return trace.add("Multiply", {}, [column, b], shape(call.out))


@on("scaled_dot_product_attention")
def _attention(trace: Trace, call: Call) -> Node:
    """softmax(q k^T * scale + mask) v"""
    q, k, v = (call.get(place, word) for place, word in enumerate(("query", "key", "value")))
    mask = call.get(3, "attn_mask")
    heads = (int(q.shape[-3]) // int(k.shape[-3])) if q.dim() > 2 and call.kwargs.get("enable_gqa") else 1
    if heads > 1:
        k, v = (
            trace.add("Rearrange", {"shape": out}, [x], out)
            for x in (k, v)
            for out in [(*shape(x)[:-3], heads * int(x.shape[-3]), *shape(x)[-2:])]
        )
    return attended(trace, q, k, v, mask, shape(call.out))


@on(
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_attention_math",
    "_scaled_dot_product_fused_attention_overrideable",
)
def _aten_attention(trace: Trace, call: Call) -> Node:
    q, k, v = call.args[:3]
    return attended(trace, q, k, v, call.kwargs.get("attn_mask"), shape(call.out[0]))


def attended(trace: Trace, q: Operand, k: Operand, v: Operand, mask: Any, out: Shape) -> Node:
    """The two products of attention, the scale and the softmax between them."""
    many = _broadcast(sizes_of(q)[:-2], sizes_of(k)[:-2])
    weights = (*many, sizes_of(q)[-2], sizes_of(k)[-2])
    node = matmul(trace, q, k, weights, transpose_b=True)
    node = trace.add("Scale", {}, [node], weights)
    if mask is not None:
        node = trace.add("Add", {}, [node, mask], weights)
    node = trace.add("Softmax", {"dim": -1}, [node], weights)
    return matmul(trace, node, v, out)


@on("einsum")
def _einsum(trace: Trace, call: Call) -> Node:
    """Two operands at a time, from the left, each a product of matrices."""
    said, *rest = call.args
    operands: list[Operand] = list(rest[0]) if len(rest) == 1 and isinstance(rest[0], tuple | list) else rest
    left, _, result = said.replace(" ", "").partition("->")
    terms = _spelled(left.split(","), [len(sizes_of(x)) for x in operands])
    letters = "".join(terms)
    if "->" not in said:
        result = "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c.islower() | c.isupper()))
    result = result.replace("...", _spelled(["..."], [max(_dots(left, operands))])[0] if "..." in result else "")
    out, x = terms[0], operands[0]
    for place, (term, y) in enumerate(zip(terms[1:], operands[1:], strict=True), 2):
        needed = set(result).union(*terms[place:])
        x, out = _pair(trace, x, out, y, term, needed)
    return _single(trace, x, out, result)


def _dots(left: str, operands: list[Operand]) -> list[int]:
    return [
        len(sizes_of(x)) - len(term.replace("...", ""))
        for term, x in zip(left.split(","), operands, strict=True)
        if "..." in term
    ] or [0]


def _spelled(terms: list[str], ranks: list[int]) -> list[str]:
    """The terms with letters in place of `...`: capitals of another alphabet, so that none is taken."""
    found = []
    for term, rank in zip(terms, ranks, strict=True):
        hidden = rank - len(term.replace("...", ""))
        found.append(term.replace("...", "".join(chr(0x3A9 - at) for at in range(hidden, 0, -1))))
    return found


def _single(trace: Trace, x: Operand, term: str, result: str) -> Node:
    """What is not in the result is summed over, the rest is put in order."""
    gone = [at for at, c in enumerate(term) if c not in result]
    if gone and len(set(term)) == len(term):
        left = tuple(n for at, n in enumerate(sizes_of(x)) if at not in gone)
        x = trace.add("Sum", {"dims": gone}, [x], left)
        term = "".join(c for c in term if c in result)
    if term == result and isinstance(x, Node):
        return x
    if sorted(term) == sorted(result):
        order = [term.index(c) for c in result]
        return trace.add("Permute", {"dims": order}, [x], tuple(sizes_of(x)[at] for at in order))
    out = tuple(sizes_of(x)[term.index(c)] for c in result)
    return trace.add("Rearrange", {"shape": out}, [x], out)


def _pair(trace: Trace, a: Operand, la: str, b: Operand, lb: str, needed: set[str]) -> tuple[Operand, str]:
    """The product of two operands, and its letters: batch, rows of a, columns of b."""
    size = dict(zip(lb, sizes_of(b), strict=True)) | dict(zip(la, sizes_of(a), strict=True))
    size |= {c: n for c, n in zip(lb, sizes_of(b), strict=True) if size[c] == 1}
    only_a, only_b = ([c for c in dict.fromkeys(one) if c not in other] for one, other in ((la, lb), (lb, la)))
    both = [c for c in dict.fromkeys(la) if c in lb]
    batch, inner = [c for c in both if c in needed], [c for c in both if c not in needed]
    counts = [prod(size[c] for c in group) for group in (batch, only_a, inner, only_b)]
    n, m, k, columns = counts
    left = _arranged(trace, a, (n, m, k))
    right = _arranged(trace, b, (n, k, columns))
    letters = "".join([*batch, *only_a, *only_b])
    out = tuple(size[c] for c in letters)
    product = trace.add("MatMul", {}, [left, right], (n, m, columns), "einsum")
    return reshaped(trace, product, out), letters


def _arranged(trace: Trace, x: Operand, out: Shape) -> Operand:
    """x's elements as a stack of matrices (a broadcast axis is repeated)."""
    return x if sizes_of(x) == out else trace.add("Rearrange", {"shape": out}, [x], out)


def product_conv(trace: Trace, call: Call, weight: Any, bias: Any, groups: int) -> Node:
    """A convolution as the product it is: x's windows (N, g, P, C/g*T) @ weight (g, C/g*T, O/g) -> (N, g, P, O/g)."""
    out = shape(call.out)
    batched = out if len(out) == weight.dim() else (1, *out)
    places, inner = prod(batched[2:]), prod(shape(weight)[1:])
    windows = trace.add("Rearrange", {"shape": (batched[0], groups, places, inner)}, [call.x],
                        (batched[0], groups, places, inner), "windows")  # fmt: skip
    each = int(weight.shape[0]) // groups
    turned = trace.add("Rearrange", {"shape": (groups, inner, each)}, [weight], (groups, inner, each), "kernels")
    product = trace.add("MatMul", {}, [windows, turned], (batched[0], groups, places, each), call.name)
    node = trace.add("Rearrange", {"shape": out}, [product], out)
    if bias is None:
        return node
    sizes = (elements(bias), *[1] * (weight.dim() - 2))
    return trace.add("Add", {}, [node, reshaped(trace, bias, sizes)], out)
