"""Random legal layers of every kind, as the fields a spec would hold: drawn so that nothing has to be rejected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from convcli.layers import (
    Conv,
    ConvTranspose,
    DeformConv,
    DeformConvPack,
    DeformRoIPool,
    DeformRoIPoolPack,
    Layer,
    OnRoIs,
    Separable,
)
from convcli.spec.build import entry

Fields = dict[str, Any]
Shape = tuple[int, ...]
LEAST_PADDED = {"zeros": 3, "replicate": 3, "reflect": -1, "circular": 0}  # the most padding, or how far from the size


class Case(NamedTuple):
    """A layer's fields and an input (N, C, *space) it can take."""

    fields: Fields
    input: Shape

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.input) - 2

    @property
    def x(self) -> Shape:
        """The input without its batch, which a layer on regions counts in."""
        return self.input if self.on_regions else self.input[1:]

    @property
    def batch(self) -> int:
        """The batch size."""
        return 1 if self.on_regions else self.input[0]

    @property
    def lead(self) -> Shape:
        """The axes before x."""
        return () if self.on_regions else self.input[:1]

    @property
    def on_regions(self) -> bool:
        """Whether it pools regions."""
        return isinstance(layer_of(self.fields, self.rank), OnRoIs)

    @property
    def layer(self) -> Layer:
        """The layer, settled on the input."""
        return layer_of(self.fields, self.rank).settled(self.x)


def layer_of(fields: Fields, rank: int) -> Layer:
    """The layer that a spec's fields make."""
    return entry(fields, 1).made(rank)


def ints(least: int, most: int) -> SearchStrategy[int]:
    """Integers from `least` to `most`."""
    return st.integers(least, most)


