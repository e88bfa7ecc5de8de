"""A planned network as torch computes it, its weights positive: which input cells an output cell's gradient hits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name

from convcli.axis import Axis
from convcli.layers import Conv, ConvTranspose, Separable
from convcli.layers.joins import Arithmetic, Concat
from convcli.layers.linear import Linear
from convcli.layers.pool import AdaptivePool, Pool
from convcli.layers.rearrange import Flatten, Pad, Permute, PixelShuffle, Reduce, Reshape, Upsample
from convcli.plan import Plan, Step

Tensor = Any
MODES = {"zeros": "constant"}


Cell = tuple[int, ...]


def footprints(planned: Plan, cells: list[Cell]) -> list[set[Cell]]:
    """For each cell of the last layer's output: the cells of the network's input, by spatial indices, it depends on."""
    generator = torch.Generator().manual_seed(0)

    def positive(*shape: int) -> Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=generator) + 0.5

    x = positive(*(planned.network.input or ())).requires_grad_()
    made: dict[str, Tensor] = {"input": x}
    before = x
    for entry, step in zip(planned.network.entries, planned.steps, strict=True):
        inputs = [before] if entry.sources is None else [made[name] for name in entry.sources]
        before = made[step.name] = computed(step, inputs, positive)
        assert tuple(before.shape) == step.shown(step.y), step
    found = []
    for cell in cells:
        (grad,) = torch.autograd.grad(before[(..., *cell)].sum(), x, retain_graph=True, allow_unused=False)
        there = grad.abs().sum(dim=(0, 1))
        found.append({tuple(place) for place in torch.nonzero(there > 1e-13 * there.max()).tolist()})
    return found


def computed(step: Step, inputs: list[Tensor], positive: Any) -> Tensor:  # noqa: C901, PLR0911, PLR0912 - one per kind
    """The output of one step. Max pools are sums: any of their cells can be the largest."""
    x, layer = inputs[0], step.layer
    match layer:
        case Separable():
            for part in layer.parts(step.x):
                assert isinstance(part.layer, Conv)
                x = conv(x, part.layer, positive)
            return x
        case Conv():
            return conv(x, layer, positive)
        case ConvTranspose():
            return transposed(x, layer, step.y[1:], positive)
        case Pool():
            ones = torch.ones(x.shape[1], 1, *(axis.kernel for axis in layer.axes), dtype=torch.float64)
            wide = [(axis.before, axis.before + axis.kernel * axis.dilation + axis.stride) for axis in layer.axes]
            y = slide(F.pad(x, flat(wide)), ones, layer.axes, x.shape[1])
            return y[(..., *(slice(0, size) for size in step.y[1:]))] + 1
        case AdaptivePool():
            return getattr(F, f"adaptive_avg_pool{layer.rank}d")(x, step.y[1:])
        case Upsample():
            given = {"size": layer.size} if layer.size else {"scale_factor": layer.scale_factor}
            return F.interpolate(x, mode=layer.mode, align_corners=layer.align_corners, **given)
        case Pad():
            return F.pad(x, layer.padding) + 1
        case PixelShuffle():
            return F.pixel_shuffle(x, layer.upscale_factor)
        case Arithmetic():  # a product depends on what the sum depends on, and does not drown small gradients
            return sum(inputs[1:], x)
        case Concat():
            return torch.cat(inputs, dim=layer.dim)
        case Flatten() | Reshape():
            return x.reshape(step.shown(step.y))
        case Permute():
            return x.permute(layer.dims)
        case Reduce():
            return x.mean(dim=layer.dims, keepdim=layer.keepdim)
        case Linear():
            return x @ positive(x.shape[-1], layer.out_features)
        case _:
            assert layer.kind in {"elementwise", "batch_norm"}, layer
            return x


def conv(x: Tensor, layer: Conv, positive: Any) -> Tensor:
    """A convolution, padded by its mode."""
    pads = flat([(axis.before, axis.after) for axis in layer.axes])
    padded = F.pad(x, pads, mode=MODES.get(layer.padding_mode, layer.padding_mode))
    groups = layer.groups or 1
    weight = positive(layer.out_channels or 0, x.shape[1] // groups, *(axis.kernel for axis in layer.axes))
    return slide(padded, weight, layer.axes, groups) + 1  # a bias: a product with what sees only padding is not 0


def slide(x: Tensor, weight: Tensor, axes: tuple[Axis, ...], groups: int) -> Tensor:
    """A convolution of what is padded already."""
    stride, dilation = tuple(axis.stride for axis in axes), tuple(axis.dilation for axis in axes)
    return getattr(F, f"conv{len(axes)}d")(x, weight, stride=stride, dilation=dilation, groups=groups)


def transposed(x: Tensor, layer: ConvTranspose, out: tuple[int, ...], positive: Any) -> Tensor:
    """The full transposed product, cropped or extended to its place."""
    axes = layer.axes
    weight = positive(x.shape[1], layer.out_channels // layer.groups, *(axis.kernel for axis in axes))
    stride, dilation = tuple(axis.stride for axis in axes), tuple(axis.dilation for axis in axes)
    whole = getattr(F, f"conv_transpose{len(axes)}d")(x, weight, stride=stride, dilation=dilation, groups=layer.groups)
    ends = zip(axes, out, whole.shape[2:], strict=True)
    return F.pad(whole, flat([(-axis.before, size + axis.before - full) for axis, size, full in ends])) + 1


def flat(pairs: list[tuple[int, int]]) -> list[int]:
    """Pairs per axis in the order of F.pad: the last axis first."""
    return [number for pair in reversed(pairs) for number in pair]
