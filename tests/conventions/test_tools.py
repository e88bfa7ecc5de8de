"""The rules against the calculators themselves: every number that they print is the number that we say they print."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from asked import EACH, asked
from drawn import Case
from drawn import convolutions as kernels
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from laws import examples, holds

from convcli.conventions import named
from convcli.conventions.told import told
from convcli.errors import SpecError
from convcli.plan import Network, Plan, plan
from convcli.spec.build import network
from convcli.spec.load import load

SAMPLES = Path(__file__).resolve().parents[2] / "sample_configs"
Document = dict[str, Any]


class Numbers(NamedTuple):
    """What a tool says, or that it ends in an error."""

    macs: int | None
    params: int | None = None


def said(planned: Plan, name: str) -> Numbers:
    """By our rules."""
    known = named(name)
    try:
        steps = told(planned, known)
    except SpecError:
        return Numbers(None)
    params = sum(step.params for step in steps) if known.params else None
    return Numbers(int(sum(step.exact for step in steps)), params)


def heard(planned: Plan, name: str) -> Numbers:
    """By the tool itself, of a model of PyTorch's modules."""
    import torch
    from modules import Model

    start = planned.network.input or planned.network.entries[0].input
    assert start is not None
    try:
        macs, params = asked(name, Model(planned), torch.zeros(start))
    except (AssertionError, IndexError, RuntimeError, TypeError):
        return Numbers(None)
    return Numbers(None) if macs is None else Numbers(int(macs), params)


def of(start: tuple[int, ...], *layers: Document | str) -> Plan:
    return plan(network({"input": list(start), "layers": list(layers)}, "test"))


@pytest.mark.parametrize("name", EACH)
def test_the_31_single_layers_of_the_comparison(name: str) -> None:
    whole = load(str(SAMPLES / "single-layers.yaml"))
    assert len(whole.entries) == 31
    wrong = {}
    for entry in whole.entries:
        planned = plan(Network([entry]))
        ours, theirs = said(planned, name), heard(planned, name)
        if ours != theirs:
            wrong[entry.name] = (ours, theirs)
    assert not wrong


@pytest.mark.parametrize("name", EACH)
@examples(30, 400)
def test_random_layers_of_every_kind(name: str, count: int) -> None:
    def law(planned: Plan) -> None:
        assert said(planned, name) == heard(planned, name)

    holds(law, st.one_of(convolutions(), companions()), count)


@st.composite
def convolutions(draw: DrawFn) -> Plan:
    """A layer of a kind of ours that torch has too, with or without the batch."""
    case: Case = draw(kernels().filter(torch_has))
    deformable = str(case.fields["type"]).startswith("Deform")  # torchvision's kernel wants a batch
    start = case.input if deformable or draw(st.booleans()) else case.input[1:]
    return of(start, case.fields)


def torch_has(case: Case) -> bool:
    """Transposed and deformable layers pad both ends alike in torch, and channels and batches are not empty."""
    layer, kind = case.layer, str(case.fields["type"])
    primitives = [part.layer for part in layer.parts(case.x)] or [layer]
    plain = kind.startswith(("Conv1d", "Conv2d", "Conv3d", "Depthwise", "Separable"))
    alike = all(axis.before == axis.after >= 0 for one in primitives for axis in one.axes)
    return plain or alike


SIZES = st.integers(1, 6)
IMAGE = st.tuples(st.integers(1, 4), st.integers(1, 3).map(lambda n: 2 * n), SIZES, SIZES)
ROWS = st.tuples(st.integers(1, 4), SIZES, st.integers(1, 3).map(lambda n: 2 * n))
COUNTED = ("ReLU", "ReLU6", "SiLU", "Softmax2d", "ELU", "GELU", "LeakyReLU", "PReLU", "Hardtanh")
ELEMENTWISE = (*COUNTED, "SELU", "Mish", "Hardswish", "Sigmoid", "Tanh", "Identity", "Dropout", "CELU", "RReLU")


