"""Layers of a spec file as torch modules, and their counts proved by running them.

On all-ones input and weights in float64 every real product adds exactly 1, so the sum of the output *is* the count.
Nothing here comes from convcli: this is the side that convcli and the other calculators are measured against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torchvision.ops import DeformConv2d, deform_conv2d

Case = Mapping[str, Any]
CONVOLUTIONS: tuple[Callable[..., Tensor], ...] = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED: tuple[Callable[..., Tensor], ...] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


class FixedOffsets(nn.Module):  # type: ignore[misc]
    """A deformable convolution that holds its offsets (and mask): it takes one tensor, as every tool expects."""

    def __init__(self, layer: DeformConv2d, offset: Tensor, mask: Tensor | None):
        super().__init__()
        self.layer = layer
        self.register_buffer("offset", offset)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """X (N, C, H, W) -> (N, O, out_h, out_w)"""
        return self.layer(x, self.offset, self.mask)


class Pack(nn.Module):  # type: ignore[misc]
    """A deformable convolution with an ordinary one that predicts its offsets (`modulated`: and masks), as mmcv's."""

    def __init__(self, predictor: nn.Conv2d, layer: DeformConv2d, *, modulated: bool):
        super().__init__()
        self.predictor, self.layer, self.modulated = predictor, layer, modulated

    def forward(self, x: Tensor) -> Tensor:
        """X (N, C, H, W) -> (N, O, out_h, out_w)"""
        predicted = self.predictor(x)
        if not self.modulated:
            return self.layer(x, predicted)
        first, second, mask = predicted.chunk(3, dim=1)
        return self.layer(x, torch.cat((first, second), dim=1), mask.sigmoid())


def module(case: Case) -> nn.Module:
    """The layer as a torch module that takes one tensor of the case's `input` shape."""
    kind = case["type"]
    if kind.startswith("Separable"):
        return _separable(case)
    if kind.startswith("DeformConv2d"):
        return _deformable(case)
    extra = {name: case[name] for name in ("padding_mode", "output_padding") if name in case}
    return getattr(nn, kind)(
        *_channels(case), **_geometry(case), **extra, groups=case.get("groups", 1), bias=case.get("bias", True)
    )


def _channels(case: Case) -> tuple[int, int]:
    rank = int(case["type"].removesuffix("Pack")[-2])
    return case["input"][-rank - 1], case["out_channels"]


def _geometry(case: Case) -> dict[str, Any]:
    given = {
        name: case.get(name, default)
        for name, default in {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}.items()
    }
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _separable(case: Case) -> nn.Module:
    channels, out_channels = _channels(case)
    wide, bias = channels * case.get("depth_multiplier", 1), case.get("bias", True)
    conv = getattr(nn, case["type"].removeprefix("Separable"))
    depthwise = conv(channels, wide, **_geometry(case), groups=channels, bias=bias)
    return nn.Sequential(depthwise, conv(wide, out_channels, 1, bias=case.get("pointwise_bias", bias)))


def _deformable(case: Case) -> nn.Module:
    channels, out_channels = _channels(case)
    geometry, modulated = _geometry(case), case.get("modulated", False)
    layer = DeformConv2d(channels, out_channels, **geometry, groups=case.get("groups", 1), bias=case.get("bias", True))
    taps = case.get("offset_groups", 1) * prod(layer.kernel_size)
    predictor = nn.Conv2d(channels, (3 if modulated else 2) * taps, **geometry)
    if case["type"].endswith("Pack"):
        return Pack(predictor, layer, modulated=modulated)
    n, _, *positions = predictor(torch.zeros(case["input"])).shape
    return FixedOffsets(
        layer, torch.zeros(n, 2 * taps, *positions), torch.ones(n, taps, *positions) if modulated else None
    )


def proved(case: Case) -> dict[str, Any]:
    """output, params, and per convolution inside the layer (`parts`) its counts by execution, bias adds and samples."""
    model, parts = module(case), []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        parts.append(_counts(layer, inputs, y))

    for layer in model.modules():
        if hasattr(layer, "weight"):
            layer.register_forward_hook(note)
    y = model(torch.ones(case["input"]))
    return {"output": list(y.shape), "params": sum(p.numel() for p in model.parameters()), "parts": parts}


def _counts(layer: Any, inputs: tuple[Tensor, ...], y: Tensor) -> dict[str, int]:
    x = torch.ones(inputs[0].shape, dtype=torch.float64)
    w = torch.ones(layer.weight.shape, dtype=torch.float64)
    adds = 0 if layer.bias is None else y.numel()
    if getattr(layer, "transposed", False):
        return _transposed_counts(layer, x, w, y) | {"bias_adds": adds}
    counts = {"macs": _dense(w, x, y, layer.stride, layer.dilation, layer.groups), "bias_adds": adds}
    if isinstance(layer, DeformConv2d):
        return counts | _deformable_counts(layer, x, w, inputs)
    same = ("stride", "padding", "dilation", "groups", "padding_mode")
    rule = {name: getattr(layer, name) for name in same}
    plain = type(layer)(
        layer.in_channels, layer.out_channels, layer.kernel_size, **rule, bias=False, dtype=torch.float64
    )
    plain.weight.data.fill_(1)
    return counts | {"macs_nonpad": _total(plain(x))}


def _transposed_counts(layer: Any, x: Tensor, w: Tensor, y: Tensor) -> dict[str, int]:
    """scatter: the uncropped output; kept: the output as it is; zero-insert: a dense convolution with that output."""
    run = TRANSPOSED[w.dim() - 3]
    rule = {"stride": layer.stride, "groups": layer.groups, "dilation": layer.dilation}
    per_group = w.shape[0] // layer.groups
    turned = torch.ones(w.shape[1] * layer.groups, per_group, *w.shape[2:], dtype=torch.float64)
    return {
        "macs": _total(run(x, w, **rule)),
        "macs_kept": _total(run(x, w, **rule, padding=layer.padding, output_padding=layer.output_padding)),
        "macs_zero_insert": _dense(turned, x, y, (1,) * (w.dim() - 2), layer.dilation, layer.groups),
    }


def _dense(w: Tensor, x: Tensor, y: Tensor, stride: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> int:
    """Products of a convolution with the output y, padding included: its input is ones, just as large as y needs."""
    rank = w.dim() - 2
    sizes = [
        (o - 1) * s + d * (k - 1) + 1 for o, s, d, k in zip(y.shape[-rank:], stride, dilation, w.shape[2:], strict=True)
    ]
    padded = torch.ones(*x.shape[: -rank - 1], w.shape[1] * groups, *sizes, dtype=torch.float64)
    return _total(CONVOLUTIONS[rank - 1](padded, w, stride=stride, dilation=dilation, groups=groups))


def _deformable_counts(layer: Any, x: Tensor, w: Tensor, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """Products at zero offsets; a sample is an (n, input channel, tap, position), a coordinate one per offset group."""
    offset, *masks = (torch.zeros_like(t, dtype=torch.float64) for t in inputs[1:] if t is not None)
    y = deform_conv2d(x, offset, w, None, layer.stride, layer.padding, layer.dilation)
    taps, positions = prod(layer.kernel_size), prod(offset.shape[2:])
    samples, coordinates = x.shape[0] * x.shape[1] * taps * positions, offset.numel() // 2
    return {
        "macs_nonpad": _total(y),
        "interpolation_macs": 4 * samples,
        "modulation_macs": samples if masks else 0,
        "coordinate_flops": 10 * coordinates,
        "tap_positions": x.shape[0] * taps * positions,
    }


def _total(y: Tensor) -> int:
    return int(y.sum().item())
