"""Products of matrices; the scale of their errors is the product of the absolute values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from convcli.backends.companions.functions import shares
from convcli.backends.companions.values import FUNCTION, Values
from convcli.layers.linear import Embedding, Linear, MatMul, MultiheadAttention

if TYPE_CHECKING:
    from convcli.backends import Array, Arrays


def linear(_: Linear, arrays: Arrays) -> Values:
    """x @ weight^T + bias"""
    x, w, b = arrays["x"], arrays["weight"], arrays.get("bias", np.zeros(()))
    return Values(x @ w.T + b, np.abs(x) @ np.abs(w).T + np.abs(b), x.shape[-1] + 1)


def matmul(layer: MatMul, arrays: Arrays) -> Values:
    """a @ b, or a @ b^T"""
    a, b = arrays["x"], arrays["x2"]
    b = np.swapaxes(b, -1, -2) if layer.transpose_b else b
    return Values(a @ b, np.abs(a) @ np.abs(b), a.shape[-1])


def attention(layer: MultiheadAttention, arrays: Arrays) -> Values:
    """An error of the logits is one of the softmax: each of its shares times that much."""
    given = [arrays[name] for name in ("x", "x2", "x3") if name in arrays] or []
    batched = given[0].ndim == 3
    given = [x if not batched or layer.batch_first else x.swapaxes(0, 1) for x in given * (3 if len(given) == 1 else 1)]
    width, heads = given[0].shape[-1], layer.num_heads
    apart = [arrays[name] for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight") if name in arrays]
    weights = apart or np.split(arrays["in_proj_weight"], 3)
    biases = np.split(arrays.get("in_proj_bias", np.zeros(3 * width)), 3)

    def headed(x: Array) -> Array:
        """(..., L, E) -> (..., heads, L, E/heads)"""
        return x.reshape(*x.shape[:-1], heads, -1).swapaxes(-3, -2)

    def joined(x: Array) -> Array:
        return x.swapaxes(-3, -2).reshape(*x.shape[:-3], x.shape[-2], width)

    q, k, v = (headed(x @ w.T + b) for x, w, b in zip(given, weights, biases, strict=True))
    sizes = (headed(np.abs(x) @ np.abs(w).T + np.abs(b)) for x, w, b in zip(given, weights, biases, strict=True))
    large_q, large_k, large_v = sizes
    root = math.sqrt(width // heads)
    each = shares(q @ k.swapaxes(-1, -2) / root, -1)
    spread = 1 + 2 * (large_q @ large_k.swapaxes(-1, -2) / root).max(axis=-1, keepdims=True)
    w, b = arrays["out_proj.weight"], arrays.get("out_proj.bias", np.zeros(width))
    y = joined(each @ v) @ w.T + b
    scale = joined(spread * (each @ large_v)) @ np.abs(w).T + np.abs(b)
    if batched and not layer.batch_first:
        y, scale = y.swapaxes(0, 1), scale.swapaxes(0, 1)
    longest = max(x.shape[-1] for x in given) + width // heads + given[1].shape[-2] + width
    return Values(y, scale, longest + FUNCTION)


def embedding(_: Embedding, arrays: Arrays) -> Values:
    """weight[x]"""
    return Values(arrays["weight"][arrays["x"].astype(np.int64)])