def companions() -> SearchStrategy[Plan]:
    """A layer between convolutions, of every module that some tool has a rule for."""
    yes = st.booleans()
    return st.one_of(
        st.builds(lambda x, f: of(x, {"type": f}), IMAGE, st.sampled_from(ELEMENTWISE)),
        st.builds(_normed, IMAGE, st.sampled_from(["BatchNorm2d", "InstanceNorm2d", "GroupNorm"]), yes),
        st.builds(lambda x, a: of(x, {"type": "LayerNorm", "elementwise_affine": a}), st.one_of(IMAGE, ROWS), yes),
        st.builds(lambda x: of(x, {"type": "RMSNorm"}), ROWS),
        st.builds(lambda x: of(x, {"type": "LayerNorm2d"}), IMAGE),
        st.builds(_pooled, st.integers(1, 3), st.booleans(), st.sampled_from(["Max", "Avg"]), SIZES, SIZES),
        st.builds(_adaptive, st.integers(1, 3), st.booleans(), st.sampled_from(["Max", "Avg"]), SIZES, SIZES),
        st.builds(_resized, st.integers(1, 3), st.sampled_from(["nearest", "linear", "area", "bicubic"]), yes, SIZES),
        st.builds(lambda x, o, b: of(x, {"type": "Linear", "out_features": o, "bias": b}), ROWS, SIZES, yes),
        st.builds(lambda x, d: of(x, {"type": "Softmax", "dim": d}), ROWS, st.sampled_from([None, 0, 1, -1])),
        st.builds(lambda x: of(x, {"type": "Embedding", "num_embeddings": 7, "embedding_dim": 3}), ROWS),
        st.builds(lambda x, t: of(x, {"type": t, "from": ["input"] * 2}), IMAGE, st.sampled_from(["Add", "Concat"])),
        st.builds(_product, ROWS, SIZES, yes),
        st.builds(_attended, ROWS, yes, yes, yes),
    )


def _normed(start: tuple[int, ...], type_: str, affine: bool) -> Plan:
    """With more than one value to take the mean of: torch wants that."""
    groups = {"num_groups": 2} if type_ == "GroupNorm" else {}
    return of((*start[:2], start[2] + 1, start[3] + 1), {"type": type_, "affine": affine, **groups})


def _pooled(rank: int, batched: bool, function: str, size: int, kernel: int) -> Plan:
    start = (3, 4, *(size + kernel for _ in range(rank)))
    return of(start if batched else start[1:], {"type": f"{function}Pool{rank}d", "kernel_size": kernel})


def _adaptive(rank: int, batched: bool, function: str, size: int, out: int) -> Plan:
    start = (2, 4, *range(size, size + rank))
    return of(start if batched else start[1:], {"type": f"Adaptive{function}Pool{rank}d", "output_size": out})


def _resized(rank: int, mode: str, by_size: bool, size: int) -> Plan:
    word = {"linear": ("linear", "bilinear", "trilinear")[rank - 1], "bicubic": "bicubic" if rank == 2 else "nearest"}
    fields = {"size": size} if by_size else {"scale_factor": 1 + size / 2}
    return of((2, 3, *range(4, 4 + rank)), {"type": "Upsample", "mode": word.get(mode, mode), **fields})


def _product(start: tuple[int, ...], columns: int, stretched: bool) -> Plan:
    """a (N, M, K) @ b (N, K, columns); a is stretched over b's batch, or b over a's."""
    few, many = [start[2], columns], [start[0] + 1, start[2], columns]
    first = {"name": "a", "type": "Reshape", "shape": [start[0] * start[1], start[2]]}
    b = {"name": "b", "type": "Parameter", "shape": many if stretched else few}
    return of(start, first, b, {"type": "MatMul", "from": ["a" if stretched else "input", "b"]})


def _attended(start: tuple[int, ...], bias: bool, batch_first: bool, crossed: bool) -> Plan:
    fields = {"type": "MultiheadAttention", "num_heads": 2, "bias": bias, "batch_first": batch_first}
    if not crossed:
        return of(start, fields)
    query = {"name": "query", "type": "Linear", "out_features": 8}
    wide = {**fields, "kdim": start[2], "vdim": start[2], "from": ["query", "input", "input"]}
    return of(start, query, wide)


CLASSIFIER: tuple[Document, ...] = (
    {"type": "AdaptiveAvgPool2d", "output_size": 1},
    {"type": "Flatten"},
    {"type": "Dropout", "p": 0.2},
    {"type": "Linear", "out_features": 10},
)


def residual(count: int, channels: int, stride: int) -> Document:
    """A block of two convolutions with a way past them."""
    conv = {"type": "Conv2d", "out_channels": channels, "kernel_size": 3, "padding": 1, "bias": False}
    return {
        "name": f"stage{count}",
        "layers": [
            {"name": "conv1", **conv, "stride": stride},
            {"name": "bn1", "type": "BatchNorm2d"},
            {"name": "relu1", "type": "ReLU"},
            {"name": "conv2", **conv},
            {"name": "bn2", "type": "BatchNorm2d"},
            {"name": "past", **conv, "kernel_size": 1, "padding": 0, "stride": stride, "from": "input"},
            {"name": "add", "type": "Add", "from": ["bn2", "past"]},
            {"name": "relu2", "type": "ReLU"},
        ],
    }


