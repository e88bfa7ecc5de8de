"""Products of matrices: linear layers where one of them is a weight, and what comes down to products."""

from __future__ import annotations

from math import prod

from convcli.importer.onnx.table import Op, on
from convcli.importer.onnx.trace import Refused, Value
from convcli.importer.onnx.weights import owned


@on("MatMul", "MatMulInteger", "QLinearMatMul")
def _matmul(op: Op) -> Value | list[Value]:
    """x @ weight is Linear, with the bias that is added behind it; else a product, vectors as matrices."""
    a, b = op.x, op.input(3 if op.name == "QLinearMatMul" else 1)
    if b.weight and b.learned and len(b.shape) == 2 and not (a.there and not a.learned):
        fields = {"out_features": b.shape[1]}
        bias = op.bias(b.shape[1])
        if bias:
            found = op.trace.layer("Linear", fields, [a], {"weight": b, "bias": bias[0]})
            if found:
                op.trace.values[bias[1]] = found
                return found
        found = op.trace.layer("Linear", {**fields, "bias": False}, [a], {"weight": b})
        if found:
            return found
    return product(op, a, b)


def product(op: Op, a: Value, b: Value, *, transpose_b: bool = False) -> Value:
    """a @ b; vectors are matrices of one row, or of one column."""
    row, column = len(a.shape) == 1, len(b.shape) == 1
    a = op.trace.reshaped(a, (1, *a.shape)) if row else a
    b = op.trace.reshaped(b, (*b.shape, 1)) if column else b
    y = op.trace.add("MatMul", {"transpose_b": True} if transpose_b else {}, [a, b])
    out = y.shape[: len(y.shape) - column]
    return op.trace.reshaped(y, (*out[: len(y.shape) - 2], *out[len(y.shape) - 1 :]) if row else out)


@on("Gemm")
def _gemm(op: Op) -> Value:
    """alpha * a @ b + beta * c"""
    a, b, c = op.x, op.input(1), op.get(2)
    if op.attr("transA", 0):
        a = op.trace.add("Permute", {"dims": [1, 0]}, [a])
    turned = bool(op.attr("transB", 0))
    plain = op.attr("alpha", 1.0) == 1.0 and op.attr("beta", 1.0) == 1.0
    columns = b.shape[0 if turned else 1]
    if b.weight and plain and (c is None or (c.weight and c.shape == (columns,))):
        found = owned(op, "Linear", {"out_features": columns}, [a], b, c)
        if found:
            return found
    y = product(op, a, b, transpose_b=turned)
    y = y if op.attr("alpha", 1.0) == 1.0 else op.trace.add("Scale", {}, [y])
    if c is not None and op.attr("beta", 1.0) != 1.0:
        c = op.trace.add("Scale", {}, [c])
    return y if c is None else op.trace.add("Add", {}, [y, c])


@on("Einsum")
def _einsum(op: Op) -> Value:
    """Two operands at a time, from the left, each a product of matrices."""
    said = str(op.attr("equation")).replace(" ", "")
    left, arrow, result = said.partition("->")
    terms = left.split(",")
    if "..." in said or not arrow or any(len(set(term)) < len(term) for term in terms):
        raise Refused(f"einsum {said}")
    x, letters = op.x, terms[0]
    for place, term in enumerate(terms[1:], 1):
        x, letters = _pair(op, x, letters, op.input(place), term, set(result).union(*terms[place + 1 :]))
    gone = [at for at, c in enumerate(letters) if c not in result]
    if gone:
        x = op.trace.add("Sum", {"dims": gone}, [x])
        letters = "".join(c for c in letters if c in result)
    order = [letters.index(c) for c in result]
    return x if order == sorted(order) else op.trace.add("Permute", {"dims": order}, [x])


def _pair(op: Op, a: Value, la: str, b: Value, lb: str, needed: set[str]) -> tuple[Value, str]:
    """The product of two operands, and its letters: batch, rows of a, columns of b."""
    size = dict(zip(la + lb, a.shape + b.shape, strict=True))
    rows, columns = [c for c in la if c not in lb], [c for c in lb if c not in la]
    batch, inner = [c for c in la if c in lb and c in needed], [c for c in la if c in lb and c not in needed]
    n, m, k, o = (prod(size[c] for c in group) for group in (batch, rows, inner, columns))
    x = op.trace.add("MatMul", {}, [_as(op, a, (n, m, k)), _as(op, b, (n, k, o))])
    letters = "".join([*batch, *rows, *columns])
    return op.trace.reshaped(x, tuple(size[c] for c in letters)), letters


def _as(op: Op, x: Value, out: tuple[int, ...]) -> Value:
    return x if x.shape == out else op.trace.rearranged(x, out)


@on("Attention")
def _attention(op: Op) -> Value:
    """softmax(q k^T * scale + mask) v, of tensors (N, heads, length, width)."""
    q, k, v, mask = op.x, op.input(1), op.input(2), op.get(3)
    out = op.shape
    if op.get(4) or op.get(5):
        raise Refused("attention with keys from before")
    if len(q.shape) == 3:
        heads = op.attr("q_num_heads"), op.attr("kv_num_heads"), op.attr("kv_num_heads")
        q, k, v = (
            op.trace.rearranged(x, (x.shape[0], h, x.shape[1], x.shape[2] // h))
            for x, h in zip((q, k, v), heads, strict=True)
        )
    if k.shape[1] != q.shape[1]:  # several heads share a key and a value
        k, v = (op.trace.rearranged(x, (x.shape[0], q.shape[1], *x.shape[2:])) for x in (k, v))
    y = op.trace.add("Scale", {}, [product(op, q, k, transpose_b=True)])
    if mask is not None:
        y = op.trace.add("Add", {}, [y, mask])
    y = product(op, op.trace.add("Softmax", {"dim": -1}, [y]), v)
    return y if y.shape == out else op.trace.rearranged(y, out)
