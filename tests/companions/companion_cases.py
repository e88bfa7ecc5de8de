"""Random layers between convolutions, legal and illegal: a type of torch.nn, its fields, and an input's shape."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from drawn import ints
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from convcli.spec.companions import ELEMENTWISE

nn: Any = pytest.importorskip("torch.nn")
Fields = dict[str, Any]
Shape = tuple[Any, ...]
DIMS = ints(-4, 4)
TOLD: dict[str, Fields] = {
    "Dropout": {"p": 0.3},
    "ELU": {"alpha": 0.7},
    "CELU": {"alpha": 1.3},
    "GELU": {"approximate": "tanh"},
    "RReLU": {"lower": 1 / 8, "upper": 1 / 3},
    "LeakyReLU": {"negative_slope": 0.2},
    "Hardtanh": {"min_val": -2.0, "max_val": 0.5},
    "Softplus": {"beta": 2.0, "threshold": 1.5},
    "Threshold": {"threshold": 0.25, "value": -3.0},
    "Softshrink": {"lambd": 0.75},
    "Hardshrink": {"lambd": 0.75},
}
FUNCTIONS = tuple(name for name in ELEMENTWISE if hasattr(nn, name))


class Case(NamedTuple):
    """A layer as a spec and as torch.nn say it, and the shape of what it is given."""

    type: str
    fields: Fields
    shape: Shape


def shapes(least: int, most: int, *, largest: int = 9) -> SearchStrategy[Shape]:
    """Shapes of so many axes, none of them empty."""
    return st.lists(ints(1, largest), min_size=least, max_size=most).map(tuple)


def per_axis(rank: int, least: int, most: int) -> SearchStrategy[Any]:
    """A number, or one per axis."""
    return st.one_of(ints(least, most), st.tuples(*[ints(least, most)] * rank))


@st.composite
def pools(draw: DrawFn) -> Case:
    """MaxPool and AvgPool: ceil_mode, padding up to more than half the kernel, an input with the batch or without."""
    rank = draw(ints(1, 3))
    kind = draw(st.sampled_from(["Max", "Avg"]))
    optional = {
        "stride": per_axis(rank, 1, 4),
        "padding": per_axis(rank, 0, 3),
        "ceil_mode": st.booleans(),
    }
    optional |= {"dilation": per_axis(rank, 1, 3)} if kind == "Max" else {"count_include_pad": st.booleans()}
    if kind == "Avg" and rank > 1:
        optional["divisor_override"] = ints(1, 5)
    fields = draw(st.fixed_dictionaries({"kernel_size": per_axis(rank, 1, 5)}, optional=optional))
    return Case(f"{kind}Pool{rank}d", fields, draw(shapes(rank + 1, rank + 2)))


@st.composite
def adaptive_pools(draw: DrawFn) -> Case:
    """AdaptiveAvgPool and AdaptiveMaxPool; None keeps an axis."""
    rank = draw(ints(1, 3))
    kind = draw(st.sampled_from(["Max", "Avg"]))
    size = ints(1, 12) if rank == 1 else st.one_of(ints(1, 12), st.tuples(*[st.one_of(st.none(), ints(1, 12))] * rank))
    return Case(f"Adaptive{kind}Pool{rank}d", {"output_size": draw(size)}, draw(shapes(rank + 1, rank + 2)))


@st.composite
def norms(draw: DrawFn) -> Case:
    """BatchNorm and InstanceNorm, with the right number of channels and with another one."""
    rank, family = draw(ints(1, 3)), draw(st.sampled_from(["BatchNorm", "InstanceNorm"]))
    shape = draw(shapes(max(2, rank), rank + 3, largest=5))
    optional = {"affine": st.booleans(), "eps": st.sampled_from([1e-3, 0.5]), "bias": st.booleans()}
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    batched = family == "BatchNorm" or len(shape) != rank + 1
    channels = shape[1 if batched else 0] + draw(st.sampled_from([0, 0, 0, 1]))
    return Case(f"{family}{rank}d", {"num_features": channels, **fields}, shape)


@st.composite
def group_norms(draw: DrawFn) -> Case:
    """GroupNorm, whose groups may not divide the channels."""
    groups = draw(ints(1, 4))
    channels = groups * draw(ints(1, 3)) + draw(st.sampled_from([0, 0, 0, 1]))
    space = draw(shapes(0, 3, largest=4))
    optional = {"affine": st.booleans(), "eps": st.sampled_from([1e-3, 0.5]), "bias": st.booleans()}
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    there = channels + draw(st.sampled_from([0, 0, 0, 1]))
    return Case(
        "GroupNorm", {"num_groups": groups, "num_channels": channels, **fields}, (draw(ints(1, 3)), there, *space)
    )


@st.composite
def layer_norms(draw: DrawFn) -> Case:
    """LayerNorm and RMSNorm over the last axes, or over what the input does not end with."""
    shape = draw(shapes(1, 4, largest=5))
    last = draw(ints(1, len(shape)))
    ends = draw(st.sampled_from([shape[-last:], shape[-last:], (*shape[-last:], 2), shape[:last]]))
    type_ = draw(st.sampled_from(["LayerNorm", "RMSNorm"]))
    optional = {"elementwise_affine": st.booleans(), "eps": st.sampled_from([1e-3, 0.5])}
    optional |= {"bias": st.booleans()} if type_ == "LayerNorm" else {}
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    return Case(type_, {"normalized_shape": ends[0] if len(ends) == 1 else ends, **fields}, shape)


@st.composite
def products(draw: DrawFn) -> Case:
    """Linear, Embedding, MultiheadAttention."""
    type_ = draw(st.sampled_from(["Linear", "Embedding", "MultiheadAttention"]))
    if type_ == "Embedding":
        fields: Fields = {"num_embeddings": draw(ints(1, 9)), "embedding_dim": draw(ints(1, 5))}
        return Case(type_, fields, draw(shapes(0, 3, largest=4)))
    shape = draw(shapes(1, 4) if type_ == "Linear" else shapes(1, 4, largest=8))
    width = shape[-1] + draw(st.sampled_from([0, 0, 0, 1]))
    bias = draw(st.booleans())
    if type_ == "Linear":
        return Case(type_, {"in_features": width, "out_features": draw(ints(1, 6)), "bias": bias}, shape)
    heads = draw(st.sampled_from([1, 1, 2, 4, 3]))
    return Case(
        type_, {"embed_dim": width, "num_heads": heads, "bias": bias, "batch_first": draw(st.booleans())}, shape
    )


@st.composite
def functions(draw: DrawFn) -> Case:
    """Functions of each element, told something or nothing; softmax along an axis that may not be there."""
    type_ = draw(st.sampled_from(FUNCTIONS))
    fields = draw(st.sampled_from([{}, TOLD.get(type_, {})]))
    if "dim" in ELEMENTWISE[type_]:
        fields = {"dim": draw(DIMS)}
    if type_ == "Threshold":
        fields = TOLD[type_]
    return Case(type_, fields, draw(shapes(0, 5, largest=4)))


@st.composite
def moves(draw: DrawFn) -> Case:
    """Flatten, PixelShuffle, PReLU, and padding of every kind, cropping too."""
    type_ = draw(st.sampled_from(["Flatten", "PixelShuffle", "PReLU", "Pad"]))
    shape = draw(shapes(1, 5, largest=5))
    if type_ == "Flatten":
        return Case(type_, {"start_dim": draw(DIMS), "end_dim": draw(DIMS)}, shape)
    if type_ == "PixelShuffle":
        factor = draw(ints(1, 3))
        there = tuple(size * (factor**2 if place == len(shape) - 3 else 1) for place, size in enumerate(shape))
        return Case(type_, {"upscale_factor": factor}, draw(st.sampled_from([there, there, shape])))
    if type_ == "PReLU":
        channels = shape[1] if len(shape) > 1 else 1
        return Case(type_, {"num_parameters": draw(st.sampled_from([1, channels, channels, 7]))}, shape)
    rank = draw(ints(1, 3))
    word = draw(st.sampled_from(["Zero", "Constant", "Reflection", "Replication", "Circular"]))
    least = -2 if word in {"Zero", "Constant"} else 0
    fields: Fields = {"padding": draw(st.one_of(ints(max(least, -1), 3), st.tuples(*[ints(least, 4)] * (2 * rank))))}
    if word == "Constant":
        fields["value"] = 2.5
    space = draw(shapes(rank + 1, rank + 2, largest=6))
    return Case(f"{word}Pad{rank}d", fields, space)


@st.composite
def upsamples(draw: DrawFn) -> Case:
    """Upsample by a size or a factor, nearest or between the cells."""
    rank = draw(ints(1, 3))
    between = ("linear", "bilinear", "trilinear")[rank - 1]
    mode = draw(st.sampled_from(["nearest", between, "bilinear"]))
    fields: Fields = {"mode": mode}
    if draw(st.booleans()):
        fields["size"] = draw(per_axis(rank, 1, 9))
    else:
        factors = st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0])
        fields["scale_factor"] = draw(st.one_of(factors, st.tuples(*[factors] * rank)))
    if mode != "nearest" and draw(st.booleans()):
        fields["align_corners"] = draw(st.booleans())
    return Case("Upsample", fields, draw(shapes(rank + 1, rank + 2, largest=6)))


@st.composite
def joins(draw: DrawFn) -> Case:
    """Joins and products of two or three inputs, reductions and permutations; `shape` holds every input's."""
    type_ = draw(st.sampled_from(["Add", "Subtract", "Multiply", "Divide", "Maximum", "Concat", "MatMul", "Mean",
                                  "Sum", "Max", "Permute", "Reshape"]))  # fmt: skip
    first = draw(shapes(1, 4, largest=4))
    if type_ in {"Mean", "Sum", "Max"}:
        axes = draw(st.lists(DIMS, min_size=1, max_size=len(first), unique_by=lambda dim: dim % len(first)))
        return Case(type_, {"dims": axes, "keepdim": draw(st.booleans())}, (first,))
    if type_ == "Permute":
        return Case(type_, {"dims": draw(st.permutations(range(len(first))))}, (first,))
    if type_ == "Reshape":
        return Case(type_, {"shape": draw(st.sampled_from([[-1], [first[0], -1], [*first, 1], [5, -1]]))}, (first,))
    count = 2 if type_ == "MatMul" else draw(ints(2, 3))
    changed = st.tuples(*[st.sampled_from([size, size, 1, size + 1]) for size in first])
    others = [draw(changed) for _ in range(count - 1)]
    if type_ == "MatMul":
        transpose = draw(st.booleans())
        swapped = [(*one[:-2], one[-1], one[-2]) if len(one) > 1 and not transpose else one for one in others]
        least = [one if len(one) > 1 else (1, *one) for one in (first, *swapped)]  # PyTorch takes vectors too
        return Case(type_, {"transpose_b": transpose}, tuple(least))
    fields = {"dim": draw(DIMS)} if type_ == "Concat" else {}
    return Case(type_, fields, (first, *others))


CASES: dict[str, SearchStrategy[Case]] = {
    "pools": pools(),
    "adaptive pools": adaptive_pools(),
    "norms": norms(),
    "group norms": group_norms(),
    "layer norms": layer_norms(),
    "products": products(),
    "functions": functions(),
    "moves": moves(),
    "upsamples": upsamples(),
}
