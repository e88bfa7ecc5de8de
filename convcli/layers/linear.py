"""Products of matrices: linear layers, products of two inputs, attention, embeddings."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Self

import msgspec

from convcli.errors import SpecError
from convcli.layers.base import Counts, Shape
from convcli.layers.companion import Blind, Way, must_be
from convcli.reach import SAME, All


class Linear(Blind, frozen=True, kw_only=True):
    """y = x @ weight^T + bias, over the last axis of x (*, in_features)."""

    kind: ClassVar[str] = "linear"
    out_features: int
    in_features: int | None = None
    bias: bool = True

    def settled(self, x: Shape) -> Self:
        """in_features as a number."""
        if not x:
            raise SpecError("the input has no axis", field="input", allowed="at least one: the features")
        return msgspec.structs.replace(self, in_features=must_be("in_features", self.in_features, x[-1], "features"))

    def output(self, x: Shape) -> Shape:
        """(*, out_features)"""
        return (*x[:-1], self.out_features)

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight (out_features, in_features) and bias (out_features)."""
        weight: dict[str, Shape] = {"weight": (self.out_features, x[-1])}
        return {**weight, "bias": (self.out_features,)} if self.bias else weight

    def way(self, which: int, place: int) -> Way | None:
        """The last axis becomes features, each of which sees all of it."""
        (x,) = self.inputs
        return Way(All(x[-1]), None) if place == len(x) - 1 else Way(SAME, place)

    def counts(self, x: Shape, batch: int) -> Counts:
        """Every output is a sum over in_features."""
        outputs = batch * prod(self.output(x))
        macs = outputs * x[-1]
        return Counts(macs, macs, outputs if self.bias else 0, outputs if x[-1] else 0)


class MatMul(Blind, frozen=True, kw_only=True):
    """y = a @ b for a (*, M, K) and b (*, K, N), the axes before them broadcast; b transposed: (*, N, K)."""

    kind: ClassVar[str] = "matmul"
    arity: ClassVar[tuple[int, int]] = (2, 2)
    transpose_b: bool = False

    def output(self, x: Shape) -> Shape:
        """(*, M, N)"""
        a, b = self.inputs
        if len(a) < 2 or len(b) < 2:
            raise SpecError(
                f"{list(a)} @ {list(b)} is no product of matrices", field="from", allowed="two axes or more"
            )
        inner, columns = (b[-1], b[-2]) if self.transpose_b else (b[-2], b[-1])
        if a[-1] != inner:
            raise SpecError(f"{list(a)} @ {list(b)}: {a[-1]} columns meet {inner} rows", field="from")
        return (*broadcast((a[:-2], b[:-2])), a[-2], columns)

    def counts(self, x: Shape, batch: int) -> Counts:
        """Every output is a sum over K."""
        outputs = batch * prod(self.output(x))
        macs = outputs * x[-1]
        return Counts(macs, macs, 0, outputs if x[-1] else 0)


class MultiheadAttention(Blind, frozen=True, kw_only=True):
    """softmax(Q K^T / sqrt(head)) V with Q, K, V = x W + b, and a projection after it; x (L, N, embed_dim).

    One input is query, key and value; three are those in turn. batch_first: (N, L, embed_dim).
    """

    kind: ClassVar[str] = "attention"
    arity: ClassVar[tuple[int, int]] = (1, 3)
    embed_dim: int | None = None
    num_heads: int = 1
    bias: bool = True
    batch_first: bool = False
    kdim: int | None = None
    vdim: int | None = None

    def settled(self, x: Shape) -> Self:
        """embed_dim as a number that the heads divide."""
        if len(x) not in {2, 3} or len(self.inputs) == 2:
            raise SpecError(
                f"attention does not take {list(x)}", field="input", allowed="one tensor (N, L, E), or three"
            )
        width = must_be("embed_dim", self.embed_dim, x[-1], "features")
        if width % self.num_heads:
            raise SpecError(
                f"embed_dim={width} is not a multiple of num_heads={self.num_heads}",
                field="num_heads",
                allowed="a divisor of embed_dim",
            )
        return msgspec.structs.replace(self, embed_dim=width)

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """As PyTorch's module has them: one matrix for all three when they are of one width."""
        width = x[-1]
        key, value = self.kdim or width, self.vdim or width
        if key == value == width:
            found: dict[str, Shape] = {"in_proj_weight": (3 * width, width)}
        else:
            found = {"q_proj_weight": (width, width), "k_proj_weight": (width, key), "v_proj_weight": (width, value)}
        if self.bias:
            found["in_proj_bias"] = (3 * width,)
        found["out_proj.weight"] = (width, width)
        return {**found, "out_proj.bias": (width,)} if self.bias else found

    def way(self, which: int, place: int) -> Way | None:
        """Every place of the sequence attends to all of them, whatever the batch."""
        shape = self.inputs[which]
        along = (1 if self.batch_first else 0) if len(shape) == 3 else 0
        attended = place == along and (which > 0 or len(self.inputs) == 1)
        everywhere = attended or place == len(shape) - 1
        return Way(All(shape[place]), None) if everywhere else Way(SAME, place)

    def counts(self, x: Shape, batch: int) -> Counts:
        """Three projections, Q K^T, the mean of V, the projection of the result."""
        query, key, value = self.inputs if len(self.inputs) == 3 else (x, x, x)
        along = (1 if self.batch_first else 0) if len(x) == 3 else 0
        images, width = prod(x) // max(1, x[along] * x[-1]), x[-1]
        q, k = query[along], key[along]
        projected = images * width * (q * width + k * key[-1] + k * value[-1] + q * width)
        macs = batch * (projected + 2 * images * q * k * width)
        sums = batch * images * (width * (3 * q + 2 * k) + self.num_heads * q * k)
        biases = batch * images * width * (2 * q + 2 * k) if self.bias else 0
        return Counts(macs, macs, biases, sums, elementwise_flops=3 * batch * images * self.num_heads * q * k)


class Embedding(Blind, frozen=True, kw_only=True):
    """y = weight[x]: a row of the table for every index."""

    kind: ClassVar[str] = "embedding"
    num_embeddings: int
    embedding_dim: int

    def output(self, x: Shape) -> Shape:
        """(*, embedding_dim)"""
        return (*x, self.embedding_dim)

    def tensors(self, x: Shape) -> dict[str, Shape]:
        """weight (num_embeddings, embedding_dim)."""
        return {"weight": (self.num_embeddings, self.embedding_dim)}


def broadcast(shapes: tuple[Shape, ...]) -> Shape:
    """The shape that all of them fill, as PyTorch and numpy broadcast: an axis of 1 stretches."""
    rank = max(map(len, shapes), default=0)
    found = []
    for sizes in zip(*[(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes], strict=True):
        different = set(sizes) - {1}
        if len(different) > 1:
            raise SpecError(
                f"the shapes {', '.join(str(list(shape)) for shape in shapes)} do not fit together",
                field="from",
                allowed="shapes that are equal, or 1, axis by axis",
            )
        found.append(different.pop() if different else 1)
    return tuple(found)