@st.composite
def sliding(
    draw: DrawFn, rank: int, mode: str = "zeros", *, words: bool = True, largest: int = 9
) -> tuple[Fields, Shape]:
    """(kernel_size, stride, padding, dilation; the spatial sizes): the size first, then what fits into it."""
    space = tuple(draw(ints(1, largest)) for _ in range(rank))
    word = draw(st.sampled_from(["", "", "", "same", "valid", "same_upper", "same_lower"])) if words else ""
    if mode != "zeros" and word.startswith("same_"):
        word = ""
    most = [min(3, size + LEAST_PADDED[mode]) if LEAST_PADDED[mode] < 1 else 3 for size in space]
    pads = [(draw(ints(0, m)), draw(ints(0, m))) for m in most]
    kernels, dilations = [], []
    for size, (before, after), limit in zip(space, pads, most, strict=True):
        room = size if word == "valid" else size + before + after
        if word in {"same_upper", "same_lower"}:
            room = 12
        elif word == "same":
            room = 12 if mode in {"zeros", "replicate"} else 2 * limit + 1
        dilations.append(draw(ints(1, 3)))
        kernels.append(draw(ints(1, min(4, (room - 1) // dilations[-1] + 1))))
    strides = [1 if word == "same" else draw(ints(1, 3)) for _ in space]
    padding: Any = word or draw(st.sampled_from([[list(pair) for pair in pads], [before for before, _ in pads]]))
    if isinstance(padding, list) and padding and isinstance(padding[0], int):
        # one number per axis stands for both ends: the kernel must fit that
        kernels = [
            min(k, (size + 2 * p - 1) // d + 1)
            for k, size, p, d in zip(kernels, space, padding, dilations, strict=True)
        ]
    return {"kernel_size": kernels, "stride": strides, "padding": padding, "dilation": dilations}, space


@st.composite
def grouped_channels(draw: DrawFn, most: int = 3) -> tuple[int, int, int]:
    """(in_channels, out_channels, groups)"""
    groups = draw(ints(1, most))
    return groups * draw(ints(1, most)), groups * draw(ints(1, most)), groups


@st.composite
def convs(draw: DrawFn, ranks: tuple[int, ...] = (1, 2, 3)) -> Case:
    """Standard, grouped, depthwise with a multiplier, dilated; any padding and padding mode."""
    rank = draw(st.sampled_from(ranks))
    mode = draw(st.sampled_from(["zeros", "zeros", "zeros", "reflect", "replicate", "circular"]))
    slides, space = draw(sliding(rank, mode, largest=6 if rank == 3 else 9))
    channels, outs, groups = draw(grouped_channels())
    fields = {"in_channels": channels, "bias": draw(st.booleans()), "padding_mode": mode, **slides}
    if draw(ints(0, 4)) == 0:
        fields |= {"type": f"DepthwiseConv{rank}d", "depth_multiplier": draw(ints(1, 3))}
    else:
        fields |= {"type": f"Conv{rank}d", "out_channels": outs, "groups": groups}
    return Case(fields, (draw(ints(1, 3)), channels, *space))


@st.composite
def transposed(draw: DrawFn, ranks: tuple[int, ...] = (1, 2, 3)) -> Case:
    """Transposed, with output_padding, groups, dilation, crops that leave something, and automatic padding."""
    rank = draw(st.sampled_from(ranks))
    space = tuple(draw(ints(1, 4 if rank == 3 else 6)) for _ in range(rank))
    kernels = [draw(ints(1, 4)) for _ in space]
    strides = [draw(ints(1, 3)) for _ in space]
    dilations = [draw(ints(1, 3)) for _ in space]
    extras = [draw(ints(0, max(s, d) - 1)) for s, d in zip(strides, dilations, strict=True)]
    padding: Any = draw(st.sampled_from(["same_upper", "same_lower", "valid", [], [], [], []]))
    if not isinstance(padding, str):
        pairs = []
        for size, k, s, d, extra in zip(space, kernels, strides, dilations, extras, strict=True):
            full = (size - 1) * s + d * (k - 1) + 1 + extra
            before = draw(ints(0, min(4, full - 1)))
            pairs.append([before, draw(ints(0, min(4, full - 1 - before)))])
        padding = pairs if draw(st.booleans()) else [min(pair) for pair in pairs]
    channels, outs, groups = draw(grouped_channels())
    fields = {
        "type": f"ConvTranspose{rank}d",
        "in_channels": channels,
        "out_channels": outs,
        "groups": groups,
        "kernel_size": kernels,
        "stride": strides,
        "padding": padding,
        "dilation": dilations,
        "output_padding": extras,
        "bias": draw(st.booleans()),
    }
    return Case(fields, (draw(ints(1, 3)), channels, *space))


@st.composite
def separable(draw: DrawFn, ranks: tuple[int, ...] = (1, 2, 3)) -> Case:
    """Depthwise, then pointwise."""
    rank = draw(st.sampled_from(ranks))
    slides, space = draw(sliding(rank, largest=6 if rank == 3 else 9))
    channels = draw(ints(1, 4))
    fields = {
        "type": f"SeparableConv{rank}d",
        "out_channels": draw(ints(1, 5)),
        "depth_multiplier": draw(ints(1, 3)),
        "bias": draw(st.booleans()),
        "pointwise_bias": draw(st.sampled_from([None, True, False])),
        **slides,
    }
    return Case(fields, (draw(ints(1, 3)), channels, *space))


@st.composite
def deform(draw: DrawFn, type_: str = "DeformConv2d") -> Case:
    """Deformable, version 1 and 2, with groups and offset groups of their own."""
    slides, space = draw(sliding(2))
    groups, offset_groups = draw(ints(1, 2)), draw(ints(1, 3))
    channels = groups * offset_groups * draw(ints(1, 2))
    fields = {
        "type": type_,
        "out_channels": groups * draw(ints(1, 3)),
        "groups": groups,
        "offset_groups": offset_groups,
        "modulated": draw(st.booleans()),
        "bias": draw(st.booleans()),
        **slides,
    }
    return Case(fields, (draw(ints(1, 2)), channels, *space))


@st.composite
def regions(draw: DrawFn, type_: str = "DeformRoIPool") -> Case:
    """Deformable RoI pooling, and its packs."""
    images, channels, height, width = draw(ints(1, 3)), draw(ints(1, 4)), draw(ints(1, 9)), draw(ints(1, 9))
    fields = {
        "type": type_,
        "output_size": [draw(ints(1, 3)), draw(ints(1, 3))],
        "spatial_scale": draw(st.sampled_from([1.0, 0.5, 0.0625, 0.3])),
        "sampling_ratio": draw(ints(0, 3)),
        "gamma": draw(st.sampled_from([0.1, 0.5, -0.3, 0.0])),
        "num_rois": draw(ints(1, 4)),
        "modulated": draw(st.booleans()),
    }
    if type_.endswith("Pack"):
        fields["deform_fc_channels"] = draw(ints(1, 6))
    else:
        fields["offset"] = draw(st.booleans())
    return Case(fields, (images, channels, height, width))


# A strategy for every kind: tests/test_layers.py names the kind that has none.
CASES: dict[type[Layer], Callable[[], SearchStrategy[Case]]] = {
    Conv: convs,
    ConvTranspose: transposed,
    Separable: separable,
    DeformConv: deform,
    DeformConvPack: lambda: deform("DeformConv2dPack"),
    DeformRoIPool: regions,
    DeformRoIPoolPack: lambda: regions("DeformRoIPoolPack"),
}


def cases() -> SearchStrategy[Case]:
    """A layer of any kind."""
    return st.one_of([strategy() for strategy in CASES.values()])


def convolutions() -> SearchStrategy[Case]:
    """A layer of any kind that has a kernel; what is pooled in regions has laws of its own."""
    return st.one_of([strategy() for kind, strategy in CASES.items() if not issubclass(kind, OnRoIs)])
