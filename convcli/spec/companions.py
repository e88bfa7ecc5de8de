"""The types between convolutions by all their names; loaded when a spec names one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convcli.axis import axes, per_axis
from convcli.errors import SpecError
from convcli.layers.base import Layer
from convcli.layers.elementwise import Elementwise, PReLU
from convcli.layers.joins import Arithmetic, Concat
from convcli.layers.linear import Embedding, Linear, MatMul, MultiheadAttention
from convcli.layers.norm import BatchNorm, GroupNorm, LayerNorm
from convcli.layers.pool import AdaptivePool, Pool
from convcli.layers.rearrange import Flatten, Pad, Permute, PixelShuffle, Rearrange, Reduce, Reshape, SpacePad, Upsample
from convcli.layers.sources import Parameter, Unknown
from convcli.spec import companion_fields as f
from convcli.spec.form import Form, key

Make = Callable[[Any, int], Layer]
# PyTorch's modules that are a function of each element, and the order in which they take what they are told.
ELEMENTWISE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid"), ("inplace",)),
    **dict.fromkeys(("Sigmoid", "Tanh", "LogSigmoid", "Softsign", "Tanhshrink", "Softmax2d", "Identity"), ()),
    **dict.fromkeys(("Exp", "Log", "Sqrt", "Rsqrt", "Reciprocal", "Neg", "Abs", "Pow", "Erf", "Clamp", "Scale"), ()),
    **dict.fromkeys(("Sin", "Cos", "Floor"), ()),
    **dict.fromkeys(("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"), ("p", "inplace")),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Softmin"), ("dim",)),
    **dict.fromkeys(("ELU", "CELU"), ("alpha", "inplace")),
    **dict.fromkeys(("Hardshrink", "Softshrink"), ("lambd",)),
    "StochasticDepth": ("p", "mode"),
    "GELU": ("approximate",),
    "LeakyReLU": ("negative_slope", "inplace"),
    "RReLU": ("lower", "upper", "inplace"),
    "Hardtanh": ("min_val", "max_val", "inplace"),
    "Softplus": ("beta", "threshold"),
    "Threshold": ("threshold", "value", "inplace"),
}
JOINS = {"Add": "add", "Subtract": "sub", "Multiply": "mul", "Divide": "div", "Maximum": "max", "Minimum": "min"}
REDUCTIONS = {"Mean": "mean", "Sum": "sum", "Max": "max", "Min": "min"}
NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
LAYER_NORM = ("normalized_shape", "eps", "elementwise_affine", "bias")
ATTENTION = ("embed_dim", "num_heads", "dropout", "bias", "add_bias_kv", "add_zero_attn", "kdim", "vdim", "batch_first")
VALUE = ("padding", "value")
POOL = ("kernel_size", "stride", "padding")
ALIASES = {
    "Swish": "SiLU",
    "Dense": "Linear",
    "LazyLinear": "Linear",
    "FullyConnected": "Linear",
    "fc": "Linear",
    "SyncBatchNorm": "BatchNorm2d",
    "FrozenBatchNorm2d": "BatchNorm2d",
    "NonDynamicallyQuantizableLinear": "Linear",
    "DropPath": "StochasticDepth",
    "Cat": "Concat",
    "Concatenate": "Concat",
    "Mul": "Multiply",
    "Sub": "Subtract",
    "Div": "Divide",
    "Interpolate": "Upsample",
    "Resize": "Upsample",
    "View": "Reshape",
    "Transpose": "Permute",
    "GlobalAvgPool2d": "AdaptiveAvgPool2d",
    "UpsamplingNearest2d": "Upsample",
}


def _window(fields: Any, rank: int) -> dict[str, Any]:
    """The axes of a pool: the stride is the kernel's size unless it is said."""
    kernel = per_axis("kernel_size", fields.kernel_size, rank, least=1)
    stride = kernel if fields.stride is None else fields.stride
    dilation = getattr(fields, "dilation", 1)
    return {
        "axes": axes(kernel, stride=stride, padding=fields.padding, dilation=dilation),
        "ceil_mode": fields.ceil_mode,
        "count_include_pad": getattr(fields, "count_include_pad", True),
        "divisor_override": getattr(fields, "divisor_override", None),
    }


