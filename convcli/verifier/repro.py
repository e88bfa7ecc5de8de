"""One command line that repeats one layer's verification."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from convcli.axis import AUTO_PADDING, Axis
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
    Shape,
    is_convolution,
)
from convcli.plan import Step, plan
from convcli.spec import companion_spelling
from convcli.spec.build import spelled_network
from convcli.spec.forms import form

if TYPE_CHECKING:
    from convcli.backends.target import Target


def command(
    step: Step, source: str, *, seed: int, dtype: str = "", also: tuple[str, ...] = (), own: tuple[Target, ...] = ()
) -> str:
    """`convcli verify FILE --only NAME` for a layer of a file, else its spelling; with seed and the dtype at fault.

    also: the flags of further checks and of the other side. own: functions of the user's; one that has no place makes
    it a call from Python.
    """
    if source and step.line is not None and Path(source).is_file():
        words = [source, "--only", step.name]
    else:
        words = spelled(step)
    words += ["--seed", str(seed)]
    if dtype:
        words += ["--dtype", dtype]
    if any(target.pickled for target in own):  # there is no place that a command line could name
        places = {target.role: target.place if target.pickled else repr(target.place) for target in own}
        shape = (*step.batch, *step.x)
        options = f"seed={seed}" + (f", dtypes=({dtype!r},)" if dtype else "")
        options += f", arrays={own[0].arrays!r}" if own[0].arrays != "numpy" else ""
        options += f", backward={places['backward']}" if "backward" in places else ""
        options += ", grad=True" if "autograd" in places else ""
        return f"convcli.verify_kernel({places.get('forward')}, {words[0]!r}, {shape}, {options})"
    return shlex.join(["convcli", "verify", *words, *also])


def spelled(step: Step) -> list[str]:
    """The words that make this layer on this input. A join's inputs are constants that it names."""
    if not is_convolution(step.layer):
        return _companion(step)
    if isinstance(step.layer, Conv) and _crops(step.layer):
        return [descriptor(step)]
    return [spelling(step), "-i", ",".join(map(str, (*step.batch, *step.x)))]


def _companion(step: Step) -> list[str]:
    text = companion_spelling.spelled(step.type, step.layer)
    shapes = [(*step.batch, *step.x), *step.layer.side_inputs(step.x).values()]
    if step.layer.arity == (1, 1) or len(shapes) == 1:
        return [text, "-i", ",".join(map(str, shapes[0]))] if step.layer.arity[1] else [text]
    names = [f"x{place}" for place in range(1, len(shapes) + 1)]
    constants = [f"Constant({list(shape)}, name={name!r})" for name, shape in zip(names, shapes, strict=True)]
    separator = "" if text.endswith("()") else ", "
    return [*constants, f"{text[:-1]}{separator}name='y', from_={names})", "--only", "y"]


def respelled(step: Step) -> bool:
    """Whether its words are read back as this layer on this input: a layer that crops may have none."""
    try:
        text, *_ = spelled(step)
        (again,) = plan(msgspec.structs.replace(spelled_network([text]), input=(*step.batch, *step.x))).steps
    except SpecError:
        return False
    return (again.layer, again.batch, again.x) == (step.layer, step.batch, step.x)


def spelling(step: Step) -> str:
    """The settled layer in PyTorch's spelling, with our own fields by name: Conv2d(3, 64, 7, stride=2, padding=3)."""
    layer = step.layer
    if isinstance(layer, DeformRoIPool | DeformRoIPoolPack):
        return _on_regions(layer)
    fields: dict[str, Any] = {
        "stride": _plain(axis.stride for axis in layer.axes),
        "padding": _padding(layer, step.x[1:]),
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
    return f"{type_of(layer)}({', '.join(said)})"


def _on_regions(layer: DeformRoIPool | DeformRoIPoolPack) -> str:
    """DeformRoIPool(7, spatial_scale=0.25, num_rois=3): what is not as `form` has it."""
    said = [repr(_plain(layer.output_size))]
    for field in msgspec.structs.fields(form(type_of(layer)).fields):
        value = getattr(layer, field.name, field.default)
        if field.name != "output_size" and value != field.default:
            said.append(f"{field.name}={value!r}")
    return f"{type_of(layer)}({', '.join(said)})"


def type_of(layer: Layer) -> str:
    """Its proper name: Conv2d."""
    names = {
        "conv": "Conv{}d",
        "conv_transpose": "ConvTranspose{}d",
        "separable": "SeparableConv{}d",
        "deform_conv": "DeformConv{}d",
        "deform_conv_pack": "DeformConv{}dPack",
        "deform_roi_pool": "DeformRoIPool",
        "deform_roi_pool_pack": "DeformRoIPoolPack",
    }
    return names[layer.kind].format(len(layer.axes))


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


def descriptor(step: Step) -> str:
    """A convolution that crops, as benchdnn says it: only there may a padding be negative."""
    layer = step.layer
    groups = getattr(layer, "groups", 1)
    text = f"mb{step.images}_g{groups}ic{step.x[0]}oc{step.y[0]}"
    for letter, axis, size, out in zip("dhw"[-len(layer.axes) :], layer.axes, step.x[1:], step.y[1:], strict=True):
        numbers = {"i": size, "o": out, "k": axis.kernel, "s": axis.stride, "p": axis.before, "d": axis.dilation - 1}
        text += "_" + "".join(f"{name}{letter}{number}" for name, number in numbers.items())
    return text


def _crops(layer: Layer) -> bool:
    return any(min(axis.before, axis.after) < 0 for axis in layer.axes)


def _padding(layer: Layer, space: Shape) -> Any:
    words = {axis.auto for axis in layer.axes} - {""}
    if words:  # a composite's parts settle themselves
        return words.pop()
    if _crops(layer):  # what ONNX's rules do to a transposed layer; a smaller relative of it may have no word
        return next((word for word in AUTO_PADDING if _automatic(layer, space, word) == layer.axes), None)
    if all(axis.before == axis.after for axis in layer.axes):
        return _plain(axis.before for axis in layer.axes)
    return tuple((axis.before, axis.after) for axis in layer.axes)


def _automatic(layer: Layer, space: Shape, word: str) -> tuple[Axis, ...]:
    waiting = (msgspec.structs.replace(axis, before=0, after=0, auto=word) for axis in layer.axes)
    return tuple(axis.transposed_settled(size) for axis, size in zip(waiting, space, strict=True))


def _plain(values: Any) -> Any:
    found = tuple(values)
    return found[0] if len(set(found)) == 1 else found
