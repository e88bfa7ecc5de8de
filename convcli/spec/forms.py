"""The layer types by all their names: their fields, the order in which PyTorch takes them, the layer they make."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from convcli.axis import Axis, Padding, axes, per_axis
from convcli.errors import SpecError
from convcli.layers import (
    Conv,
    ConvTranspose,
    DeformConv,
    DeformConvPack,
    DeformRoIPool,
    DeformRoIPoolPack,
    Layer,
    Separable,
)
from convcli.spec import fields as f
from convcli.spec.form import FieldsType, Form, key

COMMON_ORDER = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
CONV_ORDER = (*COMMON_ORDER, "dilation", "groups", "bias", "padding_mode")
TRANSPOSED_ORDER = (*COMMON_ORDER, "output_padding", "groups", "bias", "dilation", "padding_mode")
DEFORM_ORDER = (*COMMON_ORDER, "dilation", "groups", "bias")
SCALES = ("spatial_scale", "sampling_ratio", "gamma")  # mmcv's order


def _axes(fields: Any, rank: int) -> tuple[Axis, ...]:  # any of the structs that have a kernel
    extra: int | tuple[int, ...] = 0
    if isinstance(fields, f.TransposedFields):
        extra = fields.output_padding
        if isinstance(fields.padding, str) and fields.padding.lower() == "same":
            raise SpecError(
                "padding='same' is not for transposed layers, as in PyTorch",
                field="padding",
                allowed="numbers, valid, same_upper, same_lower",
            )
    return _axes_of(fields.kernel_size, rank, fields.stride, fields.padding, fields.dilation, extra)


@lru_cache(4096)  # a spec of many layers has few different windows
def _axes_of(
    kernel: int | tuple[int, ...],
    rank: int,
    stride: int | tuple[int, ...],
    padding: Padding,
    dilation: int | tuple[int, ...],
    output_padding: int | tuple[int, ...],
) -> tuple[Axis, ...]:
    return axes(
        per_axis("kernel_size", kernel, rank, least=1),
        stride=stride,
        padding=padding,
        dilation=dilation,
        output_padding=output_padding,
    )


def _makes(layer: type[Layer], fields: FieldsType, **fixed: Any) -> Callable[[Any, int], Layer]:
    """The function from fields and a rank to a layer: what both name alike is handed over, `fixed` is as it says."""
    names = [name for name in layer.__struct_fields__ if name in fields.__struct_fields__ and name not in fixed]

    def make(said: Any, rank: int) -> Layer:
        return layer(axes=_axes(said, rank), **{name: getattr(said, name) for name in names}, **fixed)

    return make


def _on_rois(layer: type[Layer], fields: FieldsType) -> Callable[[Any, int], Layer]:
    """The function that makes a layer on regions, whose axes are those of its bins."""
    names = [name for name in layer.__struct_fields__ if name in fields.__struct_fields__ and name != "output_size"]

    def make(said: Any, rank: int) -> Layer:
        size = per_axis("output_size", said.output_size, rank, least=1)
        return layer(output_size=size, **{name: getattr(said, name) for name in names})  # type: ignore[call-arg]

    return make


def _ranked(type_: str, layer: type[Layer], fields: FieldsType, order: tuple[str, ...], **fixed: Any) -> list[Form]:
    """A type in 1-D, 2-D and 3-D, and without a rank."""
    make = _makes(layer, fields, **fixed)
    named = [Form(f"{type_}{rank}d", rank, fields, make, order) for rank in (1, 2, 3)]
    return [*named, Form(f"{type_}*d", None, fields, make, order)]


FORMS: tuple[Form, ...] = (
    *_ranked("Conv", Conv, f.ConvFields, CONV_ORDER),
    *_ranked("DepthwiseConv", Conv, f.DepthwiseFields, COMMON_ORDER, groups=None),
    *_ranked("PointwiseConv", Conv, f.PointwiseFields, CONV_ORDER),
    *_ranked("ConvTranspose", ConvTranspose, f.TransposedFields, TRANSPOSED_ORDER),
    *_ranked("SeparableConv", Separable, f.SeparableFields, COMMON_ORDER),
    Form("DeformConv2d", 2, f.DeformFields, _makes(DeformConv, f.DeformFields), DEFORM_ORDER),
    Form("DeformConv2dPack", 2, f.DeformFields, _makes(DeformConvPack, f.DeformFields), DEFORM_ORDER),
    Form(
        "DeformRoIPool",
        2,
        f.DeformRoIPoolFields,
        _on_rois(DeformRoIPool, f.DeformRoIPoolFields),
        ("output_size", *SCALES),
    ),
    Form(
        "DeformRoIPoolPack",
        2,
        f.DeformRoIPoolPackFields,
        _on_rois(DeformRoIPoolPack, f.DeformRoIPoolPackFields),
        ("output_size", "output_channels", "deform_fc_channels", *SCALES),
    ),
)
_MODULATED = {"modulated": True}
_EXTRA: dict[str, Form] = {
    "grouped": Form("Conv*d", None, f.GroupedFields, _makes(Conv, f.GroupedFields), CONV_ORDER),
    "dilated": Form("Conv*d", None, f.DilatedFields, _makes(Conv, f.DilatedFields), CONV_ORDER),
    **{
        f"Modulated{form.type}": msgspec.structs.replace(form, preset=_MODULATED)
        for form in FORMS
        if form.type.startswith("Deform")
    },
}
# Keras', TensorFlow's, mmcv's and the textbooks' words; {} is a rank, or nothing.
_ALIASES: dict[str, tuple[str, ...]] = {
    "Conv{}d": ("Conv{}", "Convolution{}d", "LazyConv{}d", "standard{}", "StandardConv{}d"),
    "DepthwiseConv{}d": ("DepthwiseConv{}", "depthwise{}", "DWConv{}d"),
    "PointwiseConv{}d": ("PointwiseConv{}", "pointwise{}"),
    "ConvTranspose{}d": ("ConvTranspose{}", "Conv{}dTranspose", "ConvTransposed{}d", "TransposedConv{}d", "Deconv{}d",
                         "Deconvolution{}d", "LazyConvTranspose{}d", "transposed{}", "deconv{}"),
    "SeparableConv{}d": ("SeparableConv{}", "DepthwiseSeparableConv{}d", "depthwise_separable{}", "separable{}",
                         "DepthwiseSeparableConvModule{}"),
}  # fmt: skip
_DEFORM_ALIASES: dict[str, tuple[str, ...]] = {
    "DeformConv2d": ("deformable", "DeformConv", "DeformableConv2d", "DCNv1"),
    "DeformConv2dPack": ("DeformConvPack", "DCN"),
    "ModulatedDeformConv2d": ("ModulatedDeformConv",),
    "ModulatedDeformConv2dPack": ("ModulatedDeformConvPack", "DCNv2"),
    "DeformRoIPool": ("DeformRoIPooling", "DeformableRoIPool", "DeformableRoIPooling"),
    "DeformRoIPoolPack": ("DeformRoIPoolingPack", "DeformableRoIPoolPack"),
    "ModulatedDeformRoIPoolPack": ("ModulatedDeformRoIPoolingPack",),
}


def _by_key() -> dict[str, Form]:
    table = {key(form.type.replace("*d", "")): form for form in FORMS} | {
        key(name): form for name, form in _EXTRA.items()
    }
    for pattern, aliases in _ALIASES.items():
        for rank in ("", "1", "2", "3"):
            form = table[key(pattern.format(rank) if rank else pattern.replace("{}d", ""))]
            table |= {key(alias.format(rank)): form for alias in aliases}
    for name, aliases in _DEFORM_ALIASES.items():
        table |= {key(alias): table[key(name)] for alias in aliases}
    return table


BY_KEY: dict[str, Form] = _by_key()
# Words of other libraries for our fields: the repair of an unknown field names ours.
SYNONYMS = {
    "filters": "out_channels",
    "channels": "out_channels",
    "kernel": "kernel_size",
    "strides": "stride",
    "pad": "padding",
    "pads": "padding",
    "dilations": "dilation",
    "dilation_rate": "dilation",
    "use_bias": "bias",
    "group": "groups",
    "deform_groups": "offset_groups",
    "out_size": "output_size",
    "pooled_size": "output_size",
    "rois": "num_rois",
    "scale": "spatial_scale",
    "fc_channels": "deform_fc_channels",
    "deformable_groups": "offset_groups",
    "input_shape": "input",
}


@lru_cache(256)
def form(type_: str) -> Form:
    """The form that `type_` names. Raises SpecError with the nearest known type."""
    found = BY_KEY.get(key(type_)) or every_form().get(key(type_))
    if found is not None:
        return found
    allowed = f"{', '.join(PROPER_TYPES)}; Linear, BatchNorm2d, MaxPool2d, ReLU, Add, Concat and PyTorch's others"
    raise SpecError(f"the type {type_!r} is not known", field="type", allowed=allowed, repair=_nearest_type(type_))


PROPER_TYPES = tuple(dict.fromkeys(form.type for form in FORMS if form.rank))


def every_form() -> dict[str, Form]:
    """Convolutions and the layers between them, by the keys of all their names."""
    from convcli.spec import companions  # a spec of convolutions alone does without

    return {**BY_KEY, **companions.BY_KEY}


def _nearest_type(type_: str) -> str:
    from difflib import get_close_matches  # a slow import that only errors need

    forms = every_form()
    near = get_close_matches(key(type_), forms, n=1, cutoff=0.5)
    return forms[near[0]].type.replace("*d", "") if near else ""


def nearest_field(name: str, known: tuple[str, ...]) -> str:
    """The field that was probably meant, or ""."""
    from difflib import get_close_matches  # a slow import that only errors need

    synonym = SYNONYMS.get(name.lower(), "")
    if synonym in known:
        return synonym
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return near[0] if near else ""
