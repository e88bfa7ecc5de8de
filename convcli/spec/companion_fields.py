"""The fields of the layers between convolutions, in PyTorch's words; loaded when a spec names one of them.

What only tells how a value is computed, and nothing of shapes or costs (eps, momentum, inplace), is taken and kept out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from convcli.spec.fields import (
    AnyFields,
    Channels,
    Count,
    MaybeCount,
    MaybeYesNo,
    Natural,
    PerAxis,
    PerAxisFromZero,
    YesNo,
)

Number = Annotated[int | float, Meta(description="a number")]
MaybeNumber = Annotated[int | float | None, Meta(description="a number")]
Whole = Annotated[int, Meta(description="a whole number; negative ones count from the last axis")]
Wholes = Annotated[int | tuple[int, ...], Meta(description="a whole number, or a list of them")]
SizesOf = Annotated[tuple[Natural, ...], Meta(description="a list of sizes")]
Told = Annotated[tuple[tuple[str, Any], ...], Meta(description="pairs of a word and its value")]
Device = Annotated[Any, Meta(description="PyTorch's own word")]


class PlainFields(AnyFields, frozen=True, kw_only=True):
    """Identity, GELU, Softmax and the other functions of each element, with what PyTorch's modules may be told."""

    inplace: YesNo = False
    p: Number = 0.5
    dim: Annotated[int | None, Meta(description="a whole number")] = None
    approximate: Annotated[Literal["none", "tanh"], Meta(description="none or tanh")] = "none"
    negative_slope: MaybeNumber = None
    alpha: MaybeNumber = None
    beta: MaybeNumber = None
    threshold: MaybeNumber = None
    value: MaybeNumber = None
    min_val: MaybeNumber = None
    max_val: MaybeNumber = None
    lambd: MaybeNumber = None
    lower: MaybeNumber = None
    upper: MaybeNumber = None
    mode: Annotated[str | None, Meta(description="a text")] = None


class PReLUFields(AnyFields, frozen=True, kw_only=True):
    """PReLU."""

    num_parameters: Channels = 1
    init: Number = 0.25


class BatchNormFields(AnyFields, frozen=True, kw_only=True):
    """BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm."""

    num_features: MaybeCount = None
    eps: Number = 1e-5
    momentum: MaybeNumber = 0.1
    affine: YesNo = True
    track_running_stats: YesNo = True
    bias: YesNo = True


class InstanceNormFields(BatchNormFields, frozen=True, kw_only=True):
    """InstanceNorm1d, InstanceNorm2d, InstanceNorm3d."""

    affine: YesNo = False
    track_running_stats: YesNo = False


class GroupNormFields(AnyFields, frozen=True, kw_only=True):
    """GroupNorm."""

    num_groups: Channels
    num_channels: MaybeCount = None
    eps: Number = 1e-5
    affine: YesNo = True
    bias: YesNo = True


class LayerNormFields(AnyFields, frozen=True, kw_only=True):
    """LayerNorm, LayerNorm2d."""

    normalized_shape: Annotated[
        Count | tuple[Count, ...] | None,
        Meta(description="the sizes of the last axes, or leave it out for the last one"),
    ] = None
    eps: MaybeNumber = 1e-5
    elementwise_affine: YesNo = True
    bias: YesNo = True


class RMSNormFields(LayerNormFields, frozen=True, kw_only=True):
    """RMSNorm."""

    eps: MaybeNumber = None


class PoolFields(AnyFields, frozen=True, kw_only=True):
    """MaxPool1d, MaxPool2d, MaxPool3d."""

    kernel_size: PerAxis
    stride: Annotated[
        Count | tuple[Count, ...] | None, Meta(description="a whole number of at least 1, or one per axis")
    ] = None
    padding: PerAxisFromZero = 0
    dilation: PerAxis = 1
    return_indices: YesNo = False
    ceil_mode: YesNo = False


class AvgPoolFields(AnyFields, frozen=True, kw_only=True):
    """AvgPool1d, AvgPool2d, AvgPool3d."""

    kernel_size: PerAxis
    stride: Annotated[
        Count | tuple[Count, ...] | None, Meta(description="a whole number of at least 1, or one per axis")
    ] = None
    padding: PerAxisFromZero = 0
    ceil_mode: YesNo = False
    count_include_pad: YesNo = True
    divisor_override: MaybeCount = None