def _pool(function: str) -> Make:
    return lambda fields, rank: Pool(function=function, **_window(fields, rank))


def _adaptive(function: str) -> Make:
    def make(fields: Any, rank: int) -> Layer:
        said = fields.output_size
        sizes = said if isinstance(said, tuple) else (said,) * rank
        if len(sizes) != rank:
            raise SpecError(f"output_size has {len(sizes)} numbers", field="output_size", allowed=f"one, or {rank}")
        return AdaptivePool(function=function, output_size=sizes)

    return make


def _norm(*, instance: bool) -> Make:
    return lambda fields, rank: BatchNorm(
        dims=rank,
        num_features=fields.num_features,
        affine=fields.affine,
        bias=fields.bias and fields.affine,
        instance=instance,
        eps=fields.eps,
    )


def _layer_norm(*, rms: bool = False, channel_axis: bool = False) -> Make:
    def make(fields: Any, rank: int) -> Layer:
        del rank
        shape = fields.normalized_shape
        return LayerNorm(
            normalized_shape=(shape,) if isinstance(shape, int) else shape,
            affine=fields.elementwise_affine,
            bias=fields.bias,
            rms=rms,
            channel_axis=channel_axis,
            eps=fields.eps,
        )

    return make


def _padded(mode: str, rank: int | None) -> Make:
    def make(fields: Any, told: int) -> Layer:
        said = fields.padding
        numbers = (said,) * (2 * (rank or told)) if isinstance(said, int) else said
        if len(numbers) % 2 or (rank and len(numbers) != 2 * rank):
            raise SpecError(
                f"padding={list(numbers)} has {len(numbers)} numbers",
                field="padding",
                allowed=f"one, or {2 * rank}" if rank else "two per axis",
            )
        value = getattr(fields, "value", 0)
        if rank:
            return SpacePad(padding=numbers, mode=mode, value=value, dims=rank)
        return Pad(padding=numbers, mode=mode, value=value)

    return make


def _alike(layer: type[Layer], **fixed: Any) -> Make:
    """What both name alike is handed over."""
    names = [name for name in layer.__struct_fields__ if name not in {"axes", "inputs", "in_channels", *fixed}]
    return lambda fields, rank: layer(**{n: getattr(fields, n) for n in names if hasattr(fields, n)}, **fixed)  # noqa: ARG005


def _elementwise(name: str) -> Make:
    order = ELEMENTWISE[name]

    def make(fields: Any, rank: int) -> Layer:
        del rank
        told = ((word, getattr(fields, word)) for word in order if word != "inplace")
        return Elementwise(function=name, options=tuple((word, value) for word, value in told if value is not None))

    return make


def _reduce(function: str) -> Make:
    return lambda fields, rank: Reduce(  # noqa: ARG005
        dims=(fields.dims,) if isinstance(fields.dims, int) else fields.dims, keepdim=fields.keepdim, function=function
    )


def _unknown(fields: Any, rank: int) -> Layer:
    del rank
    tensors = tuple((fields.tensors or {}).items())
    return Unknown(operation=fields.operation, shape=fields.shape, tensor_shapes=tensors)


