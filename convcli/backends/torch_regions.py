"""RoI pooling in PyTorch: torchvision's RoIAlign where there is no offset to follow, else a gather with autograd.

mmcv's own layers run on CUDA alone. What is written here gathers four cells for each sample, box by box, and leaves
every gradient to autograd; boxes whose bins all move alike are torchvision's again, moved by as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - as all of PyTorch's users write it
from torch import Tensor, nn

from convcli.layers import DeformRoIPool, DeformRoIPoolPack, FullyConnected, Shape

if TYPE_CHECKING:
    from collections.abc import Callable


def pool_module(layer: DeformRoIPool, x: Shape) -> nn.Module:
    """It owns nothing."""
    del layer, x
    return nn.Module()


def linear_module(layer: FullyConnected, x: Shape) -> nn.Module:
    """nn.Linear."""
    return nn.Linear(x[0], layer.out_channels or 0, device="meta")


def pack_module(layer: DeformRoIPoolPack, x: Shape) -> nn.Module:
    """mmcv's offset_fc, and mask_fc of a modulated one, with its ReLUs and its sigmoid."""
    branches: dict[str, list[nn.Module]] = {}
    for part in layer.parts(x):
        branch, dot, _ = part.name.partition(".")
        if dot:
            last = nn.Sigmoid() if branch == "mask_fc" else nn.Identity()
            linear = cast("FullyConnected", part.layer)
            branches.setdefault(branch, []).extend([linear_module(linear, part.x), nn.ReLU() if linear.relu else last])
    return nn.ModuleDict({name: nn.Sequential(*modules) for name, modules in branches.items()})


def run_linear(layer: FullyConnected, network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """Its module's y."""
    del layer
    return cast("Tensor", network(inputs["x"]))


def run_pool(vision: Callable[[], Any]) -> Callable[[DeformRoIPool, nn.Module, Mapping[str, Tensor]], Tensor]:
    """y, by torchvision as far as it goes."""

    def run(layer: DeformRoIPool, network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        del network
        return pooled(layer, inputs, vision)

    return run


def run_pack(vision: Callable[[], Any]) -> Callable[[DeformRoIPoolPack, nn.Module, Mapping[str, Tensor]], Tensor]:
    """As mmcv's forward."""

    def run(layer: DeformRoIPoolPack, network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        first, *_, last = (part.layer for part in layer.parts(tuple(inputs["x"].shape)))
        bins = pooled(cast("DeformRoIPool", first), inputs, vision)
        flat, size = bins.reshape(len(bins), prod(bins.shape[1:])), layer.output_size
        side = {"offset": network.get_submodule("offset_fc")(flat).reshape(len(bins), 2, *size)}
        if layer.modulated:
            side["mask"] = network.get_submodule("mask_fc")(flat).reshape(len(bins), 1, *size)
        return pooled(cast("DeformRoIPool", last), {**inputs, **side}, vision)

    return run


def pooled(layer: DeformRoIPool, inputs: Mapping[str, Tensor], vision: Callable[[], Any]) -> Tensor:
    """y of one pool; on the meta device, where nobody can follow an offset, RoIAlign says the shape."""
    x, rois, offset = inputs["x"], inputs["rois"], inputs.get("offset")
    y: Tensor
    if offset is None or x.is_meta:
        y = aligned(layer, x, rois, vision)
    elif not torch.is_grad_enabled() and len(rois) and _alike(offset):
        y = aligned(layer, x, _moved(layer, rois, offset[..., 0, 0]), vision)
    else:
        y = (
            torch.stack([_one(layer, x, box, move) for box, move in zip(rois, offset, strict=True)])
            if len(rois)
            else (x.new_zeros((0, x.shape[1], *layer.output_size)) + 0 * (x.sum() + offset.sum()))
        )
    return y * inputs["mask"] if "mask" in inputs else y


def aligned(layer: DeformRoIPool, x: Tensor, rois: Tensor, vision: Callable[[], Any]) -> Tensor:
    """torchvision's RoIAlign."""
    ratio = layer.sampling_ratio or -1
    return cast("Tensor", vision().roi_align(x, rois, layer.output_size, layer.spatial_scale, ratio, aligned=True))


def _alike(offset: Tensor) -> bool:
    return bool((offset == offset[..., :1, :1]).all())


def _moved(layer: DeformRoIPool, rois: Tensor, offset: Tensor) -> Tensor:
    """The boxes whose bins all move by `offset` (R, 2): that times gamma and the size, which the scale takes out."""
    move = layer.gamma * (rois[:, 3:] - rois[:, 1:3]) * offset
    return rois + F.pad(torch.cat((move, move), 1), (1, 0))


def _one(layer: DeformRoIPool, x: Tensor, box: Tensor, offset: Tensor) -> Tensor:
    """(C, rows, columns): the bins of one box, their samples gathered together."""
    corners = box[1:] * layer.spatial_scale - 0.5
    lengths, image = corners[2:] - corners[:2], x[int(box[0])]
    found = []  # right, then down, as boxes and offsets have them
    for way, bins in enumerate(reversed(layer.output_size)):
        step = lengths[way] / bins
        count = layer.sampling_ratio or max(0, int(torch.ceil(step)))
        place = torch.arange(bins, dtype=box.dtype)
        sample = (torch.arange(count, dtype=box.dtype) + 0.5) * step / max(count, 1)
        start = corners[way] + layer.gamma * lengths[way] * offset[way]
        along = start + (place * step if way == 0 else (place * step)[:, None])
        found.append(along[..., None] + sample)
    right, down = found[0][..., None, :], found[1][..., None]
    count = max(1, right.shape[-1] * down.shape[-2])
    return _sampled(image, down, right).sum(dim=(-2, -1)) / count


def _sampled(image: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """(C, *points): image (C, H, W) between its cells, the four around each point gathered."""
    height, width = image.shape[1:]
    inside = (down >= -1) & (down <= height) & (right >= -1) & (right <= width)
    (top, bottom, below), (left, end, beyond) = _around(down, height), _around(right, width)
    flat = image.flatten(1)

    def cells(row: Tensor, column: Tensor) -> Tensor:
        return flat[:, row * width + column]

    upper = cells(top, left) * (1 - beyond) + cells(top, end) * beyond
    lower = cells(bottom, left) * (1 - beyond) + cells(bottom, end) * beyond
    return (upper * (1 - below) + lower * below) * inside


def _around(there: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """(the cell before, the cell after, how far between them) along one axis; at the edge one cell, and no way on."""
    free = (there >= 0) & (there < size - 1)
    edge = torch.where(there >= size - 1, size - 1.0, 0.0).to(there.dtype)
    low = torch.where(free, torch.floor(there), edge).detach()
    share = torch.where(free, there - low, torch.zeros_like(there))
    first = low.long()
    return first, torch.where(free, first + 1, first), share
