"""The fields of every layer type: what a spec may say, stated once for validation, messages and the JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]

Channels = Annotated[Count, Meta(description="a whole number of at least 1")]
InChannels = Annotated[
    Natural | None, Meta(description="a whole number of at least 0, or leave it out: the input tells")
]
PerAxis = Annotated[Count | tuple[Count, ...], Meta(description="a whole number of at least 1, or one per axis")]
PerAxisFromZero = Annotated[
    Natural | tuple[Natural, ...], Meta(description="a whole number of at least 0, or one per axis")
]
# The numbers here bear no ge=0: msgspec (0.19 to 0.22) corrupts memory on a union of a constrained int and a fixed
# tuple inside a tuple. Axis refuses negative padding.
PaddingForm = Annotated[
    int | str | tuple[int | tuple[int, int], ...],
    Meta(
        description="a number of at least 0, one per axis, a [before, after] pair per axis, "
        "or same, valid, same_upper, same_lower"
    ),
]
YesNo = Annotated[bool, Meta(description="true or false")]
MaybeYesNo = Annotated[bool | None, Meta(description="true or false")]
Mode = Annotated[
    Literal["zeros", "reflect", "replicate", "circular"], Meta(description="zeros, reflect, replicate or circular")
]
Sizes = Annotated[
    tuple[Natural, ...],
    Meta(min_length=2, description="a list of sizes: N, C, then the spatial axes, as in [1, 3, 224, 224]"),
]
MaybeSizes = Annotated[
    Sizes | None, Meta(description="a list of sizes: N, C, then the spatial axes, as in [1, 3, 224, 224]")
]
Name = Annotated[str | None, Meta(description="a text")]


class Expect(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What `convcli check` compares: any of a layer's numbers, and its output's shape."""

    output: Annotated[tuple[Natural, ...] | None, Meta(description="a list of sizes")] = None
    params: Annotated[Natural | None, Meta(description="a whole number")] = None
    macs: Annotated[Natural | None, Meta(description="a whole number")] = None
    macs_nonpad: Annotated[Natural | None, Meta(description="a whole number")] = None
    macs_kept: Annotated[Natural | None, Meta(description="a whole number")] = None
    macs_zero_insert: Annotated[Natural | None, Meta(description="a whole number")] = None
    interpolation_macs: Annotated[Natural | None, Meta(description="a whole number")] = None
    modulation_macs: Annotated[Natural | None, Meta(description="a whole number")] = None
    coordinate_flops: Annotated[Natural | None, Meta(description="a whole number")] = None
    elementwise_flops: Annotated[Natural | None, Meta(description="a whole number")] = None
    bias_adds: Annotated[Natural | None, Meta(description="a whole number")] = None
    flops: Annotated[Natural | None, Meta(description="a whole number")] = None


Expected = Annotated[
    Expect | None, Meta(description="a mapping of numbers, as in {output: [1, 64, 112, 112], params: 9408}")
]


Amount = Annotated[
    int | str,
    Meta(description="an amount, as in 10_000, 120M or 4MB, or a change from the baseline, as in +2%"),
]