class AdaptivePoolFields(AnyFields, frozen=True, kw_only=True):
    """AdaptiveAvgPool1d to 3d, AdaptiveMaxPool1d to 3d."""

    output_size: Annotated[
        Count | tuple[Count | None, ...] | None,
        Meta(description="a whole number of at least 1, or one per axis; null keeps an axis"),
    ]
    return_indices: YesNo = False


class LinearFields(AnyFields, frozen=True, kw_only=True):
    """Linear."""

    out_features: Channels
    in_features: Annotated[Natural | None, Meta(description="a whole number, or leave it out: the input tells")] = None
    bias: YesNo = True


class MatMulFields(AnyFields, frozen=True, kw_only=True):
    """MatMul."""

    transpose_b: YesNo = False


class AttentionFields(AnyFields, frozen=True, kw_only=True):
    """MultiheadAttention."""

    embed_dim: MaybeCount = None
    num_heads: Channels
    dropout: Number = 0.0
    bias: YesNo = True
    add_bias_kv: Annotated[Literal[False], Meta(description="false")] = False
    add_zero_attn: Annotated[Literal[False], Meta(description="false")] = False
    kdim: MaybeCount = None
    vdim: MaybeCount = None
    batch_first: YesNo = False


class EmbeddingFields(AnyFields, frozen=True, kw_only=True):
    """Embedding."""

    num_embeddings: Channels
    embedding_dim: Channels
    padding_idx: Annotated[int | None, Meta(description="a whole number")] = None


class ConcatFields(AnyFields, frozen=True, kw_only=True):
    """Concat."""

    dim: Annotated[
        int | None, Meta(description="a whole number; negative ones count from the last axis; left out: the channels")
    ] = None


class FlattenFields(AnyFields, frozen=True, kw_only=True):
    """Flatten."""

    start_dim: Whole = 1
    end_dim: Whole = -1


class ReshapeFields(AnyFields, frozen=True, kw_only=True):
    """Reshape."""

    shape: Annotated[tuple[int, ...], Meta(description="a list of sizes, one of which may be -1")]


class PermuteFields(AnyFields, frozen=True, kw_only=True):
    """Permute."""

    dims: Annotated[tuple[int, ...], Meta(description="a list of axes")]


class ShapeFields(AnyFields, frozen=True, kw_only=True):
    """Rearrange, Parameter, Constant: whatever has a shape and no other rule."""

    shape: SizesOf


class ReduceFields(AnyFields, frozen=True, kw_only=True):
    """Mean, Sum, Max, Min over axes."""

    dims: Wholes
    keepdim: YesNo = False


class UpsampleFields(AnyFields, frozen=True, kw_only=True):
    """Upsample."""

    size: Annotated[
        Count | tuple[Count, ...] | None, Meta(description="a whole number of at least 1, or one per axis")
    ] = None
    scale_factor: Annotated[
        int | float | tuple[int | float, ...] | None, Meta(description="a positive number, or one per axis")
    ] = None
    mode: Annotated[
        Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"],
        Meta(description="nearest, nearest-exact, linear, bilinear, bicubic, trilinear or area"),
    ] = "nearest"
    align_corners: MaybeYesNo = None
    recompute_scale_factor: MaybeYesNo = None


class PixelShuffleFields(AnyFields, frozen=True, kw_only=True):
    """PixelShuffle."""

    upscale_factor: Channels


class PadFields(AnyFields, frozen=True, kw_only=True):
    """ZeroPad1d to 3d, ReflectionPad1d to 3d, ReplicationPad1d to 3d, CircularPad1d to 3d."""

    padding: Annotated[int | tuple[int, ...], Meta(description="a number, or (left, right, top, bottom, ...)")]


class ConstantPadFields(PadFields, frozen=True, kw_only=True):
    """Pad, ConstantPad1d to 3d."""

    value: Number = 0


class UnknownFields(AnyFields, frozen=True, kw_only=True):
    """Unknown."""

    operation: Annotated[str, Meta(description="what the operation is called")]
    shape: SizesOf
    tensors: Annotated[dict[str, tuple[Natural, ...]] | None, Meta(description="its parameters' shapes by name")] = None


class NoFields(AnyFields, frozen=True, kw_only=True):
    """Add, Multiply and the other joins element by element."""
