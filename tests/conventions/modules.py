"""A planned network as a torch model of PyTorch's own modules: what the other calculators are asked about."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as all of PyTorch's users write it
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from convcli.backends.torch_companions import MAKE, made
from convcli.layers import Layer, Shape
from convcli.plan import Plan

GEOMETRY = ("kernel", "stride", "dilation")


class Model(nn.Module):  # type: ignore[misc]
    """The steps of a plan one after the other, joins and shared layers included; a tensor of the input's shape in."""

    def __init__(self, planned: Plan):
        super().__init__()
        self.planned = planned
        for index, (step, entry) in enumerate(zip(planned.steps, planned.network.entries, strict=True)):
            if step.shares:
                continue
            if step.layer.kind == "parameter":
                self.register_parameter(f"p{index}", nn.Parameter(torch.zeros(step.layer.output(()))))
            elif isinstance(run := module(step.layer, step.x, step.batch, entry.padding), nn.Module):
                self.add_module(f"m{index}", run)

    def forward(self, x: Tensor) -> Tensor:
        """The last step's output."""
        given = {"input": x}
        owners: dict[str, int] = {}
        for index, (step, entry) in enumerate(zip(self.planned.steps, self.planned.network.entries, strict=True)):
            at = owners[step.shares] if step.shares else owners.setdefault(step.name, index)
            if step.layer.kind == "parameter":
                x = getattr(self, f"p{at}")
            else:
                run = getattr(self, f"m{at}", None) or module(step.layer, step.x, step.batch, entry.padding)
                x = called(run, step.layer, [x] if step.sources is None else [given[name] for name in step.sources])
            given[step.name] = x
        return x


