"""Random networks with branches, as documents: the same seed makes the same network everywhere."""

from __future__ import annotations

from random import Random
from typing import Any

from convcli import SpecError
from convcli.plan import Plan, plan
from convcli.spec.build import network

Fields = dict[str, Any]
MOST_CELLS = 60  # per axis, of anything
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def random_network(seed: int, *, modes: bool = True) -> Plan:
    """A network of up to nine joints. modes: padding that repeats cells is among what is drawn."""
    draw = Random(f"network {seed}")  # noqa: S311 - no secret
    while True:
        made = Builder(draw, modes=modes)
        try:
            return made.built()
        except SpecError:  # a kernel that does not fit, an axis that is used up: another one
            continue


class Builder:
    """Adds layers one by one, as far as they fit."""

    def __init__(self, draw: Random, *, modes: bool):
        self.draw, self.modes = draw, modes
        self.rank = draw.choice((1, 2, 2, 2, 3))
        longest = {1: 30, 2: 20, 3: 9}[self.rank]
        self.input = [1, draw.randint(1, 3), *(draw.randint(4, longest) for _ in range(self.rank))]
        self.layers: list[Fields] = []

    def built(self) -> Plan:
        """The plan of all layers that fit."""
        self.planned = self.add({"type": "Identity"})
        for _ in range(self.draw.randint(1, 5)):
            kept = list(self.layers)
            try:
                self.draw.choice((*[self.one] * 6, *[self.branches] * 4, self.squeeze, self.mixed, self.shuffled))()
            except SpecError:
                self.layers = kept
                self.planned = self.plan()
        return self.planned

    def plan(self) -> Plan:
        """The layers so far."""
        return plan(network({"input": self.input, "layers": self.layers}, "random"))

    def add(self, layer: Fields, *sources: str) -> Plan:
        """The plan with one more layer. SpecError when it does not fit or grows too large."""
        name = f"l{len(self.layers)}"
        self.layers.append({"name": name, **layer, **({"from": list(sources)} if sources else {})})
        self.planned = self.plan()
        if max(self.planned.steps[-1].y[1:]) > MOST_CELLS:
            raise SpecError("too large")
        return self.planned

    @property
    def last(self) -> str:
        """The name of the last layer."""
        return str(self.layers[-1]["name"])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Its spatial sizes."""
        return self.planned.steps[-1].shown(self.planned.steps[-1].y)[2:]

    @property
    def channels(self) -> int:
        """Its channels."""
        return self.planned.steps[-1].shown(self.planned.steps[-1].y)[1]

    def each(self, least: int, most: int) -> list[int]:
        """A number per axis."""
        return [self.draw.randint(least, most) for _ in range(self.rank)]

    def pads(self, most: int) -> list[list[int]]:
        """A pair per axis."""
        return [[self.draw.randint(0, most), self.draw.randint(0, most)] for _ in range(self.rank)]

    def one(self) -> None:
        """Any layer behind the last one."""
        kinds = (self.conv, self.conv, self.transposed, self.transposed, self.pool, self.resized, self.other)
        self.add(self.draw.choice(kinds)())

    def conv(self) -> Fields:
        """A convolution with everything it can have."""
        mode = self.draw.choice(("zeros", "zeros", "reflect", "replicate", "circular")) if self.modes else "zeros"
        return {
            "type": f"{self.draw.choice(('Conv', 'Conv', 'SeparableConv'))}{self.rank}d",
            "out_channels": self.draw.randint(1, 3),
            "kernel_size": self.each(1, 4),
            "stride": self.each(1, 3),
            "dilation": self.each(1, 3),
            "padding": self.draw.choice((self.pads(3), "same_upper", "same_lower")),
            **({} if mode == "zeros" else {"type": f"Conv{self.rank}d", "padding_mode": mode, "padding": self.pads(2)}),
        }

    def transposed(self) -> Fields:
        """A transposed convolution, cropped unevenly."""
        stride, dilation = self.each(1, 3), self.each(1, 3)
        extra = [self.draw.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)]
        return {
            "type": f"ConvTranspose{self.rank}d",
            "out_channels": self.draw.randint(1, 3),
            "kernel_size": self.each(1, 4),
            "stride": stride,
            "dilation": dilation,
            "padding": self.pads(2),
            "output_padding": extra,
        }

    def pool(self) -> Fields:
        """A pool, adaptive or with ceil_mode."""
        if self.draw.random() < 0.3:
            sizes = [self.draw.randint(1, size) for size in self.sizes]
            return {"type": f"AdaptiveAvgPool{self.rank}d", "output_size": sizes}
        kernel = self.each(1, 4)
        return {
            "type": f"MaxPool{self.rank}d",
            "kernel_size": kernel,
            "stride": self.each(1, 4),
            "dilation": self.each(1, 2),
            "padding": [self.draw.randint(0, k // 2) for k in kernel],
            "ceil_mode": self.draw.random() < 0.5,
        }

    def resized(self) -> Fields:
        """Interpolation of a mode that torch has for this rank."""
        mode = self.draw.choice(("nearest", "nearest-exact", "area", MODES[self.rank], *["bicubic"] * (self.rank == 2)))
        corners = {"align_corners": True} if "linear" in mode and self.draw.random() < 0.5 else {}
        factor = self.draw.choice((1.5, 2, 3, None))
        size = {"scale_factor": factor} if factor else {"size": self.each(1, 12)}
        return {"type": "Upsample", "mode": mode, **size, **corners}

    def other(self) -> Fields:
        """Padding by itself, pixels out of channels, a layer that keeps every cell."""
        fields: list[Fields] = [
            {"type": "ReLU"},
            {"type": f"BatchNorm{self.rank}d"},
            {"type": "Pad", "padding": [n for pair in self.pads(3) for n in pair]},
            {"type": "Pad", "padding": [-1, 2, *[0] * (2 * self.rank - 2)]},
            {"type": f"ZeroPad{self.rank}d", "padding": [n for pair in self.pads(3) for n in pair]},
        ]
        if (
            self.rank == 2 and self.draw.random() < 0.3
        ):  # pixels are channels, which no longer differ when they are mixed
            self.add({"type": "Conv2d", "out_channels": 4, "kernel_size": 1})
            return {"type": "PixelShuffle", "upscale_factor": 2}
        return self.draw.choice(fields)

    def branches(self) -> None:
        """Two or three ways from here that end in the same shape, joined."""
        start, channels, up = self.last, self.channels, self.draw.random() < 0.4
        stride, more = self.draw.randint(1, 3), self.draw.randint(0, 1)
        ends = []
        for _ in range(self.draw.randint(2, 3)):
            made = self.raised(stride) if up else self.slid(stride, more)
            self.add({**made, "out_channels": 2}, start)
            if self.draw.random() < 0.3:
                self.add({**self.slid(1, 0), "out_channels": 2})
            ends.append(self.last)
        if not up and stride == 1 and not more and channels == 2:
            ends.append(start)
        self.add({"type": self.draw.choice(("Add", "Multiply", "Concat"))}, *ends)

    def slid(self, stride: int, more: int) -> Fields:
        """A convolution that gives floor((size + more - 1) / stride) + 1 cells, its padding split at random."""
        kernel, dilation = self.each(1, 4), self.each(1, 3)
        pads = []
        for k, d in zip(kernel, dilation, strict=True):
            total = d * (k - 1) + more
            before = self.draw.randint(0, total)
            pads.append([before, total - before])
        fields = {"type": f"Conv{self.rank}d", "kernel_size": kernel, "dilation": dilation}
        return {**fields, "stride": stride, "padding": pads}

    def raised(self, stride: int) -> Fields:
        """A transposed convolution that gives size * stride cells, cropped at random."""
        kernel = self.each(stride, stride + 3)
        pads = []
        for k in kernel:
            before = self.draw.randint(0, k - stride)
            pads.append([before, k - stride - before])
        return {"type": f"ConvTranspose{self.rank}d", "kernel_size": kernel, "stride": stride, "padding": pads}

    def squeeze(self) -> None:
        """Squeeze and excitation: everything there is, multiplied in."""
        start, channels = self.last, self.channels
        self.add({"type": f"AdaptiveAvgPool{self.rank}d", "output_size": 1}, start)
        self.add({"type": f"Conv{self.rank}d", "out_channels": channels, "kernel_size": 1})
        self.add({"type": "Multiply"}, start, self.last)

    def mixed(self) -> None:
        """A linear layer over the channels, which lie last for a while (ConvNeXt)."""
        axes = list(range(self.rank + 2))
        self.add({"type": "Permute", "dims": [0, *axes[2:], 1]})
        self.add({"type": "Linear", "out_features": self.draw.randint(1, 3)})
        self.add({"type": "Permute", "dims": [0, axes[-1], *axes[1:-1]]})

    def shuffled(self) -> None:
        """Channels dealt out anew (ShuffleNet)."""
        self.add({"type": f"Conv{self.rank}d", "out_channels": 4, "kernel_size": 1})
        sizes = list(self.sizes)
        self.add({"type": "Reshape", "shape": [1, 2, 2, *sizes]})
        self.add({"type": "Permute", "dims": [0, 2, 1, *range(3, 3 + self.rank)]})
        self.add({"type": "Reshape", "shape": [1, -1, *sizes]})