def inverted(count: int, channels: int) -> Document:
    """mobilenet's block: wider, depthwise, narrower."""
    return {
        "name": f"inverted{count}",
        "layers": [
            {"name": "expand", "type": "Conv2d", "out_channels": 4 * channels, "kernel_size": 1, "bias": False},
            {"name": "bn1", "type": "BatchNorm2d"},
            {"name": "relu1", "type": "ReLU6"},
            {"name": "depthwise", "type": "DepthwiseConv2d", "kernel_size": 3, "padding": 1, "bias": False},
            {"name": "bn2", "type": "BatchNorm2d"},
            {"name": "relu2", "type": "SiLU"},
            {"name": "narrow", "type": "Conv2d", "out_channels": channels, "kernel_size": 1},
        ],
    }


TRANSFORMER: Document = {
    "name": "encoder",
    "repeat": 2,
    "layers": [
        {"name": "ln1", "type": "LayerNorm"},
        {"name": "attention", "type": "MultiheadAttention", "num_heads": 2, "batch_first": True},
        {"name": "add1", "type": "Add", "from": ["attention", "input"]},
        {"name": "ln2", "type": "LayerNorm"},
        {"name": "mlp1", "type": "Linear", "out_features": 32},
        {"name": "gelu", "type": "GELU"},
        {"name": "mlp2", "type": "Linear", "out_features": 8},
        {"name": "add2", "type": "Add", "from": ["mlp2", "add1"]},
    ],
}
NETWORKS: dict[str, tuple[tuple[int, ...], tuple[Document, ...]]] = {
    "residual": (
        (2, 3, 32, 32),
        (
            {"type": "Conv2d", "out_channels": 8, "kernel_size": 7, "stride": 2, "padding": 3, "bias": False},
            {"type": "BatchNorm2d"},
            {"type": "ReLU"},
            {"type": "MaxPool2d", "kernel_size": 3, "stride": 2, "padding": 1},
            residual(1, 8, 1),
            residual(2, 16, 2),
            *CLASSIFIER,
        ),
    ),
    "mobile": ((3, 3, 16, 16), (inverted(1, 8), inverted(2, 4), *CLASSIFIER)),
    "transformer": (
        (2, 3, 16, 16),
        (
            {"type": "Conv2d", "out_channels": 8, "kernel_size": 4, "stride": 4},
            {"type": "Flatten", "start_dim": 2},
            {"name": "rows", "type": "Permute", "dims": [0, 2, 1]},
            {"name": "position", "type": "Parameter", "shape": [1, 16, 8]},
            {"type": "Add", "from": ["rows", "position"]},
            TRANSFORMER,
            {"type": "LayerNorm"},
            {"type": "Linear", "out_features": 5},
        ),
    ),
    "u-net": (
        (2, 3, 16, 16),
        (
            {"name": "down1", "type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": "same"},
            {"type": "MaxPool2d", "kernel_size": 2},
            {"name": "down2", "type": "Conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1},
            {"type": "LeakyReLU"},
            {"name": "up", "type": "ConvTranspose2d", "out_channels": 4, "kernel_size": 2, "stride": 2},
            {"type": "Concat", "from": ["down1", "up"]},
            {"type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
            {"type": "Upsample", "scale_factor": 2, "mode": "bilinear"},
            {"type": "Conv2d", "out_channels": 1, "kernel_size": 1},
        ),
    ),
    "deformable": (
        (2, 3, 12, 12),
        (
            {"type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
            {"type": "GroupNorm", "num_groups": 2},
            {"type": "DeformConv2dPack", "out_channels": 4, "kernel_size": 3, "padding": 1, "modulated": True},
            {"name": "again", "type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
            {"shares": "again"},
            {"type": "AvgPool2d", "kernel_size": 2},
        ),
    ),
}


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("which", NETWORKS)
def test_whole_networks(which: str, name: str) -> None:
    start, layers = NETWORKS[which]
    planned = of(start, *layers)
    numbers = said(planned, name)
    assert numbers == heard(planned, name)
    assert numbers.macs


@pytest.mark.torch
@pytest.mark.parametrize("which", ["resnet50", "mobilenet_v2", "vgg16", "vit_b_16"])
def test_torchvision_published_these_numbers(which: str) -> None:
    import torchvision

    weights = torchvision.models.get_model_weights(which).IMAGENET1K_V1
    numbers = said(plan(load(str(SAMPLES / "whole" / f"{which}.yaml"))), "torchvision")
    assert round((numbers.macs or 0) / 1e9, 3) == weights.meta["_ops"]
    assert numbers.params == weights.meta["num_params"]


@pytest.mark.long
@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("which", ["resnet50", "vgg16", "vit_b_16"])
def test_torchvisions_own_models(which: str, name: str) -> None:
    import torch
    import torchvision

    macs, params = asked(name, torchvision.models.get_model(which), torch.zeros(1, 3, 224, 224))
    assert said(plan(load(str(SAMPLES / "whole" / f"{which}.yaml"))), name) == (macs, params)