class Budget(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a layer, or a whole network, may cost at the most; `activation_bytes` are those of the outputs."""

    params: Amount | None = None
    macs: Amount | None = None
    flops: Amount | None = None
    activation_bytes: Amount | None = None
    weight_bytes: Amount | None = None


Budgeted = Annotated[
    Budget | None, Meta(description="a mapping, as in {params: 10_000, macs: 120M, activation_bytes: 4MB}")
]


From = Annotated[
    str | tuple[str, ...] | None, Meta(description="the name of the layer whose output it takes, or a list of names")
]


Sizing = Annotated[Count | tuple[Count, ...], Meta(description="a whole number of at least 1, or two: rows, columns")]
Scale = Annotated[float, Meta(gt=0, description="a number above 0")]
Ratio = Annotated[Natural, Meta(description="a whole number of at least 0; 0: as many as a bin has cells")]
MaybeCount = Annotated[Count | None, Meta(description="a whole number of at least 1, or leave it out")]
MaybeNatural = Annotated[Natural | None, Meta(description="a whole number of at least 0, or leave it out")]


class AnyFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What every layer may say, of whatever type."""

    type: Annotated[str, Meta(description="a layer type, as in Conv2d")]
    name: Name = None
    input: MaybeSizes = None
    from_: From = msgspec.field(name="from", default=None)
    expect: Expected = None
    budget: Budgeted = None


class Placed(AnyFields, forbid_unknown_fields=False, frozen=True, kw_only=True):
    """The same, read past the fields of the layer's own type."""


class LayerFields(AnyFields, frozen=True, kw_only=True):
    """What every convolution may say."""

    in_channels: InChannels = None
    stride: PerAxis = 1
    padding: PaddingForm = 0
    dilation: PerAxis = 1
    bias: YesNo = True


class ConvFields(LayerFields, frozen=True, kw_only=True):
    """Conv1d, Conv2d, Conv3d."""

    out_channels: Channels
    kernel_size: PerAxis
    groups: Channels = 1
    padding_mode: Mode = "zeros"


class GroupedFields(ConvFields, frozen=True, kw_only=True):
    """`grouped`: a convolution that must say into how many groups."""

    groups: Channels


class DilatedFields(ConvFields, frozen=True, kw_only=True):
    """`dilated`: a convolution that must say how far apart its taps are."""

    dilation: PerAxis


class PointwiseFields(LayerFields, frozen=True, kw_only=True):
    """`pointwise`: a convolution whose kernel is 1 on every axis."""

    out_channels: Channels
    kernel_size: Annotated[
        Literal[1] | tuple[Literal[1], ...], Meta(description="1: a pointwise layer has no other kernel")
    ] = 1
    groups: Channels = 1
    padding_mode: Mode = "zeros"


class DepthwiseFields(LayerFields, frozen=True, kw_only=True):
    """`depthwise`: groups = in_channels; out_channels = in_channels * depth_multiplier unless given."""

    kernel_size: PerAxis
    out_channels: Annotated[Count | None, Meta(description="a multiple of in_channels")] = None
    depth_multiplier: Channels = 1
    padding_mode: Mode = "zeros"


class TransposedFields(LayerFields, frozen=True, kw_only=True):
    """ConvTranspose1d, ConvTranspose2d, ConvTranspose3d."""

    out_channels: Channels
    kernel_size: PerAxis
    output_padding: PerAxisFromZero = 0
    groups: Channels = 1
    padding_mode: Annotated[Literal["zeros"], Meta(description="zeros: transposed layers take no other mode")] = "zeros"


class SeparableFields(LayerFields, frozen=True, kw_only=True):
    """SeparableConv1d, SeparableConv2d, SeparableConv3d."""

    out_channels: Channels
    kernel_size: PerAxis
    depth_multiplier: Channels = 1
    pointwise_bias: MaybeYesNo = None


class DeformFields(LayerFields, frozen=True, kw_only=True):
    """DeformConv2d and DeformConv2dPack."""

    out_channels: Channels
    kernel_size: PerAxis
    groups: Channels = 1
    offset_groups: Channels = 1
    modulated: YesNo = False


class RoIFields(AnyFields, frozen=True, kw_only=True):
    """What every layer on regions of interest may say."""

    in_channels: InChannels = None
    output_size: Sizing
    spatial_scale: Scale = 1.0
    sampling_ratio: Ratio = 0
    gamma: Annotated[float, Meta(description="a number")] = 0.1
    num_rois: MaybeNatural = None


class DeformRoIPoolFields(RoIFields, frozen=True, kw_only=True):
    """DeformRoIPool. offset: whether offsets are an input; without them it is RoIAlign, aligned."""

    offset: YesNo = True
    modulated: YesNo = False


class DeformRoIPoolPackFields(RoIFields, frozen=True, kw_only=True):
    """DeformRoIPoolPack, ModulatedDeformRoIPoolPack."""

    output_channels: MaybeCount = None
    deform_fc_channels: Channels = 1024
    modulated: YesNo = False


class Document(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A spec file."""

    layers: Annotated[
        tuple[Any, ...],
        Meta(min_length=1, description="a list of layers, each a mapping or a line as PyTorch prints it"),
    ]
    name: Name = None
    input: MaybeSizes = None
    input_layout: Annotated[
        Literal["channels_first", "channels_last"], Meta(description="channels_first or channels_last")
    ] = "channels_first"
    budget: Budgeted = None


class Input(msgspec.Struct):
    """An input's shape that came by itself."""

    input: Sizes


class Shared(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A layer used again: all it says is where."""

    shares: Annotated[str, Meta(description="the name of the layer whose parameters are used again")]
    name: Name = None
    input: MaybeSizes = None
    from_: From = msgspec.field(name="from", default=None)
    expect: Expected = None
    budget: Budgeted = None


class Block(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Layers that belong together, once or several times one after the other.

    Inside, `input` is what reaches the block; from outside, the block's name is its last layer.
    """

    layers: Annotated[tuple[Any, ...], Meta(min_length=1, description="a list of layers")]
    name: Name = None
    repeat: Annotated[Count, Meta(le=100_000, description="a whole number from 1 to 100,000")] = 1
    from_: Annotated[str | None, Meta(description="the name of the layer whose output the block takes")] = (
        msgspec.field(name="from", default=None)
    )
