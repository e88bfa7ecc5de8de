"""Case `index` of a kind under a seed: a pure function of the three, whatever runs beside it or has run before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from math import lcm
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

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
from convcli.plan import Step
from convcli.reach import Reach
from convcli.verifier.fuzz.slides import Draw, slides
from convcli.verifier.fuzz.space import SPACES
from convcli.verifier.repro import type_of

if TYPE_CHECKING:
    from convcli.axis import Axis
    from convcli.verifier.fuzz.covering import Pair, Row

HEAVY = 200  # products per tap and position within a group, from which on sizes are small


class Drawn(msgspec.Struct, frozen=True):
    """One case: its place, the row of factors that it was made from, the layer on its input."""

    kind: str
    index: int
    row: Row
    step: Step

    @property
    def name(self) -> str:
        """conv-17"""
        return f"{self.kind}-{self.index}"


@cache
def rows(kind: str) -> tuple[Row, ...]:
    """The covering array of a kind: what its first cases are made from."""
    return tuple(SPACES[kind].covering())


@cache
def legal_pairs(kind: str) -> frozenset[Pair]:
    """All that these rows meet."""
    return frozenset(SPACES[kind].pairs())


def drawn(kind: str, seed: int, index: int) -> Drawn:
    """The case: the covering array's rows first, then rows at random; every number in them is drawn."""
    draw, first = Draw(kind, seed, index), rows(kind)
    row = first[index] if index < len(first) else _random_row(kind, draw)
    layer, batch, x = MAKERS[kind](row, draw)
    settled = layer.settled(x)
    field = settled.reach(x, (Reach(),) * len(settled.axes))
    y = settled.output(x)
    step = Step(f"{kind}-{index}", type_of(settled), settled, batch, x, y, field)
    return Drawn(kind, index, row, step)


def _random_row(kind: str, draw: Draw) -> Row:
    """Each factor in turn, in random order, takes a random value with which the row can be completed."""
    factors = SPACES[kind]
    order = {name: draw.shuffled(factors.values[name]) for name in draw.shuffled(list(factors.values))}
    row = factors.completed({}, order)
    if row is None:
        raise ValueError(f"no {kind} is legal")
    return {name: row[name] for name in factors.values}


def _batch(row: Row) -> Shape:
    return () if row["batch"] == "none" else (int(str(row["batch"])),)


def _numbers(row: Row, *names: str) -> list[int]:
    return [int(str(row[name])) for name in names]


def _conv(row: Row, draw: Draw) -> tuple[Layer, Shape, Shape]:
    each, outs, groups = _numbers(row, "in", "out", "groups")
    axes, space = slides(row, draw, heavy=each * outs * groups >= HEAVY)
    mode = str(row["padding_mode"])
    layer = Conv(axes=axes, out_channels=outs * groups, groups=groups, bias=bool(row["bias"]), padding_mode=mode)
    return layer, _batch(row), (each * groups, *space)


def _transposed(row: Row, draw: Draw) -> tuple[Layer, Shape, Shape]:
    each, outs, groups = _numbers(row, "in", "out", "groups")
    axes, space = slides(row, draw, transposed=True, heavy=each * outs * groups >= HEAVY)
    layer = ConvTranspose(axes=axes, out_channels=outs * groups, groups=groups, bias=bool(row["bias"]))
    return layer, _batch(row), (each * groups, *space)


def _separable(row: Row, draw: Draw) -> tuple[Layer, Shape, Shape]:
    channels, outs, multiplier = _numbers(row, "in", "out", "depth_multiplier")
    axes, space = slides(row, draw, heavy=channels * outs * multiplier >= HEAVY)
    mixing: Any = row["pointwise_bias"]
    layer = Separable(
        axes=axes, out_channels=outs, depth_multiplier=multiplier, bias=bool(row["bias"]), pointwise_bias=mixing
    )
    return layer, _batch(row), (channels, *space)


def _deformable(row: Row, draw: Draw) -> tuple[tuple[Axis, ...], dict[str, Any], Shape, Shape]:
    each, outs, groups, offset_groups = _numbers(row, "in", "out", "groups", "offset_groups")
    channels = lcm(groups, offset_groups) * each
    axes, space = slides(row, draw, heavy=channels * outs >= HEAVY)
    fields = {"out_channels": outs * groups, "groups": groups, "offset_groups": offset_groups}
    return axes, {**fields, "bias": row["bias"], "modulated": row["modulated"]}, _batch(row), (channels, *space)


def _deform(row: Row, draw: Draw) -> tuple[Layer, Shape, Shape]:
    axes, fields, batch, x = _deformable(row, draw)
    return DeformConv(axes=axes, **fields), batch, x


def _pack(row: Row, draw: Draw) -> tuple[Layer, Shape, Shape]:
    axes, fields, batch, x = _deformable(row, draw)
    return DeformConvPack(axes=axes, **fields), batch, x


SCALES = {"1": 1.0, "half": 0.5, "odd": 0.3}
GAMMAS = {"usual": 0.1, "1": 1.0, "negative": -0.3, "0": 0.0}


def _regions(row: Row, draw: Draw) -> tuple[dict[str, Any], Shape]:
    """What all layers on regions have in common, and the input."""
    images, channels = _numbers(row, "images", "in")
    rows, columns = draw.pick(((2, 4), (1, 3), (3, 2))) if row["bins"] == "uneven" else (int(str(row["bins"])),) * 2
    height = draw.pick(range(2, 12))
    width = {"square": height, "one": 1}.get(str(row["size"]), height + draw.pick((1, 2, 5)))
    fields = {
        "output_size": (rows, columns),
        "num_rois": row["num_rois"],
        "sampling_ratio": row["sampling_ratio"],
        "spatial_scale": SCALES[str(row["spatial_scale"])],
        "gamma": GAMMAS[str(row["gamma"])],
        "modulated": row["modulated"],
    }
    return fields, (images, channels, height, width)


def _roi_pool(row: Row, draw: Draw) -> tuple[Layer, Shape, Shape]:
    fields, x = _regions(row, draw)
    return DeformRoIPool(**fields, offset=bool(row["offset"])), (), x


def _roi_pack(row: Row, draw: Draw) -> tuple[Layer, Shape, Shape]:
    fields, x = _regions(row, draw)
    return DeformRoIPoolPack(**fields, deform_fc_channels=int(str(row["hidden"]))), (), x


MAKERS: Mapping[str, Callable[[Row, Draw], tuple[Layer, Shape, Shape]]] = MappingProxyType(
    {
        "conv": _conv,
        "conv_transpose": _transposed,
        "separable": _separable,
        "deform_conv": _deform,
        "deform_conv_pack": _pack,
        "deform_roi_pool": _roi_pool,
        "deform_roi_pool_pack": _roi_pack,
    }
)
