"""One command line that repeats one layer's verification."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from convcli.layers import Conv, ConvTranspose, DeformConv, DeformConvPack, Layer, Separable
from convcli.plan import Step


def command(step: Step, source: str, *, seed: int, dtype: str = "") -> str:
    """`convcli verify FILE --only NAME` for a layer of a file, else its spelling; with seed and the dtype at fault."""
    if source and step.line is not None and Path(source).is_file():
        words = [source, "--only", step.name]
    else:
        words = [spelling(step), "-i", ",".join(map(str, (*step.batch, *step.x)))]
    words += ["--seed", str(seed)]
    if dtype:
        words += ["--dtype", dtype]
    return shlex.join(["convcli", "verify", *words])


def spelling(step: Step) -> str:
    """The settled layer in PyTorch's spelling, with our own fields by name: Conv2d(3, 64, 7, stride=2, padding=3)."""
    layer, rank = step.layer, len(step.layer.axes)
    fields: dict[str, Any] = {
        "stride": _plain(axis.stride for axis in layer.axes),
        "padding": _padding(layer),
        "dilation": _plain(axis.dilation for axis in layer.axes),
        **_own(layer),
    }
    defaults = {
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "output_padding": 0,
        "groups": 1,
        "bias": True,
        "padding_mode": "zeros",
    }
    defaults |= {"depth_multiplier": 1, "pointwise_bias": None, "offset_groups": 1, "modulated": False}
    said = [repr(value) for value in (step.x[0], _out_channels(layer), _plain(axis.kernel for axis in layer.axes))]
    said += [f"{name}={value!r}" for name, value in fields.items() if value != defaults[name]]
    return f"{_type(layer, rank)}({', '.join(said)})"


def _type(layer: Layer, rank: int) -> str:
    names = {
        "conv": "Conv{}d",
        "conv_transpose": "ConvTranspose{}d",
        "separable": "SeparableConv{}d",
        "deform_conv": "DeformConv{}d",
        "deform_conv_pack": "DeformConv{}dPack",
    }
    return names[layer.kind].format(rank)


def _out_channels(layer: Layer) -> int:
    count: int = getattr(layer, "out_channels", None) or 0
    return count


def _own(layer: Layer) -> dict[str, Any]:
    """The fields that not every kind has."""
    fields: dict[str, Any] = {}
    if isinstance(layer, Conv | ConvTranspose | DeformConvPack):
        fields["groups"] = layer.groups
    if isinstance(layer, ConvTranspose):
        fields["output_padding"] = _plain(axis.output_padding for axis in layer.axes)
    if isinstance(layer, Separable):
        fields["depth_multiplier"], fields["pointwise_bias"] = layer.depth_multiplier, layer.pointwise_bias
    if isinstance(layer, DeformConv | DeformConvPack):
        fields["offset_groups"], fields["modulated"] = layer.offset_groups, layer.modulated
    elif isinstance(layer, Conv):
        fields["padding_mode"] = layer.padding_mode
    if isinstance(layer, Conv | ConvTranspose | Separable | DeformConvPack):
        fields["bias"] = layer.bias
    return fields


def _padding(layer: Layer) -> Any:
    words = {axis.auto for axis in layer.axes} - {""}
    if words:  # a composite's parts settle themselves
        return words.pop()
    if all(axis.before == axis.after for axis in layer.axes):
        return _plain(axis.before for axis in layer.axes)
    return tuple((axis.before, axis.after) for axis in layer.axes)


def _plain(values: Any) -> Any:
    found = tuple(values)
    return found[0] if len(set(found)) == 1 else found