def called(run: Any, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """y; attention as torchvision calls it."""
    if layer.kind == "attention":
        query, key, value = inputs * 3 if len(inputs) == 1 else inputs
        y: Tensor = run(query, key, value, need_weights=False)[0]
        return y
    if layer.kind == "embedding":
        inputs = [x.long() for x in inputs]
    if layer.kind == "arithmetic" and layer.function == "add":  # type: ignore[attr-defined]
        return sum(inputs[1:], inputs[0])
    if layer.kind == "rearrange":
        return inputs[0].reshape(-1)[: prod(layer.output(()))].reshape(layer.output(()))
    return run(*inputs)


def module(layer: Any, x: Shape, batch: Shape, padding: str = "") -> Any:
    """A layer as a module in memory, or a function where PyTorch has no module."""
    special = SPECIAL.get(layer.kind)
    if special is not None:
        return special(layer, x, batch, padding)
    if layer.kind not in MAKE:
        return None
    run = made(layer)
    return zeroed(run.to_empty(device="cpu")) if isinstance(run, nn.Module) else run


def zeroed(module: nn.Module) -> nn.Module:
    """All numbers 0: what memory happened to hold may predict offsets that are not numbers, and torchvision dies."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
    return module


def _separable(layer: Any, x: Shape, batch: Shape, padding: str) -> nn.Sequential:
    depthwise, pointwise = layer.parts(x)
    return nn.Sequential(convolution(depthwise.layer, padding), convolution(pointwise.layer))


def _attention(layer: Any, x: Shape, batch: Shape, padding: str) -> nn.MultiheadAttention:
    said = {name: getattr(layer, name) for name in ("bias", "kdim", "vdim", "batch_first")}
    return nn.MultiheadAttention(layer.embed_dim, layer.num_heads, **said)


def _per_axis(layer: Any) -> dict[str, tuple[int, ...]]:
    kernel, stride, dilation = (tuple(getattr(axis, name) for axis in layer.axes) for name in GEOMETRY)
    return {"kernel_size": kernel, "stride": stride, "dilation": dilation}


def convolution(layer: Any, word: str = "") -> nn.Module:
    """torch's convolution, the padding by its word, as numbers, or as a layer before it where the ends differ."""
    axes, rank = layer.axes, len(layer.axes)
    said = {**_per_axis(layer), "groups": layer.groups, "bias": layer.bias, "padding_mode": layer.padding_mode}
    conv = getattr(nn, f"Conv{rank}d")
    if word in {"same", "valid"}:
        return conv(layer.in_channels, layer.out_channels, padding=word, **said)
    if all(axis.before == axis.after and axis.before >= 0 for axis in axes):
        padding = tuple(axis.before for axis in axes)
        return conv(layer.in_channels, layer.out_channels, padding=padding, **said)
    ends = tuple(end for axis in reversed(axes) for end in (axis.before, axis.after))
    said["padding_mode"] = "zeros"
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return nn.Sequential(Padded(ends, mode), conv(layer.in_channels, layer.out_channels, padding=0, **said))


class Padded(nn.Module):  # type: ignore[misc]
    """F.pad as a module."""

    def __init__(self, ends: Shape, mode: str):
        super().__init__()
        self.ends, self.mode = ends, mode

    def forward(self, x: Tensor) -> Tensor:
        """Longer by `ends`."""
        return F.pad(x, self.ends, self.mode)


def transposed(layer: Any) -> nn.Module:
    """torch's transposed convolution; only what it takes itself: equal padding at both ends."""
    rank = len(layer.axes)
    return getattr(nn, f"ConvTranspose{rank}d")(
        layer.in_channels,
        layer.out_channels,
        padding=tuple(axis.before for axis in layer.axes),
        output_padding=tuple(axis.output_padding for axis in layer.axes),
        groups=layer.groups,
        bias=layer.bias,
        **_per_axis(layer),
    )


def _deform(layer: Any) -> DeformConv2d:
    padding = tuple(axis.before for axis in layer.axes)
    said = {**_per_axis(layer), "groups": layer.groups, "bias": layer.bias, "padding": padding}
    return DeformConv2d(layer.in_channels, layer.out_channels, **said)


class Offsets(nn.Module):  # type: ignore[misc]
    """A deformable convolution that holds its offsets and masks."""

    def __init__(self, layer: Any, x: Shape, batch: Shape):
        super().__init__()
        self.layer = _deform(layer)
        self.held = [torch.zeros(*batch, *shape) for shape in layer.side_inputs(x).values()]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, out_h, out_w)"""
        y: Tensor = self.layer(x, *self.held)
        return y


class Pack(nn.Module):  # type: ignore[misc]
    """A convolution that predicts offsets and masks, and the deformable one that takes them."""

    def __init__(self, layer: Any, x: Shape):
        super().__init__()
        predictor, deform = layer.parts(x)
        self.modulated = layer.modulated
        self.predictor, self.layer = convolution(predictor.layer), _deform(deform.layer)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, out_h, out_w)"""
        predicted = self.predictor(x)
        if not self.modulated:
            return self.layer(x, predicted)
        first, second, mask = predicted.chunk(3, dim=1)
        return self.layer(x, torch.cat((first, second), 1), mask.sigmoid())


def upsample(layer: Any) -> nn.Upsample:
    """Its scale as one number where the axes agree, as most people write it."""
    scale = layer.scale_factor
    if scale is not None and len(set(scale)) == 1:
        scale = scale[0]
    return nn.Upsample(layer.size, scale, mode=layer.mode, align_corners=layer.align_corners)


SPECIAL: dict[str, Callable[[Any, Shape, Shape, str], nn.Module]] = {
    "conv": lambda layer, x, batch, padding: convolution(layer, padding),
    "conv_transpose": lambda layer, x, batch, padding: transposed(layer),
    "deform_conv": lambda layer, x, batch, padding: Offsets(layer, x, batch),
    "deform_conv_pack": lambda layer, x, batch, padding: Pack(layer, x),
    "separable": _separable,
    "attention": _attention,
    "upsample": lambda layer, x, batch, padding: upsample(layer),
}
