"""The layers just beyond what is legal: a small relative of a layer with one of its numbers or sizes moved.

What is legal depends on how the numbers relate, not on how large they are: the relative keeps kernel, stride, padding,
dilation and mode, and has few groups, channels and cells, so that real kernels answer in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import msgspec

from convcli.axis import Axis
from convcli.layers import ConvTranspose, DeformConv, Layer, Shape
from convcli.spec.build import entry

Fields = dict[str, Any]
MOST_GROUPS, PER_GROUP = 3, 2
OUTPUTS = 2  # cells of the relative's output along each axis, at least


class Neighbour(msgspec.Struct, frozen=True):
    """A layer in torch.nn's own words and the shapes of its inputs by name. moved: what is beyond the relative.

    unseen: "layer" when an input beside x moved, "kernel" when a number moved that kernels read off the shapes.
    """

    moved: str
    type: str
    fields: Fields
    shapes: dict[str, Shape]
    unseen: str = ""


def answer(ask: Callable[[], Shape]) -> Shape | str:
    """The shape, or in one line why there is none."""
    try:
        return tuple(ask())
    except (RuntimeError, ValueError, TypeError, ArithmeticError, IndexError) as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]


def said(asked: Neighbour) -> Shape:
    """What the layer itself says, without computing anything. Raises SpecError where it is illegal."""
    layer = entry({"type": asked.type, **asked.fields}, 1).made(len(asked.fields["stride"]))
    return layer.output_shape(asked.shapes["x"])


def neighbours(layer: Layer, x: Shape) -> Iterator[Neighbour]:
    """The relative itself, then its neighbours, for a settled layer without parts; most of them are illegal.

    Left out is what torch has no one answer to: a dilation of 0 or an output without cells in transposed layers,
    negative padding off the zero mode; and what ends torchvision's process: a stride of 0.
    """
    own = _relative(layer, x)
    yield own
    for moved, fields in _moved_fields(layer, own):
        unseen = "kernel" if isinstance(layer, DeformConv) and "groups" in fields else ""
        yield msgspec.structs.replace(own, moved=moved, fields={**own.fields, **fields}, unseen=unseen)
    for moved, shapes in _moved_shapes(layer, own):
        unseen = "" if "x" in shapes else "layer"
        yield msgspec.structs.replace(own, moved=moved, shapes={**own.shapes, **shapes}, unseen=unseen)


def _relative(layer: Layer, x: Shape) -> Neighbour:
    """The layer itself with as few groups, channels and cells as keep its character."""
    fields: Fields = {name: [getattr(axis, name) for axis in layer.axes] for name in ("stride", "dilation")}
    fields["kernel_size"] = [axis.kernel for axis in layer.axes]
    fields["padding"] = [max(0, min(axis.before, axis.after)) for axis in layer.axes]
    groups: int = getattr(layer, "groups", 1) or 1
    few = min(groups, MOST_GROUPS)
    mode = getattr(layer, "padding_mode", "zeros")
    inputs, outputs = (min(count // groups, PER_GROUP) * few for count in (x[0], layer.output(x)[0]))
    offset_groups: int = getattr(layer, "offset_groups", 1)
    if isinstance(layer, DeformConv):
        inputs *= min(offset_groups, MOST_GROUPS)
    space = [_size(axis, padding, mode) for axis, padding in zip(layer.axes, fields["padding"], strict=True)]
    fields |= {"in_channels": inputs, "out_channels": outputs, "groups": few}
    shapes = {"x": (1, inputs, *space)}
    if isinstance(layer, ConvTranspose):
        fields["output_padding"] = [axis.output_padding for axis in layer.axes]
    elif isinstance(layer, DeformConv):
        shapes |= _side(layer, fields, space)
    else:
        fields["padding_mode"] = mode
    type_ = {"conv": "Conv{}d", "conv_transpose": "ConvTranspose{}d"}.get(layer.kind, "DeformConv{}d")
    return Neighbour("nothing", type_.format(len(layer.axes)), fields, shapes)


def _size(axis: Axis, padding: int, mode: str) -> int:
    """The smallest size from which a convolution makes OUTPUTS cells, and a transposed one some as well."""
    fit = axis.span + (OUTPUTS - 1) * axis.stride - 2 * padding
    least = {"reflect": padding + 1, "circular": padding}.get(mode, 1)
    cropped = -((axis.span - 2 * padding) // axis.stride) + OUTPUTS  # (size - 1) * stride + span - 2 * padding > 0
    return max(fit, least, cropped, 1)


def _side(layer: DeformConv, fields: Fields, space: list[int]) -> dict[str, Shape]:
    """offset and mask for the relative's output."""
    columns = zip(space, *(fields[name] for name in ("padding", "dilation", "kernel_size", "stride")), strict=True)
    out = [(size + 2 * p - d * (k - 1) - 1) // s + 1 for size, p, d, k, s in columns]
    points = min(layer.offset_groups, MOST_GROUPS) * prod(fields["kernel_size"])
    shapes: dict[str, Shape] = {"offset": (1, 2 * points, *out)}
    return {**shapes, "mask": (1, points, *out)} if layer.modulated else shapes


def _moved_fields(layer: Layer, own: Neighbour) -> Iterator[tuple[str, Fields]]:
    """(what moved, the fields that differ)"""
    fields = own.fields
    numbers = {"kernel_size": (0, -1), "stride": (0, -1), "dilation": (0, -1), "padding": (-1,)}
    if isinstance(layer, ConvTranspose):
        numbers["dilation"] = (-1,)
        numbers["output_padding"] = (-1,)
    elif isinstance(layer, DeformConv):
        numbers["stride"] = (-1,)
    elif fields["padding_mode"] != "zeros":
        numbers["padding"] = ()
    for name, values in numbers.items():
        for value in values:
            for place in range(len(layer.axes)):
                yield _on_axis(fields, name, place, value)
    yield from _beyond(layer, own)
    groups = fields["groups"]
    other = next(count for count in range(2, 9) if fields["in_channels"] % count or fields["out_channels"] % count)
    for value in (0, -1, other):
        yield f"groups={value}", {"groups": value}
    yield "out_channels=-1", {"out_channels": -1}
    if groups > 1:
        value = fields["out_channels"] + 1
        yield f"out_channels={value} in {groups} groups", {"out_channels": value}
    if not isinstance(layer, DeformConv):  # torchvision reads them off the weight
        value = fields["in_channels"] + groups
        yield f"in_channels={value} where the input has {fields['in_channels']}", {"in_channels": value}


def _beyond(layer: Layer, own: Neighbour) -> Iterator[tuple[str, Fields]]:
    """The largest number that is legal along each axis, and the one after it."""
    fields = own.fields
    for place, (axis, size) in enumerate(zip(layer.axes, own.shapes["x"][2:], strict=True)):
        padding = fields["padding"][place]
        if isinstance(layer, ConvTranspose):
            for value in (max(axis.stride, axis.dilation) - 1, max(axis.stride, axis.dilation)):
                yield _on_axis(fields, "output_padding", place, value)
            continue
        if layer.kind == "conv" and fields["padding_mode"] in {"reflect", "circular"}:
            most = size - 1 if fields["padding_mode"] == "reflect" else size
            for value in (most, most + 1):
                yield _on_axis(fields, "padding", place, value)
        largest = (size + 2 * padding - 1) // axis.dilation + 1
        yield _on_axis(fields, "kernel_size", place, largest + 1)
        if layer.kind == "conv":
            yield _on_axis(fields, "kernel_size", place, largest)
    if isinstance(layer, ConvTranspose):
        yield "padding_mode='reflect'", {"padding_mode": "reflect"}
    elif layer.kind == "conv":
        yield "padding='same' with a stride of 2", {"padding": "same", "stride": [2] * len(layer.axes)}
        yield "padding='full'", {"padding": "full"}
        yield "padding_mode='wrap'", {"padding_mode": "wrap"}


def _moved_shapes(layer: Layer, own: Neighbour) -> Iterator[tuple[str, dict[str, Shape]]]:
    """(what moved, the shapes that differ)"""
    x, groups = own.shapes["x"], own.fields["groups"]
    if not isinstance(layer, DeformConv):  # torchvision would take more channels for more groups
        yield f"an input of {x[1] + groups} channels", {"x": (1, x[1] + groups, *x[2:])}
        yield "an input with one axis less than (C, *space)", {"x": x[2:]}
    yield "an input with one axis more than (N, C, *space)", {"x": (1, *x)}
    if layer.kind == "conv":
        for place, axis in enumerate(layer.axes):
            fit = axis.span - 2 * own.fields["padding"][place]
            for size in (fit, fit - 1):
                if size >= 1:
                    yield f"an input of {size} cells on axis {place}", {"x": _changed(x, 2 + place, size)}
    for name in ("offset", "mask"):
        if name in own.shapes:
            shape = own.shapes[name]
            for place in range(1, len(shape)):
                larger = _changed(shape, place, shape[place] + 1)
                yield f"{name} of shape {larger}, not {shape}", {name: larger}


def _on_axis(fields: Fields, name: str, place: int, value: int) -> tuple[str, Fields]:
    changed = [value if i == place else number for i, number in enumerate(fields[name])]
    return f"{name}={tuple(changed)}", {name: changed}


def _changed(shape: Shape, place: int, size: int) -> Shape:
    return (*shape[:place], size, *shape[place + 1 :])
