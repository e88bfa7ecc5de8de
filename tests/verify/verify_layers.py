"""Small layers of every kind, planned without a spec file."""

from __future__ import annotations

from typing import Any

from convcli.axis import axes
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
)
from convcli.plan import Entry, Network, Plan, plan
from convcli.verifier.verdict import Check, LayerVerdict, Outcome

Named = tuple[Layer, Shape]


def _conv(kernel: tuple[int, ...], outs: int, **fields: Any) -> Conv:
    sliding = {name: fields.pop(name) for name in ("stride", "padding", "dilation") if name in fields}
    return Conv(axes=axes(kernel, **sliding), out_channels=outs, **fields)


SPACES = {1: (9,), 2: (9, 7), 3: (5, 6, 4)}
KERNELS = {1: (4,), 2: (3, 2), 3: (2, 3, 2)}
UNEVEN = {1: ((2, 1),), 2: ((2, 1), (0, 1)), 3: ((1, 0), (1, 1), (0, 1))}
OUTPUT_PADDING = {1: (1,), 2: (1, 0), 3: (0, 1, 0)}


def _of_rank(rank: int) -> list[Named]:
    kernel, space, uneven = KERNELS[rank], SPACES[rank], UNEVEN[rank]
    odd = axes(kernel, stride=2, padding=uneven, output_padding=OUTPUT_PADDING[rank])
    x = (2, 4, *space)
    return [
        (_conv(kernel, 6, padding=uneven, stride=2, groups=2), x),
        (_conv(kernel, 5, padding="same", dilation=2, bias=False), x),
        (_conv(kernel, 3, padding=uneven, padding_mode="reflect"), x),
        (_conv(kernel, 3, padding=uneven, padding_mode="circular"), x),
        (_conv(kernel, 3, padding=1, padding_mode="replicate", groups=1), x[1:]),
        (Conv(axes=axes(kernel, padding=1), groups=None, depth_multiplier=2), x),
        (_conv((1,) * rank, 7), x),
        (ConvTranspose(axes=odd, out_channels=6, groups=2), x),
        (ConvTranspose(axes=axes(kernel, stride=2, padding=1, dilation=2), out_channels=3, bias=False), x[1:]),
        (
            Separable(axes=axes(kernel, padding=1, stride=2), out_channels=5, depth_multiplier=2, pointwise_bias=False),
            x,
        ),
    ]


PLANE = axes((3, 2), padding=((1, 0), (0, 1)), stride=(2, 1))
DEFORMABLE: list[Named] = [
    (DeformConv(axes=PLANE, out_channels=6, groups=2, offset_groups=4, modulated=True), (2, 4, 9, 7)),
    (DeformConv(axes=axes((3, 3), padding=1), out_channels=5, bias=False), (4, 9, 7)),
    (DeformConvPack(axes=PLANE, out_channels=6, groups=2, offset_groups=2, modulated=True), (2, 4, 9, 7)),
    (DeformConvPack(axes=axes((3, 3), padding=1, dilation=2), out_channels=5), (4, 9, 7)),
]
REGIONS: list[Named] = [
    (DeformRoIPool(output_size=(2, 3), sampling_ratio=2, num_rois=3, modulated=True), (2, 3, 7, 6)),
    (DeformRoIPool(output_size=(3, 2), spatial_scale=0.3, num_rois=4, gamma=-0.4), (2, 3, 7, 9)),
    (DeformRoIPool(output_size=(2, 2), sampling_ratio=3, num_rois=2, offset=False), (1, 4, 6, 5)),
    (DeformRoIPoolPack(output_size=(2, 3), spatial_scale=0.25, num_rois=3, deform_fc_channels=5), (2, 3, 7, 6)),
    (
        DeformRoIPoolPack(output_size=(2, 2), sampling_ratio=2, num_rois=4, deform_fc_channels=7, modulated=True),
        (2, 3, 6, 7),
    ),
]
SMALL: list[Named] = [layer for rank in SPACES for layer in _of_rank(rank)] + DEFORMABLE + REGIONS


def planned(*layers: Named) -> Plan:
    """A network of layers that each have their own input."""
    entries = [
        Entry(f"{layer.kind}_{number}", layer.kind, lambda _, layer=layer: layer, input=shape)  # type: ignore[misc]
        for number, (layer, shape) in enumerate(layers)
    ]
    return plan(Network(entries))


def check(verdict: LayerVerdict, name: str, method: str, dtype: str = "") -> Check:
    """The one check of that name."""
    (found,) = (c for c in verdict.checks if (c.name, c.method, c.dtype) == (name, method, dtype))
    return found


def statuses(outcome: Outcome) -> list[str]:
    """Each layer's status."""
    return [str(layer.status) for layer in outcome.layers]