def _forms() -> list[Form]:
    found = [Form(name, 0, f.PlainFields, _elementwise(name), order) for name, order in ELEMENTWISE.items()]
    found += [Form(name, 0, f.NoFields, _alike(Arithmetic, function=word), ()) for name, word in JOINS.items()]
    found += [Form(name, 0, f.ReduceFields, _reduce(word), ("dims", "keepdim")) for name, word in REDUCTIONS.items()]
    for rank in (1, 2, 3):
        found += [
            Form(f"BatchNorm{rank}d", rank, f.BatchNormFields, _norm(instance=False), NORM),
            Form(f"InstanceNorm{rank}d", rank, f.InstanceNormFields, _norm(instance=True), NORM),
            Form(
                f"MaxPool{rank}d", rank, f.PoolFields, _pool("max"), (*POOL, "dilation", "return_indices", "ceil_mode")
            ),
            Form(
                f"AvgPool{rank}d",
                rank,
                f.AvgPoolFields,
                _pool("avg"),
                (*POOL, "ceil_mode", "count_include_pad", *(("divisor_override",) if rank > 1 else ())),
            ),
            Form(f"AdaptiveAvgPool{rank}d", rank, f.AdaptivePoolFields, _adaptive("avg"), ("output_size",)),
            Form(f"AdaptiveMaxPool{rank}d", rank, f.AdaptivePoolFields, _adaptive("max"), ("output_size",)),
        ]
        for word, mode in (("Zero", "zeros"), ("Reflection", "reflect"),
                           ("Replication", "replicate"), ("Circular", "circular")):  # fmt: skip
            found.append(Form(f"{word}Pad{rank}d", rank, f.PadFields, _padded(mode, rank), ("padding",)))
        found.append(Form(f"ConstantPad{rank}d", rank, f.ConstantPadFields, _padded("zeros", rank), VALUE))
    return [
        *found,
        Form("Pad", 0, f.ConstantPadFields, _padded("zeros", None), VALUE),
        Form("PReLU", 0, f.PReLUFields, _alike(PReLU), ("num_parameters", "init")),
        Form("GroupNorm", 0, f.GroupNormFields, _alike(GroupNorm), ("num_groups", "num_channels", "eps", "affine")),
        Form("LayerNorm", 0, f.LayerNormFields, _layer_norm(), LAYER_NORM),
        Form("LayerNorm2d", 0, f.LayerNormFields, _layer_norm(channel_axis=True), LAYER_NORM),
        Form("RMSNorm", 0, f.RMSNormFields, _layer_norm(rms=True), LAYER_NORM[:3]),
        Form("Linear", 0, f.LinearFields, _alike(Linear), ("in_features", "out_features", "bias")),
        Form("MatMul", 0, f.MatMulFields, _alike(MatMul), ("transpose_b",)),
        Form("MultiheadAttention", 0, f.AttentionFields, _alike(MultiheadAttention), ATTENTION),
        Form("Embedding", 0, f.EmbeddingFields, _alike(Embedding), ("num_embeddings", "embedding_dim", "padding_idx")),
        Form("Concat", 0, f.ConcatFields, _alike(Concat), ("dim",)),
        Form("Flatten", 0, f.FlattenFields, _alike(Flatten), ("start_dim", "end_dim")),
        Form("Reshape", 0, f.ReshapeFields, _alike(Reshape), ("shape",)),
        Form("Permute", 0, f.PermuteFields, _alike(Permute), ("dims",)),
        Form("Rearrange", 0, f.ShapeFields, _alike(Rearrange), ("shape",)),
        Form("Upsample", 0, f.UpsampleFields, _alike(Upsample, dims=0),
             ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor")),
        Form("PixelShuffle", 0, f.PixelShuffleFields, _alike(PixelShuffle), ("upscale_factor",)),
        Form("Parameter", 0, f.ShapeFields, _alike(Parameter, learned=True), ("shape",)),
        Form("Constant", 0, f.ShapeFields, _alike(Parameter, learned=False), ("shape",)),
        Form("Unknown", 0, f.UnknownFields, _unknown, ("operation", "shape")),
    ]  # fmt: skip


FORMS = tuple(_forms())
BY_KEY = {key(form.type): form for form in FORMS}
BY_KEY |= {key(alias): BY_KEY[key(name)] for alias, name in ALIASES.items()}
